"""Functions that run together are scored together, and what goes wrong reaches those it concerns."""

import gc
import weakref
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from django.core.cache import caches

from movie.core.http import TooManyRequests
from movie.recommendations import ceiling
from movie.recommendations.micro_batching import first_stage, let_others_go_first, run_together
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
    return float(first_stage(predictor, number)[0].scores[0])


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


def test_what_is_past_an_exception_is_one_outcome_too():
    predictor = Doubling()

    def leave():
        raise SystemExit

    gone, fine = run_together([leave, lambda: score(predictor, 1)])
    assert isinstance(gone, SystemExit)
    assert fine == 2.0


def test_a_predictor_that_returns_too_few_scores_fails_all_that_asked():
    predictor = Doubling()
    predictor.first_stage = lambda numbers: [AllScores(np.zeros(1))]
    one, other = run_together([lambda: score(predictor, 1), lambda: score(predictor, 2)])
    assert isinstance(one, ValueError) and isinstance(other, ValueError)


def test_a_costly_call_comes_after_the_cheap_ones_and_before_those_that_have_not_begun():
    predictor, done = Doubling(), []

    def cheap(number):
        score(predictor, number)
        done.append(number)

    def costly():
        let_others_go_first()
        done.append("costly")

    run_together([partial(cheap, 1), costly, partial(cheap, 3), costly])
    assert done == [1, "costly", 3, "costly"]
    let_others_go_first()  # alone there is nobody to wait for


def test_those_that_find_no_place_for_a_costly_call_wait_for_it_together(monkeypatch, settings):
    """All for one WAIT_SECONDS, and before any of them waits the others of the group are done."""
    settings.COSTLY_CALLS = 1
    predictor, own, clock, done = Doubling(), ceiling.Ceiling(), SimpleNamespace(now=0.0), []
    monkeypatch.setattr(ceiling, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def wait_for(is_free, seconds):
        done.append(max(seconds, 0))
        clock.now += done[-1]
        return is_free()

    def explain():
        score(predictor, 1)
        with own.costly_call():
            pass

    def cheap():
        score(predictor, 1)
        done.append("cheap")

    with own.costly_call():
        monkeypatch.setattr(own._free, "wait_for", wait_for)
        outcomes = run_together([explain, explain, explain, explain, cheap])
    assert [type(each) for each in outcomes] == [TooManyRequests] * 4 + [type(None)]
    assert done == ["cheap", ceiling.WAIT_SECONDS, 0, 0, 0]


def redis_at(number):
    backend = {
        "BACKEND": "movie.core.caching.ForgivingRedisCache",
        "LOCATION": f"redis://127.0.0.1:{number}/0",
    }
    return {"default": backend}


def test_the_requests_of_a_group_use_one_client_of_redis(settings):
    settings.CACHES = redis_at(1)
    one, other = run_together([lambda: caches["default"]._cache] * 2)
    assert one is other
    assert one.get_client().connection_pool is other.get_client().connection_pool
    settings.CACHES = redis_at(2)
    (elsewhere,) = run_together([lambda: caches["default"]._cache])
    assert elsewhere is not one


def test_nothing_stays_of_a_group_that_has_ended():
    """Neither functions, which hold requests, nor what they returned or raised."""

    class Kept(Exception):
        pass

    def fail(error):
        raise error

    functions, kept = [], []
    for error in (Kept(), Kept()):
        functions.append(partial(fail, error))
        kept += [weakref.ref(error), weakref.ref(functions[-1])]
    outcomes = run_together(functions)
    assert [type(each) for each in outcomes] == [Kept, Kept]
    del functions, outcomes, error
    gc.collect()
    assert not any(each() for each in kept)


def test_what_one_group_left_behind_is_no_part_of_the_next():
    predictor = Doubling()
    for first in (1, 4):
        numbers = range(first, first + 3)
        found = run_together([lambda n=n: score(predictor, n) for n in numbers])
        assert found == [2.0 * n for n in numbers]

    def within():  # a group in a task of another one
        return run_together([lambda: score(predictor, 7)] * 2)

    assert run_together([within, lambda: score(predictor, 8)]) == [[14.0, 14.0], 16.0]
    assert run_together([lambda: score(predictor, 9)] * 3) == [18.0] * 3
