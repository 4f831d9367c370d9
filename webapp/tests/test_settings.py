"""A wrong environment stops the start with an id and a hint; a right one is clean."""

import os
import re
import runpy
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.db.utils import ConnectionHandler

from webapp.databases import SQLITE_MAPPED_BYTES
from webapp.environment import Environment, SettingError

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCTION = {
    "SECRET_KEY": "k3Zr0h-Yw8uQ2mVx7nT5bLd9sPf1aGc4eJ6iRoUqWtXyMzNvBhKj",
    "ALLOWED_HOSTS": "films.example.org",
    "BEHIND_PROXY": "true",
    "STAFF_SECOND_FACTOR": "required",
    "EMAIL_URL": "smtp+tls://site:secret@mail.example.org:587",
}


def manage(*arguments: str, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path),
        "PYTHON_DOTENV_DISABLED": "1",
        **variables,
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def settings_of(tmp_path: Path, **variables: str) -> dict[str, Any]:
    """Read the settings of a production site anew, beside those of this process."""
    given = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "PYTHON_DOTENV_DISABLED": "1"}
    with patch.dict(os.environ, given | PRODUCTION | variables, clear=True):
        return runpy.run_path(str(ROOT / "webapp/settings.py"))


def setting_errors(tmp_path: Path, **variables: str) -> list[SettingError]:
    """Return what the settings of a production site refuse."""
    return settings_of(tmp_path, **variables)["SETTING_ERRORS"]


@pytest.mark.django_db
def test_processes_share_the_pages_of_a_sqlite_file(tmp_path):
    connections = ConnectionHandler(settings_of(tmp_path)["DATABASES"])
    try:
        with connections["default"].cursor() as cursor:
            assert cursor.execute("PRAGMA mmap_size").fetchone() == (SQLITE_MAPPED_BYTES,)
    finally:
        connections.close_all()


def test_the_documents_name_the_default_topic(settings):
    for document in (".env.example", "docs/configuration.md", "docs/events.md"):
        assert settings.KAFKA_TOPIC in (ROOT / document).read_text(), document


def test_production_variables_pass_the_deployment_check(tmp_path):
    tmp_path.chmod(0o700)
    finished = manage("check", "--deploy", "--fail-level", "WARNING", tmp_path=tmp_path, **PRODUCTION)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("SECRET_KEY", "", "make .env"),
        ("ALLOWED_HOSTS", "", "Name the hosts"),
        ("DEBUG", "perhaps", "true or false"),
        ("DATABASE_URL", "nonsense", "mysql://"),
        ("DATABASE_REPLICA_URL", "mysql://reelgraph:password@db/reelgraph", "of the same kind"),
        ("DATABASE_URL", "mysql://a:b@db/x?ssl_mode=verify-full", "VERIFY_IDENTITY"),
        ("HISTORY_LIMIT", "many", "whole number"),
        ("DEVICE", "abacus", "auto, cpu, cuda"),
        ("CSRF_TRUSTED_ORIGINS", "films.example.org", "https://"),
        ("POSTER_BASE_URL", "http://images.example.org", "drawn posters"),
    ],
)
def test_a_wrong_value_is_named_with_a_hint(tmp_path, variable, value, hint):
    (error,) = setting_errors(tmp_path, **{variable: value})
    assert error.variable == variable and hint in error.hint


def test_what_an_address_of_mysql_asks_of_tls_reaches_the_client(tmp_path):
    url = "mysql://a:b@db/x?ssl_mode=VERIFY_IDENTITY&ssl_ca=/etc/ssl/ca.pem"
    options = settings_of(tmp_path, DATABASE_URL=url)["DATABASES"]["default"]["OPTIONS"]
    assert (options["ssl_mode"], options["ssl"]) == ("VERIFY_IDENTITY", {"ca": "/etc/ssl/ca.pem"})
    assert options["connect_timeout"] == 5


TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "127.0.0.1"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (0, 1)),
        (TORCHRUN | {"RANK": "1", "WORLD_SIZE": "2"}, (1, 2)),
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_JOB_ID": "7"}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1"}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none"}, (0, 1)),
        (TORCHRUN | {"RANK": "1"}, (0, 1)),
        (TORCHRUN | {"WORLD_SIZE": "4"}, (0, 1)),
        (TORCHRUN | {"RANK": "2", "WORLD_SIZE": "2"}, (0, 1)),
        (TORCHRUN | {"RANK": "-1", "WORLD_SIZE": "many"}, (0, 1)),
    ],
)
def test_the_processes_of_torchrun_count_and_those_of_another_job_do_not(variables, expected):
    with patch.dict(os.environ, variables, clear=True):
        environment = Environment()
        assert environment.rank_and_size() == expected
    assert environment.errors == []


def test_a_model_that_there_is_not_stops_the_start_with_an_id_and_a_hint(tmp_path):
    wrong = PRODUCTION | {"DEFAULT_MODELS": "sasrec,oracle"}
    finished = manage("migrate", "--plan", tmp_path=tmp_path, **wrong)
    assert finished.returncode != 0
    assert "DEFAULT_MODELS" in finished.stderr
    assert "webapp.E002" in finished.stderr
    assert "Use names from" in finished.stderr


@pytest.mark.parametrize(
    ("half", "named"),
    [
        ({"DYNAMODB_TABLE": "events"}, "DYNAMODB_REGION is not set"),
        ({"DYNAMODB_REGION": "eu-central-1"}, "DYNAMODB_TABLE is not set"),
        ({"DYNAMODB_ENDPOINT_URL": "http://127.0.0.1:8000"}, "DYNAMODB_TABLE is not set"),
        ({"KAFKA_SASL_USERNAME": "site"}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "broker"}, "holds 'broker'"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "b:9092", "KAFKA_SASL_USERNAME": "site"}, "do not fit together"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "b:9092", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "do not fit together"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "b:9092", "KAFKA_SSL_CERTFILE": "/no/such.pem"}, "names /no/such.pem"),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "b:9092", "KAFKA_SSL_CAFILE": __file__},
            "KAFKA_SECURITY_PROTOCOL has no TLS",
        ),
        (
            {
                "KAFKA_BOOTSTRAP_SERVERS": "b:9092",
                "KAFKA_SECURITY_PROTOCOL": "SSL",
                "KAFKA_SSL_KEYFILE": __file__,
            },
            "KAFKA_SSL_CERTFILE is not set",
        ),
        ({"KAFKA_BOOTSTRAP_SERVERS": "b:9092", "KAFKA_SASL_MECHANISM": "SCRAM"}, "is 'SCRAM'"),
        (
            {
                "KAFKA_BOOTSTRAP_SERVERS": "b:9092",
                "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
                "KAFKA_SASL_USERNAME": "site",
                "KAFKA_SASL_PASSWORD": "secret",
            },
            "KAFKA_OAUTH_TOKEN_URL and KAFKA_SASL_MECHANISM do not fit",
        ),
        ({"REDIS_URL": "127.0.0.1:6379"}, "REDIS_URL cannot be read"),
        ({"MODEL_STORE_URL": "ftp://host/models"}, "MODEL_STORE_URL is no address of models"),
        ({"MODEL_STORE_URL": "s3:"}, "MODEL_STORE_URL is no address of models"),
        ({"MODEL_STORE_URL": "file:models"}, "MODEL_STORE_URL is no address of models"),
        ({"MODEL_STORE_REGION": "eu-central-1"}, "MODEL_STORE_URL is not set"),
        ({"MODEL_STORE_ENDPOINT_URL": "minio:9000"}, "MODEL_STORE_ENDPOINT_URL is no http address"),
    ],
)
def test_half_of_a_service_is_refused(tmp_path, half, named):
    errors = setting_errors(tmp_path, **half)
    assert any(named in f"{error.variable} {error.message}" for error in errors)


