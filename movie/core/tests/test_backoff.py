"""Pauses between tries: they grow to their limit and stay there, however long a service is away."""

import pytest

from movie.core.backoff import FIRST_PAUSE, Backoff


def test_pauses_double_up_to_the_limit_however_many_failures():
    backoff = Backoff(longest=3.0)
    pauses = [backoff.next_pause() for _failure in range(1_100)]
    for pause, expected in zip(pauses, (FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE), strict=False):
        assert expected / 2 <= pause <= expected
    assert all(1.5 <= pause <= 3.0 for pause in pauses[4:])
    backoff.reset()
    assert backoff.next_pause() <= FIRST_PAUSE == pytest.approx(0.2)
