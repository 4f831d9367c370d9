"""manage.py retrain: what serves changes for the better or not at all, and it is said why."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from datasets.interactions import Interactions
from datasets.splits.protocols import latest_of_each_pair
from movie.catalogue.models import Rating
from movie.catalogue.tests.films import LONG_AGO, make_film
from movie.events.recording import new_event_id, record_all
from movie.recommendations.movie_index import recheck
from movie.recommendations.new_films import with_new_films
from movie.recommendations.ranking import recommend
from movie.training import promotion
from movie.training.comparison import (
    BALANCE,
    Comparison,
    IdTranslatingPredictor,
    _later_cases,
    compare,
    compare_by_rank,
)
from movie.training.datasets import load_training_data
from movie.training.models import TrainingRun
from movie.training.promotion import exclusive_lock, recipe_of
from movie.training.temporal_split import split_by_time
from predictors.history import History, Interaction
from predictors.id_map import IdMap
from predictors.models.for_you.model import ForYouPredictor
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularConfig, PopularPredictor
from predictors.query import Query
from predictors.serving.registry import ModelStore
from predictors.testing import overwrite

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
ENOUGH = ("--min-visitors", "10")


@pytest.fixture(autouse=True)
def store(settings, tmp_path: Path) -> ModelStore:
    settings.MODEL_DIR = tmp_path / "models"
    return ModelStore(settings.MODEL_DIR)


def stars(film: int) -> float:
    return 5.0 if film >= 6 else 3.0 + film % 3


@pytest.fixture
def site() -> list:
    """Twelve films; thirty data-set users watched the first six of them long ago, five the other six."""
    films = [make_film(f"Film {number}", 1990 + number) for number in range(12)]
    rng = np.random.default_rng(0)
    Rating.objects.bulk_create(
        Rating(
            visitor=f"ml-100k:{user}",
            movie=films[film],
            value=stars(film),
            rated_at=LONG_AGO + timedelta(hours=step),
        )
        for user in range(35)
        for step, film in enumerate(rng.permutation(6)[:4] if user < 30 else range(6, 12))
    )
    return films


def visits(films: list, chosen: range) -> None:
    """Forty new visitors who rate some of these films lately, each later than the one before."""
    rng = np.random.default_rng(1)
    record_all(
        Interaction(
            new_event_id(),
            f"user:{visitor}",
            "rating",
            films[film].pk,
            NOW - timedelta(days=1) + timedelta(minutes=10 * visitor + step),
            stars(film),
        )
        for visitor in range(40)
        for step, film in enumerate(rng.permutation(list(chosen))[:3])
    )


def run(*args: object) -> str:
    out = io.StringIO()
    call_command(*map(str, args), stdout=out)
    return out.getvalue()


def ended(*args: object) -> int:
    with pytest.raises(SystemExit) as end:
        run(*args)
    return end.value.code


@pytest.mark.django_db(transaction=True)  # the registry loads in a thread with a connection of its own
def test_a_better_version_goes_live_in_a_running_process(site, store) -> None:
    run("train", "popular", "--from-site", "--activate")
    first = store.current("popular")
    assert recommend(History.EMPTY, model="popular").version == first
    visits(site, range(6, 12))  # what people watch has changed
    said = run("retrain", *ENOUGH)
    second = store.current("popular")
    assert second != first
    assert f"popular {second} is active. NDCG@10" in said
    deadline = time.monotonic() + 60
    while recommend(History.EMPTY, model="popular").version != second and time.monotonic() < deadline:
        time.sleep(0.05)
    live = recommend(History.EMPTY, model="popular", k=6)
    assert live.version == second
    assert {found.movie_id for found in live.recommendations[:6]} & {film.pk for film in site[6:]}
    assert run("models", "roll-back", "popular") and store.current("popular") == first


def test_a_candidate_that_cannot_be_activated_is_stored_with_the_reason(site, store, monkeypatch) -> None:
    run("train", "popular", "--from-site", "--activate")
    first = store.current("popular")
    visits(site, range(6, 12))
    monkeypatch.setattr(promotion, "find_obstacle", lambda meta: "its index finds too little")
    assert ended("retrain", *ENOUGH) == 3
    assert store.current("popular") == first
    (candidate,) = set(store.versions("popular")) - {first}
    retrained = store.meta("popular", candidate)["retrained"]
    assert retrained["outcome"] == "kept"
    assert "its index finds too little" in retrained["reason"]


def test_the_version_that_serves_has_learned_from_the_rows_it_was_asked_about(site, store) -> None:
    run("train", "neighbours", "--from-site", "--activate")
    visits(site, range(6, 12))
    run("retrain", "neighbours", *ENOUGH)
    serves = store.load("neighbours", store.current("neighbours"))
    rows = load_training_data()
    expected = NeighboursPredictor.fit(latest_of_each_pair(rows))
    np.testing.assert_array_equal(serves.similarities.toarray(), expected.similarities.toarray())
    assert serves.meta["data"]["until"] == rows.at.max()
    assert serves.meta["retrained"]["outcome"] == "activated"


def test_films_that_come_while_any_model_is_trained_are_new_to_all(site, store, monkeypatch) -> None:
    run("train", "neighbours", "ease", "--from-site", "--activate")
    visits(site, range(6, 12))
    came = []
    fit = NeighboursPredictor.fit.__func__

    def slow_fit(cls, *args, **options):
        came.append(make_film("The Newcomer", 2001, genres=["Western"]).pk)
        return fit(cls, *args, **options)

    monkeypatch.setattr(NeighboursPredictor, "fit", classmethod(slow_fit))
    run("retrain", "neighbours", "ease", *ENOUGH, "--tolerance", "0.99")
    recheck()
    for name in ("neighbours", "ease"):
        serves = store.load(name, store.current(name))
        assert serves.meta["retrained"]["outcome"] == "activated"
        assert set(came) <= set(with_new_films(serves).new_ids)


def test_the_outcome_is_recorded_with_both_figures(site, store) -> None:
    run("train", "popular", "--from-site", "--activate")
    first = store.current("popular")
    visits(site, range(6, 12))
    run("retrain", "popular", *ENOUGH)
    recorded = store.verify("popular", store.current("popular"))["retrained"]
    compared = recorded["comparison"]
    assert (recorded["outcome"], recorded["active_before"]) == ("activated", first)
    assert (compared["protocol"], compared["metric"], compared["visitors"]) == (
        "after-training",
        "NDCG@10",
        10,
    )
    assert compared["candidate"] > compared["active"]
    assert compared["low"] <= compared["difference"] <= compared["high"]
    row = TrainingRun.objects.filter(model="popular").first()
    assert (row.state, row.version) == ("done", store.current("popular"))
    assert "is active" in row.message and "after-training, 10 visitors" in row.message
    assert row.metrics["after-training NDCG@10"] == compared["candidate"]
    assert row.metrics["after-training NDCG@10, active before"] == compared["active"]


def test_a_worse_version_is_kept_out_and_the_reason_is_recorded(site, store) -> None:
    run("train", "popular", "--from-site", "--activate")
    first = store.current("popular")
    visits(site, range(6))
    by_stars_alone = ("--options", "rating_weight=1000")
    assert ended("retrain", *ENOUGH, *by_stars_alone) == 3
    assert store.current("popular") == first
    (second,) = set(store.versions("popular")) - {first}
    recorded = store.meta("popular", second)["retrained"]
    assert recorded["outcome"] == "kept" and ", worse by more than 2 %" in recorded["reason"]
    row = TrainingRun.objects.first()
    assert row.version == second and "is kept out" in row.message and ", worse by more" in row.message
    run("retrain", *ENOUGH, *by_stars_alone, "--tolerance", "0.99")
    assert store.current("popular") not in (first, second)


def test_with_too_little_new_nothing_is_trained_but_another_recipe_is_compared_on_the_same_rows(
    site, store
) -> None:
    run("train", "popular", "--from-site", "--activate")
    first = store.current("popular")
    assert ended("retrain", *ENOUGH) == 3
    assert store.versions("popular") == [first]
    assert "there is nothing to decide" in TrainingRun.objects.first().message
    run("retrain", *ENOUGH, "--options", "prior=19", "--tolerance", "0.5")
    recorded = store.meta("popular", store.current("popular"))["retrained"]
    assert recorded["comparison"]["protocol"] == "same-rows"
    assert store.meta("popular", store.current("popular"))["config"]["prior"] == 19
    assert ended("retrain", "--min-visitors", "1000", "--options", "prior=5") == 3


def test_a_dry_run_leaves_no_trace(site, store) -> None:
    run("train", "popular", "--from-site", "--activate")
    visits(site, range(6, 12))
    versions, runs = store.versions("popular"), TrainingRun.objects.count()
    assert "dry run: would be activated. NDCG@10" in run("retrain", *ENOUGH, "--dry-run")
    assert (store.versions("popular"), TrainingRun.objects.count()) == (versions, runs)
    assert {path.name for path in store.root.iterdir()} == {"popular", ".retraining.lock"}


def test_a_first_version_serves_at_once(site, store) -> None:
    assert "There was no active version" in run("retrain", "popular")
    assert store.current("popular")


def test_a_version_that_cannot_be_read_is_replaced(site, store) -> None:
    run("train", "popular", "--from-site", "--activate")
    broken = store.current("popular")
    overwrite((store.path("popular", broken) / "weights.safetensors"), b"?")
    assert "cannot be read" in run("retrain", "popular")
    assert store.current("popular") != broken


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_what_serves_alone(site, store, monkeypatch, number) -> None:
    run("train", "neighbours", "--from-site", "--activate")
    first = store.current("neighbours")
    visits(site, range(6, 12))
    fit = NeighboursPredictor.fit.__func__

    def interrupted_fit(cls, *args, **options):
        os.kill(os.getpid(), number)
        return fit(cls, *args, **options)

    monkeypatch.setattr(NeighboursPredictor, "fit", classmethod(interrupted_fit))
    with pytest.raises(CommandError, match="Interrupted") as end:
        run("retrain", "neighbours", "popular", *ENOUGH)
    assert end.value.returncode == 130
    assert store.versions("neighbours") == [first] == [store.current("neighbours")]
    assert not (store.root / ".retraining").exists()
    left = TrainingRun.objects.first()
    assert (left.model, left.state, left.message) == ("neighbours", "failed", "Interrupted.")


def test_two_do_not_race(site, store) -> None:
    run("train", "popular", "--from-site", "--activate")
    with exclusive_lock(store.root), pytest.raises(CommandError, match=f"process {os.getpid()}") as end:
        run("retrain", *ENOUGH)
    assert end.value.returncode == 75
    with (store.root / ".retraining.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_version_activated_by_hand_meanwhile_stays(site, store, monkeypatch) -> None:
    run("train", "popular", "--from-site", "--activate")
    run("train", "popular", "--from-site")
    by_hand = store.versions("popular")[0]
    visits(site, range(6, 12))
    fit = PopularPredictor.fit.__func__

    def slow_fit(cls, *args, **options):
        store.activate("popular", by_hand)
        return fit(cls, *args, **options)

    monkeypatch.setattr(PopularPredictor, "fit", classmethod(slow_fit))
    assert ended("retrain", *ENOUGH) == 3
    assert store.current("popular") == by_hand
    assert "activated meanwhile" in TrainingRun.objects.first().message


def test_one_that_fails_is_named_and_the_others_are_retrained(site, store) -> None:
    run("train", "popular", "neighbours", "--from-site", "--activate")
    first = store.current("popular")
    visits(site, range(6, 12))
    with pytest.raises(CommandError, match=r"neighbours.*'half_life_days'") as end:
        run("retrain", *ENOUGH, "--options", "half_life_days=7")
    assert end.value.returncode == 1
    assert store.current("popular") != first


@pytest.mark.parametrize("error", [ValueError("a bad day"), MemoryError(), ZeroDivisionError()])
def test_whatever_one_model_raises_the_others_are_retrained(site, store, monkeypatch, error) -> None:
    run("train", "neighbours", "popular", "--from-site", "--activate")
    kept, replaced = store.current("neighbours"), store.current("popular")
    visits(site, range(6, 12))

    def fail(cls, *args, **options):
        raise error

    monkeypatch.setattr(NeighboursPredictor, "_fit", classmethod(fail))
    with pytest.raises(CommandError, match=f"neighbours: {type(error).__name__}") as end:
        run("retrain", *ENOUGH)
    assert end.value.returncode == 1
    assert store.current("neighbours") == kept
    assert store.current("popular") != replaced


def test_the_star_predictor_is_judged_by_its_stars(site, store) -> None:
    run("train", "mf", "--from-site", "--activate", "--options", "factors=2")
    first = store.current("mf")
    visits(site, range(6))
    code = ended("retrain", "mf", *ENOUGH, "--options", "groups=0", "bias_ridge=100000")
    (second,) = set(store.versions("mf")) - {first}
    recorded = store.meta("mf", second)["retrained"]
    compared = recorded["comparison"]
    assert code == 3 and compared["metric"] == "RMSE" and compared["candidate"] > compared["active"]
    assert store.meta("mf", second)["config"]["factors"] == 2, "the active version's options are kept"


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["nonsense"], "known: popular"),
        ([], "No model is active"),
        (["popular"], "import_ratings"),
        (["popular", "--tolerance", "1"], "--tolerance"),
        (["popular", "--min-visitors", "0"], "--min-visitors"),
        (["popular", "--options", "prior"], "name=value"),
        (["popular", "--data", __file__], "no training feed"),
    ],
)
def test_what_is_wrong_is_named(args: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint) as end:
        run("retrain", *args)
    assert end.value.returncode == 1


def rows(*described: tuple[int, int, int]) -> Interactions:
    users, items, at = (np.array(column) for column in zip(*described, strict=True))
    ids = {"user_ids": np.arange(users.max() + 1), "item_ids": np.arange(items.max() + 1)}
    return Interactions.from_columns(users, items, at=at, **ids)


def test_nothing_that_is_asked_about_was_learned_from() -> None:
    data = rows(*[(user, step, 100 * step + user) for user in range(40) for step in range(3)])
    split = split_by_time(data, since=220, min_visitors=5, seed=1)
    assert len(split) == 5 and split.until == 234
    assert split.train.at.max() <= split.until < split.rows.at[split.targets].min()
    assert [split.rows.items[split.history_rows(target)].tolist() for target in split.targets] == [[0, 1]] * 5
    assert split_by_time(data, since=236, min_visitors=5, seed=1) is None
    assert split_by_time(rows((0, 0, 5), (1, 1, 5), (1, 2, 5)), since=None, min_visitors=1, seed=1) is None


def test_a_version_is_asked_in_the_ids_of_the_data() -> None:
    """It knows films 7 and 5, in that order; the data has 5, 6 and 7."""
    predictor = PopularPredictor(np.array([1.0, 2.0], np.float32), IdMap([7, 5]))
    asked = IdTranslatingPredictor(predictor, np.array([5, 6, 7]))
    assert asked.score([Query.from_indices([1])]).tolist() == [[2.0, -np.inf, 1.0]]
    predictor.min_history = 1
    assert np.isneginf(asked.score([Query.from_indices([1])])).all(), "it knows no film of this visitor"


def test_the_recipe_of_every_kind_is_what_the_kind_takes() -> None:
    predictor = PopularPredictor(np.ones(1, np.float32), IdMap([1]), PopularConfig(prior=3.0))
    assert recipe_of(predictor) == {"rating_weight": 0.03, "prior": 3.0, "half_life_days": 730.0}
    assert predictor.recommend(History.EMPTY, 1)


def test_a_model_that_is_fitted_for_a_balance_is_judged_by_it() -> None:
    """Each of forty people met films 0 and 1 before the moment, then 2 to 13, and film 20 last."""
    films = [*range(14), 20]
    rated = [(user, film, 100 * step + user) for user in range(40) for step, film in enumerate(films)]
    split = split_by_time(rows(*rated, (40, 39, 0)), since=None, min_visitors=40, seed=1)
    split = replace(split, until=199)
    later, last, both = (np.zeros(40, np.float32) for _ in range(3))
    later[2:14] = both[2:14] = 1
    last[20] = both[20] = 2
    last[2:14] = later[20] = -1

    def judged(candidate: np.ndarray, active: np.ndarray, judge=compare) -> Comparison:
        versions = [PopularPredictor(scores, IdMap(list(range(40)))) for scores in (candidate, active)]
        versions[0].aims_at_balance = True
        options = {"by_stars": False} if judge is compare else {}
        return judge(*versions, split, "same-rows", **options)

    assert ForYouPredictor.aims_at_balance and not PopularPredictor.aims_at_balance
    found = judged(both, later)
    assert (found.metric, found.visitors, found.stated) == (BALANCE, 40, "met")
    assert found.candidate == pytest.approx(1) and found.active < 0.6, "both parts count alike"
    assert judged(later, later).difference == 0
    assert judged(last, both, compare_by_rank).difference == 0, "of what comes next it knows as much"
    assert judged(last, both).difference < -0.3


def test_what_came_later_is_asked_from_the_moment_on_and_of_new_visitors_from_their_second_film() -> None:
    data = rows((0, 0, 10), (0, 1, 20), (0, 2, 30), (1, 3, 40), (1, 4, 50), (1, 5, 60))
    split = split_by_time(data, since=None, min_visitors=2, seed=1)
    later = _later_cases(replace(split, until=15))
    assert [later.history[row].tolist() for row in range(2)] == [[0], [3]]
    assert [later.targets[row].tolist() for row in range(2)] == [[1, 2], [4, 5]]