def test_a_whole_service_is_taken(tmp_path):
    whole = {
        "DYNAMODB_TABLE": "events",
        "DYNAMODB_REGION": "eu-central-1",
        "KAFKA_BOOTSTRAP_SERVERS": "a:9092,b:9092",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": "site",
        "KAFKA_SASL_PASSWORD": "secret",
        "REDIS_URL": "rediss://:secret@cache:6379/1",
    }
    finished = manage("check", "--fail-level", "WARNING", tmp_path=tmp_path, **PRODUCTION, **whole)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("start", ["relay", "consumer", "web", "server"])
def test_a_process_that_starts_before_migrate_ends_with_one_line(tmp_path, start):
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": "broker:9092"}
    if start in {"web", "server"}:
        server = ["-m", "webapp.server", "--interface", "rsgi", "webapp.rsgi:application"]
        environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "PYTHON_DOTENV_DISABLED": "1"}
        finished = subprocess.run(
            [sys.executable, *(server if start == "server" else ["-c", "import webapp.wsgi"])],
            cwd=ROOT, env={**environment, **PRODUCTION}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    else:
        command = ["relay_events"] if start == "relay" else ["consume_events", "--group", "popularity"]
        finished = manage(*command, tmp_path=tmp_path, **PRODUCTION, **kafka)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert finished.stderr.strip().splitlines()[-1].endswith("not applied; run manage.py migrate")


def test_a_wrong_value_stops_the_start_with_its_name_an_id_and_a_hint(tmp_path):
    """And its password is not shown."""
    wrong = PRODUCTION | {"DATABASE_URL": "myysql://root:hunter2@db/x"}
    finished = manage("migrate", "--plan", tmp_path=tmp_path, **wrong)
    assert finished.returncode != 0
    assert "DATABASE_URL" in finished.stderr
    assert "webapp.E001" in finished.stderr
    assert "mysql://" in finished.stderr.replace("myysql://", "")
    assert "hunter2" not in finished.stderr + finished.stdout


def test_the_server_refuses_to_start_as_well(tmp_path):
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "PYTHON_DOTENV_DISABLED": "1"}
    finished = subprocess.run(
        [sys.executable, "-c", "import webapp.wsgi"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.returncode != 0
    assert "webapp.E001" in finished.stderr


def test_every_variable_is_documented():
    sources = "".join((ROOT / "webapp" / name).read_text() for name in ("settings.py", "databases.py"))
    read = set(re.findall(r'environment\.\w+\(\s*"([A-Z_]+)"', sources))
    assert "DATABASE_REPLICA_URL" in read
    for document in ("docs/configuration.md", ".env.example"):
        named = set(re.findall(r"[A-Z][A-Z_]{3,}", (ROOT / document).read_text()))
        assert read - named == set(), document


def test_a_network_that_is_none_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("METRICS_ALLOWED_NETWORKS", "10.0.0.0/8, 192.0.2.7, example.org")
    environment = Environment()
    networks = environment.networks("METRICS_ALLOWED_NETWORKS")
    assert networks == [ip_network("10.0.0.0/8"), ip_network("192.0.2.7")]
    assert [error.message for error in environment.errors] == ["holds 'example.org'"]


def test_mails_that_go_nowhere_and_data_that_all_may_read_are_deploy_warnings(tmp_path):
    (tmp_path / "reelgraph.sqlite3").touch(0o644)
    tmp_path.chmod(0o755)
    finished = manage("check", "--deploy", tmp_path=tmp_path, **{**PRODUCTION, "EMAIL_URL": "consolemail://"})
    assert "webapp.W003" in finished.stderr
    assert finished.stderr.count("webapp.W002") == 2
    assert "webapp.W00" not in manage("check", tmp_path=tmp_path, **PRODUCTION).stderr


def test_the_data_folder_and_the_database_are_their_owners_alone(tmp_path):
    folder = tmp_path / "data"
    finished = manage("migrate", "sessions", tmp_path=folder, **PRODUCTION)
    assert finished.returncode == 0, finished.stderr
    assert folder.stat().st_mode & 0o777 == 0o700
    files = list(folder.glob("reelgraph.sqlite3*"))
    assert files
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
