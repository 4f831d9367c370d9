"""Free-form attributes are bounded wherever they are written: by staff and when two films become one."""

import pytest
from django.core.exceptions import ValidationError

from movie.catalogue.attributes import LONGEST, LONGEST_TEXT, MOST_ATTRIBUTES, merge_attributes
from movie.catalogue.merging import merge_facts
from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "attributes",
    [
        ["a list"],
        {"nested": {"a": 1}},
        {"texts": ["a", 1]},
        {"texts": ["a"] * 101},
        {"text": "x" * (LONGEST_TEXT + 1)},
        {"": 1},
        {"x" * 65: 1},
        {"number": 2**60},
        {"number": float("nan")},
        {str(n): n for n in range(MOST_ATTRIBUTES + 1)},
        {str(n): "x" * LONGEST_TEXT for n in range(LONGEST // LONGEST_TEXT + 1)},
    ],
    ids=str,
)
def test_staff_write_no_more_than_a_program(attributes):
    with pytest.raises(ValidationError, match="Expected a JSON object of at most 50 names"):
        Movie(title="Heat", attributes=attributes).full_clean()
    allowed = {"price": 3.5, "tags": ["a"] * 100, "new": True, "none": None}
    Movie(title="Heat", attributes=allowed).full_clean()


def test_what_two_films_say_stays_within_bounds_when_they_become_one():
    keep, other = make_film("Heat", 1995), make_film("Heat", 1995)
    keep.attributes = {"a": 1, **{f"k{n}": n for n in range(MOST_ATTRIBUTES - 2)}}
    other.attributes = {"a": 2, "b": 3, "c": 4}
    merge_facts(keep, other)
    keep.refresh_from_db()
    assert len(keep.attributes) == MOST_ATTRIBUTES
    assert (keep.attributes["a"], keep.attributes["b"]) == (1, 3)
    assert merge_attributes({"x": "x" * (LONGEST - 20)}, {"y": "y" * 20, "z": 1}).keys() == {"x", "z"}
