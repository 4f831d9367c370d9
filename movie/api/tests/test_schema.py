"""Tests of every operation with generated valid and invalid requests: never a 500."""

from __future__ import annotations

from collections import Counter

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from movie.api.models import SCOPES, ApiClient, create_key
from movie.api.v1 import description

# Of each operation; fewer of those whose cases take long to think up.
CASES = {GenerationMode.POSITIVE: 95, GenerationMode.NEGATIVE: 70}
COSTLY = ("POST /api/v1/recommend/batch", "POST /api/v1/interactions", "PUT /api/v1/movies")
SHARE_OF_COSTLY = 0.4
LEAST, LEAST_ANSWERED = 2000, 300  # in all; most films and users that are made up do not exist
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

schema = schemathesis.openapi.from_dict(description())
schema.app = get_wsgi_application()
OPERATIONS = {found.ok().label: found.ok() for found in schema.get_all_operations()}
NOTHING_TO_GET_WRONG = (  # they take no input
    "GET /api/v1/models",
    "GET /api/v1/experiments",
    "GET /api/v1/genres",
)
asked: Counter[str] = Counter()
answered: Counter[int] = Counter()


@pytest.fixture(autouse=True)
def one_connection():
    """Keep the connection of the test's transaction between requests, as Django's own test client does."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def key(api_site) -> str:
    return create_key(ApiClient.objects.create(slug="fuzz"), list(SCOPES)).token


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_breaks_it(label, key):
    """Send generated requests with a key that has all scopes, every fourth one without a key."""
    for mode, cases in CASES.items():
        if mode is GenerationMode.NEGATIVE and label in NOTHING_TO_GET_WRONG:
            continue
        strategy = OPERATIONS[label].as_strategy(generation_mode=mode)

        @settings(
            max_examples=int(cases * SHARE_OF_COSTLY) if label in COSTLY else cases,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def ask(case):
            headers = {"Authorization": f"Bearer {key}"} if asked[label] % 4 else {}
            asked[label] += 1
            response = case.call(headers=headers)
            answered[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        ask()


def test_enough_was_asked_and_much_of_it_answered():
    """Runs after the others, in the same process."""
    assert asked.keys() == OPERATIONS.keys()
    assert sum(asked.values()) >= LEAST
    assert answered[200] >= LEAST_ANSWERED
