"""A real Prometheus scrapes a real site, a relay and a consumer; it knows all alerts and panels here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from services.base import free_port

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "reelgraph.json"
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
WAIT_SECONDS = 60
HOMES, FILMS = 7, 24

# Makes the site, and is its relay and a consumer in one process: what they export, without their start-up.
PREPARE = f"""
import sys
from datetime import timedelta
import numpy as np
from django.core.management import call_command
from django.utils import timezone
from movie.core.ids import new_event_id
from movie.events.stream import get_event_stream
from movie.events.stream.consumer import Consumer
from movie.events.stream.handlers import get_handler
from movie.events.stream.relay import Relay
from movie.operations.metrics_server import metrics_server
from movie.catalogue.models import Movie
from movie.events.models import Event
from movie.events.models import TO_STREAM
from movie.recommendations.ranking import registry
from predictors.models.popular import PopularPredictor
from datasets.interactions import Interactions
from movie.training.registry import registry
from predictors.models.popular import PopularPredictor
from datasets.interactions import Interactions
call_command("migrate", verbosity=0)
films = [Movie(title=f"Film {{n}}", sort_title=f"film {{n}}") for n in range({FILMS})]
films = np.array([film.pk for film in Movie.objects.bulk_create(films)])
places = np.arange({FILMS})
data = Interactions.from_columns(places * 0, places, user_ids=np.arange(1), item_ids=films)
registry().store.publish(PopularPredictor.fit(data), activate=True)
relay, consumer = Relay(), Consumer(get_handler("popularity"), get_event_stream())
hour_ago = timezone.now() - timedelta(hours=1)
Event.objects.create(event_id=new_event_id(), visitor="guest:a", kind="click", movie_id=films[0],
                                 at=hour_ago, recorded_at=hour_ago, pending_sinks=TO_STREAM)
with metrics_server(RELAY), metrics_server(CONSUMERS):
    print("ready", flush=True)
    sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(
    not (PROMETHEUS and PROMTOOL), reason="Prometheus is not installed (Debian: prometheus)"
)


class Watched:
    """The addresses of a site and of the Prometheus that scrapes it."""

    def __init__(self, site: str, prometheus: str) -> None:
        self.site, self.prometheus = site, prometheus

    def asked(self, path: str, **parameters: str) -> Any:
        """What Prometheus answers; an expression that it refuses is an HTTPError."""
        with urlopen(f"{self.prometheus}/api/v1/{path}?{urlencode(parameters)}", timeout=5) as answer:  # noqa: S310
            found = json.load(answer)
        assert found["status"] == "success"
        return found["data"]

    def value(self, expression: str) -> float | None:
        """The first value of an instant query."""
        found = self.asked("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    ports = {name: free_port() for name in ("web", "relay", "consumers", "prometheus")}
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "webapp.settings",
        "DEBUG": "true",
        "LOG_FORMAT": "json",
        "SECRET_KEY": "a-key-for-the-tests-that-is-long-enough-to-be-taken-for-one",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'site.sqlite3'}",
        "MODEL_DIR": str(folder / "models"),
        "DEFAULT_MODELS": "neighbours,popular",
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",  # away
        "REDIS_URL": "",
        "METRICS_TOKEN": "the-token",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    program = PREPARE.replace("RELAY", str(ports["relay"])).replace("CONSUMERS", str(ports["consumers"]))
    prepare = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c", program]
    web = [sys.executable, "-m", "webapp.server", "--interface", "wsgi", "--host", "127.0.0.1"]
    web += ["--port", str(ports["web"]), "--workers", "2", "--blocking-threads", "2"]
    commands = {
        "site": prepare,
        "web": [*web, "--log-level", "warning", "webapp.wsgi:application"],
        "prometheus": [
            str(PROMETHEUS),
            f"--config.file={_configured(folder, ports)}",
            f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
            "--log.level=warn",
        ],
    }
    total = 'sum(reelgraph_http_requests_total{route=~"pages:home|pages:recommend|pages:movie|none"})'
    with ExitStack() as running:
        for name, command in commands.items():
            running.enter_context(_running(command, environment, folder / f"{name}.log"))
            if name == "site":
                _wait_for(lambda: "ready" in (folder / "site.log").read_text(), folder)
        found = Watched(f"http://127.0.0.1:{ports['web']}", f"http://127.0.0.1:{ports['prometheus']}")
        _wait_for(lambda: found.value('count(up{job=~"reelgraph-.*"} == 1)') == 3, folder)
        for _ in range(HOMES):
            urlopen(f"{found.site}/", timeout=30).close()  # noqa: S310 - our own address
        urlopen(f"{found.site}/recommend/", timeout=30).close()  # noqa: S310
        urlopen(f"{found.site}/movies/1/", timeout=30).close()  # noqa: S310
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{found.site}/nowhere/", timeout=30)  # noqa: S310
        _wait_for(lambda: found.value(total) == HOMES + 3, folder)
        yield found


