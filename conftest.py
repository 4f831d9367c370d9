"""Real servers for tests: the ones of `make services` where they run, else private ones for this run.

A test that asks for one is skipped, with the reason, where it cannot be had.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from services import SERVICES, Service, ServiceError
from services.__main__ import ROOT
from services.base import free_port
from services.kafka import ApacheKafka, missing_apache_kafka

# A machine that is busy with other work draws examples slowly, which says nothing about the code.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")

pytest.register_assert_rewrite("predictors.testing")

# Modules that take longest, with waits, in this order; the modules that drive a browser come before them.
LONGEST = [
    "tests/test_on_real_services.py",
    "tests/test_faults.py",
    "tests/test_bulk_work.py",
    "tests/test_own_site.py",
    "tests/test_replicas.py",
    "tests/test_python_client.py",
    "tests/test_prometheus.py",
    "movie/api/tests/test_schema.py",
    "movie/pages/tests/test_true_reasons.py",
]
BROWSER = "the browser's site"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-requests", type=int, default=1_080, help="requests of the fuzz test, in all")
    parser.addoption("--fuzz-seed", type=int, default=1, help="from which its requests are made")
    parser.addoption(
        "--histories", type=int, default=12, help="random histories whose reasons are checked, a model"
    )


@cache
def unit_of(module: str) -> str:
    """Return the unit of work of a module, which one worker runs whole: BROWSER, or the module alone."""
    return BROWSER if "pytest.mark.browser" in (Path(__file__).parent / module).read_text() else module


def work_unit(nodeid: str) -> str:
    """Return the unit of a test."""
    return unit_of(nodeid.partition("::")[0])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest work first: the workers end together where what is left to share is short."""
    order = {unit: number for number, unit in enumerate([BROWSER, *LONGEST])}
    items.sort(key=lambda item: order.get(work_unit(item.nodeid), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Share out units of work in the order of collection (`--dist loadscope --no-loadscope-reorder`)."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class UnitScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return work_unit(nodeid)

    return UnitScheduling(config, log)


def _fixture(name: str) -> Callable[..., Iterator[Service]]:
    @pytest.fixture(scope="session", name=f"{name}_service")
    def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
        running = SERVICES[name](ROOT)
        if running.process() is not None and running.answers():
            yield running
            return
        own = SERVICES[name](tmp_path_factory.mktemp("services"), free_port())
        try:
            own.start()
        except ServiceError as error:
            own.stop()
            pytest.skip(str(error))
        yield own
        own.stop()

    return service


mariadb_service = _fixture("mariadb")
postgresql_service = _fixture("postgresql")
kafka_service = _fixture("kafka")
dynamodb_service = _fixture("dynamodb")
redis_service = _fixture("redis")


@pytest.fixture(scope="session")
def apache_kafka_service(kafka_service: Service) -> Service:
    """Apache Kafka itself, for what its stand-in cannot do."""
    if not isinstance(kafka_service, ApacheKafka):
        pytest.skip(missing_apache_kafka() or "a stand-in of Apache Kafka runs here (make services-stop)")
    return kafka_service


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Leave no test the language that another one activated."""
    from django.utils import translation

    yield
    translation.deactivate()


@pytest.fixture
def event_table(dynamodb_service: Service) -> Iterator[dict[str, str]]:
    """The options of an archive in DynamoDB, with a table of its own."""
    from movie.events.archive.dynamodb import DynamoDBArchive

    variables = dynamodb_service.variables()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, variables[name])
        options = {
            "table": f"events-{uuid.uuid4().hex[:12]}",
            "region": variables["DYNAMODB_REGION"],
            "endpoint_url": variables["DYNAMODB_ENDPOINT_URL"],
        }
        archive = DynamoDBArchive(**options)
        archive.create()
        yield options
        archive._client.delete_table(TableName=archive.name)
