"""Options from names and text."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from predictors.config import as_config, parse_pairs, read_options
from predictors.errors import TrainingError


@dataclass(frozen=True)
class Dials:
    depth: int = 3
    width: float = 0.5
    fast: bool = False
    label: str = "plain"
    steps: tuple[float, ...] = (1.0, 2.0)


def test_text_becomes_the_type_of_the_default() -> None:
    given = {"depth": "7", "width": "1e-3", "fast": "yes", "label": "x", "steps": "0.1,4"}
    assert read_options(Dials, given) == Dials(7, 0.001, True, "x", (0.1, 4.0))
    assert read_options(Dials, None) == Dials()


@pytest.mark.parametrize(
    "given", [{"depth": "2.5"}, {"depth": 2.5}, {"width": "nan"}, {"fast": "maybe"}, {"steps": "1,two"}]
)
def test_a_value_of_the_wrong_type_is_refused_with_its_name(given: dict) -> None:
    with pytest.raises(TrainingError, match=next(iter(given))):
        read_options(Dials, given)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TrainingError, match=r"'dept'.*depth, width"):
        read_options(Dials, {"dept": 1})


def test_what_is_offered_to_every_kind_is_no_error() -> None:
    assert read_options(Dials, {"seed": 3, "cpu_budget_seconds": 60}) == Dials()


def test_config_is_what_json_gives_back() -> None:
    assert as_config(Dials())["steps"] == [1.0, 2.0]


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert parse_pairs(["a=1", " b = x=y"]) == {"a": "1", "b": "x=y"}
    for wrong in ("a", "=1"):
        with pytest.raises(TrainingError, match="name=value"):
            parse_pairs([wrong])