def test_the_requests_of_all_workers_arrive_as_one_number(watched):
    assert watched.value('sum(reelgraph_http_requests_total{route="pages:home", status="200"})') == HOMES
    assert watched.value('sum(reelgraph_http_request_seconds_count{route="pages:home"})') == HOMES
    assert watched.value('reelgraph_http_requests_total{route="none", status="404"}') == 1
    assert watched.value('count(process_resident_memory_bytes{job="reelgraph-web"} > 1e7)') == 2


def test_lists_models_and_checks_arrive(watched):
    assert watched.value('reelgraph_lists_shown_total{model="popular"}') >= HOMES
    assert watched.value('reelgraph_fallbacks_total{model="neighbours", reason="not_trained"}') >= 1
    assert watched.value('count(reelgraph_model_info{model="popular"})') == 1
    assert watched.value('reelgraph_check_ok{check="models"}') == 1
    assert watched.value('reelgraph_check_ok{check="stream"}') == 0  # a row waits for an hour
    assert watched.value('reelgraph_worker_starts_total{job="reelgraph-web"}') == 2


def test_every_alert_can_be_evaluated(watched):
    checked = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    names = [rule["alert"] for rule in _rules()]
    _wait_for(lambda: all(rule["health"] == "ok" for rule in _evaluated(watched)))
    found = {rule["name"]: rule for rule in _evaluated(watched)}
    assert list(found) == names
    # A row waits for an hour: its alerts wait for their time. On a slow machine first pages are slow, too.
    waiting = {name for name, rule in found.items() if rule["alerts"]}
    late = {"ReelgraphDegraded", "ReelgraphOutboxLate"}
    assert late <= waiting <= {*late, "ReelgraphSlowPages", "ReelgraphSlowModel", "ReelgraphConsumerIdle"}
    assert not [alert for rule in found.values() for alert in rule["alerts"] if alert["state"] == "firing"]


def test_every_panel_and_alert_asks_for_what_is_exported(watched):
    exported = set(watched.asked("metadata"))
    for expression in [*_panel_expressions(), *(rule["expr"] for rule in _rules())]:
        watched.asked("query", query=expression)
        for name in re.findall(r"\b(?:reelgraph|process)_\w+", expression):
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            assert {name, family} & exported, f"{name} in {expression}"


def test_panels_show_something(watched):
    """Each but those about what this site has none of."""
    empty = [
        panel["title"]
        for panel in _panels()
        if not any(watched.asked("query", query=target["expr"])["result"] for target in panel["targets"])
    ]
    assert set(empty) <= {"Sample ratio of experiments (p)"} | {
        panel["title"] for panel in _panels() if "rate(" in str(panel) or "increase(" in str(panel)
    }


def test_the_dashboard_is_one_that_grafana_can_lay_out():
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["schemaVersion"] >= 39
    assert [variable["type"] for variable in dashboard["templating"]["list"]] == ["datasource"]
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in _panels())


def test_the_documentation_says_what_to_do_about_each_alert():
    text = (ROOT / "docs" / "observability.md").read_text()
    listed = re.findall(r"^\| `(Reelgraph\w+)` \|", text, flags=re.MULTILINE)
    assert listed == [rule["alert"] for rule in _rules()]


def _rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def _evaluated(watched: Watched) -> list[dict[str, Any]]:
    return [rule for group in watched.asked("rules")["groups"] for rule in group["rules"]]


def _panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def _panel_expressions() -> list[str]:
    return [target["expr"] for panel in _panels() for target in panel["targets"]]


def _configured(folder: Path, ports: dict[str, int]) -> Path:
    """deploy/prometheus/prometheus.yml with the addresses of this site, and in a hurry."""
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(RULES)]
    for job in config["scrape_configs"]:
        name = job["job_name"].removeprefix("reelgraph-")
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[name]}"]}]
        job["authorization"] = {"credentials": "the-token"}
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("w") as said:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=said, stderr=said
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(is_so: Callable[[], bool], logs: Path | None = None) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if is_so():
                return
        except (URLError, ConnectionError):
            pass
        time.sleep(0.2)
    files = sorted((logs or ROOT).glob("*.log"))
    said = "\n".join(f"== {log.name}\n{log.read_text()[-1500:]}" for log in files)
    raise AssertionError(f"not within {WAIT_SECONDS} s\n{said}")
