"""Private servers start once, say what is wrong, and nobody else's process is ever ended."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services import kafka
from services.base import HOST, ServiceError, free_port
from services.redis import Redis

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def redis(tmp_path):
    service = Redis(tmp_path, free_port())
    if missing := service.missing():
        pytest.skip(missing)
    yield service
    service.stop()


def services(*arguments):
    command = [sys.executable, "-m", "services", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=90)


def test_a_server_is_started_once_answers_and_is_stopped(redis):
    assert redis.start()
    assert redis.answers()
    process = redis.process()
    again = Redis(redis.folder.parent)  # knows the port from the first start
    assert not again.start()
    assert again.process() == process and again.port_used == redis.port_used
    assert redis.stop() and not redis.answers()
    assert not redis.stop()


def test_a_taken_port_is_named_with_a_way_out(tmp_path, redis):
    with socket.socket() as other:
        other.bind((HOST, redis.port_used))
        other.listen()
        with pytest.raises(ServiceError, match=rf"port {redis.port_used} is taken.*PORTS=redis=\d+"):
            redis.start()


def test_a_server_that_cannot_run_says_why(tmp_path, redis, monkeypatch):
    monkeypatch.setattr(redis, "command", lambda: ["redis-server", "--port", "nonsense"])
    with pytest.raises(ServiceError, match=r"(?s)Redis ended with 1.*nonsense"):
        redis.start()


def test_a_reused_process_number_is_not_taken_for_the_server(redis):
    redis.folder.mkdir()
    record = {"pid": os.getpid(), "created": 1.0, "port": redis.port_used}
    (redis.folder / "process.json").write_text(json.dumps(record))
    assert redis.process() is None
    assert not redis.stop()


def test_the_command_prints_what_to_export_and_the_state(tmp_path, redis):
    place = ["redis", "--data-dir", str(tmp_path), "--ports", f"redis={redis.port_used}"]
    started = services("start", *place)
    assert started.returncode == 0, started.stderr
    assert f"export REDIS_URL='redis://{HOST}:{redis.port_used}/0'" in started.stdout
    assert "answers" in services("status", *place).stdout
    assert "stopped" in services("stop", *place).stdout
    assert services("status", *place).returncode == 1


def test_wrong_names_and_ports_are_refused():
    assert "there is no oracle" in services("start", "oracle").stderr
    assert "is not like" in services("start", "redis", "--ports", "redis=many").stderr


@pytest.mark.parametrize("name", ["mariadb", "postgresql", "kafka", "dynamodb", "redis"])
def test_every_server_answers_and_names_its_variables(name, request):
    service = request.getfixturevalue(f"{name}_service")
    assert service.answers()
    assert str(service.port_used) in "".join(service.variables().values())


def test_apache_kafka_runs_where_it_lies_unpacked_and_the_stand_in_elsewhere(tmp_path, monkeypatch):
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    assert "stand-in" in kafka.kafka_service(tmp_path).title
    assert "KAFKA_HOME is not set" in kafka.missing_apache_kafka()
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    assert "holds no libs/kafka_*.jar" in kafka.missing_apache_kafka()
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.4.0.jar").touch()
    for version, expected in ((0, "is not installed"), (11, "which is 11"), (17, ""), (21, "")):
        monkeypatch.setattr(kafka, "_java_version", lambda version=version: version)
        assert expected in kafka.missing_apache_kafka()
        assert bool(kafka.missing_apache_kafka()) == (version < 17)
    assert kafka.kafka_service(tmp_path).title == "Apache Kafka 4.4.0"


def test_a_running_stand_in_is_kept_and_apache_kafka_found_again(apache_kafka_service, monkeypatch):
    assert apache_kafka_service.title.startswith("Apache Kafka 4")
    root = apache_kafka_service.folder.parent
    monkeypatch.delenv("KAFKA_HOME")
    again = kafka.kafka_service(root)
    assert again.process() == apache_kafka_service.process()
    assert isinstance(again, kafka.ApacheKafka), "it is stopped and named as what runs"
