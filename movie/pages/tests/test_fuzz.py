"""Mutated requests to every address, as guest, member and staff: no answer is a 5xx.

A short form with a fixed seed; `python -m tests.fuzz` sends 10,000.
"""

import logging

from django.contrib.auth import get_user_model

from movie.pages.tests.addresses import PASSWORD, patterns, populate
from tests.fuzz.run import Fuzzer, Outcome

WHO = ("guest", "member", "staff")


def test_no_request_breaks_the_site(api_site, settings, request, caplog):
    settings.WRITE_RATE_LIMIT = settings.PAGE_RATE_LIMIT = 1_000_000
    caplog.set_level(logging.WARNING, "movie.access")  # a line for each request
    number, seed = request.config.getoption("fuzz_requests"), request.config.getoption("fuzz_seed")
    known = populate()
    get_user_model().objects.create_user("ann", "ann@example.org", PASSWORD)
    outcome = Outcome()
    for position, who in enumerate(WHO):
        Fuzzer(who, known, seed, outcome).run(number // len(WHO) + (position < number % len(WHO)))
    print(outcome.table())  # noqa: T201 - shown when it fails
    assert not outcome.broken
    assert sum(outcome.statuses.values()) == number
    assert len(outcome.addresses) >= len(set(map(str, map(_written, patterns()))))


def _written(found: tuple) -> list[str]:
    return [str(part) for part in found[0]]
