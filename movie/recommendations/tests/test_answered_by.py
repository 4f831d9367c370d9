"""The line under a list says when its model was trained, and no version."""

from datetime import timedelta

import pytest
from django.utils import timezone

from movie.recommendations.ranked_list import RankedList, trained_on


@pytest.mark.parametrize(("days", "said"), [(0, "today"), (1, "yesterday")])
def test_a_recent_training_is_said_in_words(days, said):
    made = timezone.now() - timedelta(days=days)
    ranked = RankedList("ease", f"{made:%Y%m%dT%H%M%S}.000001-a82c")
    assert ranked.answered_by == f"Answered by EASE, trained {said}."


def test_an_earlier_training_is_said_by_its_day():
    ranked = RankedList("ease", "20240503T120000.000001-a82c")
    assert ranked.answered_by == "Answered by EASE, trained on May 3, 2024."


@pytest.mark.parametrize("version", ["", "first", "20249903T120000"])
def test_a_version_without_a_time_has_no_day(version):
    assert trained_on(version) is None
    assert RankedList("ease", version).answered_by == "Answered by EASE."
