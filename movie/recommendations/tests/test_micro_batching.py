"""Functions that run together are scored together, and what goes wrong reaches those it concerns."""

import numpy as np
import pytest

from movie.recommendations.micro_batching import first_stage, run_together
from predictors.ranking import AllScores


class Doubling:
    """Scores a number by its double, and notes how many were scored at once."""

    def __init__(self, *, is_costly: bool = False) -> None:
        self.sizes, self.is_costly = [], is_costly

    def first_stage(self, numbers):
        self.sizes.append(len(numbers))
        if 0 in numbers:
            raise ValueError("no zero")
        return [AllScores(np.array([2.0 * number])) for number in numbers]


def score(predictor, number):
    return float(first_stage(predictor, number).scores[0])


def test_each_gets_its_own_scores_from_one_call():
    one, other = Doubling(), Doubling()
    numbers = list(range(1, 7))
    found = run_together([lambda n=n: score(one if n < 5 else other, n) for n in numbers])
    assert found == [2.0 * n for n in numbers]
    assert (one.sizes, other.sizes) == ([4], [2])


def test_one_that_asks_twice_one_that_does_not_and_one_alone():
    predictor = Doubling()
    twice, never, once = (
        lambda: score(predictor, score(predictor, 1)),
        lambda: 7,
        lambda: score(predictor, 3),
    )
    assert run_together([twice, never, once]) == [4.0, 7, 6.0]
    assert predictor.sizes == [2, 1]
    assert score(predictor, 5) == 10.0
    assert run_together([]) == []


def test_an_error_of_one_is_its_own_and_an_error_of_the_scoring_everybodys():
    predictor = Doubling()

    def refuse():
        raise KeyError("mine")

    mine, fine = run_together([refuse, lambda: score(predictor, 1)])
    assert isinstance(mine, KeyError)
    assert fine == 2.0
    for found in run_together([lambda: score(predictor, 0), lambda: score(predictor, 1)]):
        with pytest.raises(ValueError, match="no zero"):
            raise found


def test_a_costly_model_answers_each_at_once():
    costly = Doubling(is_costly=True)
    assert run_together([lambda: score(costly, 1), lambda: score(costly, 2)]) == [2.0, 4.0]
    assert costly.sizes == [1, 1]
