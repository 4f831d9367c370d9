"""Real servers for tests: the ones of `make services` where they run, else private ones for this run.

A test that asks for one is skipped, with the reason, where it cannot be had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from services import SERVICES, Service, ServiceError
from services.__main__ import ROOT
from services.base import free_port


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
kafka_service = _fixture("kafka")
dynamodb_service = _fixture("dynamodb")
redis_service = _fixture("redis")
