"""The short form of `python -m tests.replicas`: two machines and one database behave as one site."""

import pytest

from tests.replicas import scenario
from tests.replicas.site import Site


@pytest.fixture(scope="module")
def site(mariadb_service, redis_service, tmp_path_factory):
    pytest.importorskip("MySQLdb", reason="mysqlclient is not installed; see requirements-mysql.txt")
    running = Site(tmp_path_factory.mktemp("replicas"), mariadb_service, redis_service)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_a_guest_is_known_everywhere(site):
    scenario.a_guest_is_known_everywhere(site)


def test_a_member_is_signed_in_everywhere(site):
    scenario.a_member_is_signed_in_everywhere(site)


def test_language_theme_and_forms_hold_everywhere(site):
    scenario.choices_and_forms_hold_everywhere(site)


def test_a_model_goes_live_and_back_everywhere(site):
    scenario.a_model_goes_live_everywhere(site)


def test_nothing_is_lost_when_a_machine_dies(site):
    scenario.a_machine_dies(site, visitors=3, seconds=1.0)
