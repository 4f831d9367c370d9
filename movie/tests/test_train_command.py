"""manage.py train and manage.py models: from data to a version that serves, and clear words otherwise."""

from __future__ import annotations

import io
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from datasets.splits.protocols import latest_of_each_pair
from movie.models import SILENT_AFTER, Rating, TrainingRun
from movie.tests.films import LONG_AGO, make_film
from movie.training_data import to_train_on
from predictors.history import History
from predictors.models.neighbours import NeighboursPredictor
from predictors.serving.registry import ModelStore

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def store(settings, tmp_path: Path) -> ModelStore:
    settings.MODEL_DIR = tmp_path / "models"
    return ModelStore(settings.MODEL_DIR)


@pytest.fixture
def site() -> list:
    """Twelve films and twenty data-set users with six ratings each."""
    films = [make_film(f"Film {number}", 1990 + number) for number in range(12)]
    rng = np.random.default_rng(0)
    Rating.objects.bulk_create(
        Rating(visitor=f"ml-100k:{user}", movie=films[film], value=4.0, rated_at=LONG_AGO)
        for user in range(20)
        for film in rng.choice(12, 6, replace=False)
    )
    return films


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    rows = [
        f"{user},{(user * 5 + step * 3) % 11},{3 + step % 3},{step}"
        for user in range(12)
        for step in range(4)
    ]
    path.write_text("userId,movieId,rating,timestamp\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def run(*args: object, **options: object) -> str:
    out = io.StringIO()
    call_command(*map(str, args), stdout=out, **options)
    return out.getvalue()


def test_training_from_the_site_publishes_and_activates(site, store) -> None:
    said = run("train", "popular", "neighbours", "--from-site", "--activate")
    for name in ("popular", "neighbours"):
        version = store.current(name)
        assert version
        assert version in said
        meta = store.verify(name, version)
        assert meta["data"]["id_space"] == "site"
        assert (meta["data"]["n_users"], meta["data"]["n_interactions"]) == (20, 120)
        figure = meta["metrics"][0]
        assert (figure["protocol"], figure["part"], figure["users"]) == ("leave-one-out", "validation", 20)
        assert 0 <= figure["NDCG@10"] <= figure["HR@10"] <= 1
    best = store.load("popular", store.current("popular")).recommend(History.EMPTY, 12)
    assert {found.movie_id for found in best} == {film.pk for film in site}


def test_the_site_can_show_what_was_trained(site) -> None:
    run("train", "popular", "--from-site")
    trained = TrainingRun.objects.get()
    assert (trained.model, trained.state, trained.percent) == ("popular", "done", 100)
    assert trained.metrics["NDCG@10"] >= 0
    assert trained.version


def test_progress_is_written_while_a_model_trains(site, monkeypatch) -> None:
    seen = []
    fit = NeighboursPredictor.fit.__func__

    def slow_fit(cls, data, config, run):
        run.report(0.9, "nearly there", {"NDCG@10": 0.25})
        seen.append(
            TrainingRun.objects.values("state", "progress", "message", "metrics").get(model="neighbours")
        )
        return fit(cls, data, config, run)

    monkeypatch.setattr(NeighboursPredictor, "fit", classmethod(slow_fit))
    monkeypatch.setattr("movie.training_runs.SECONDS_BETWEEN_WRITES", 0)
    run("train", "neighbours", "--from-site")
    (row,) = seen
    assert (row["state"], row["message"], row["metrics"]) == ("running", "nearly there", {"NDCG@10": 0.25})
    assert 0.4 < row["progress"] < 0.6


def test_what_serves_has_learned_from_every_row(site, store) -> None:
    run("train", "neighbours", "--from-site")
    run("train", "neighbours", "--from-site", "--no-refit")
    measured, everything = (store.load("neighbours", version) for version in store.versions("neighbours"))
    rows = to_train_on()
    expected = NeighboursPredictor.fit(latest_of_each_pair(rows))
    np.testing.assert_array_equal(everything.similarities.toarray(), expected.similarities.toarray())
    assert (measured.similarities != everything.similarities).nnz
    assert everything.meta["metrics"][0]["NDCG@10"] == measured.meta["metrics"][0]["NDCG@10"]


def test_training_on_a_file_is_measured_but_cannot_be_activated(data, store) -> None:
    run("train", "neighbours", "--data", data)
    (version,) = store.versions("neighbours")
    assert store.meta("neighbours", version)["data"]["id_space"] == "file"
    assert store.current("neighbours") == ""
    with pytest.raises(CommandError, match="train neighbours --from-site"):
        run("models", "activate", "neighbours", version)
    with pytest.raises(CommandError, match="--from-site"):
        run("train", "neighbours", "--data", data, "--activate")
    assert store.current("neighbours") == ""


def test_options_reach_the_model_and_the_artefact(data, store) -> None:
    run(
        "train",
        "neighbours",
        "--data",
        data,
        "--options",
        "neighbours=3",
        "shrinkage=1.5",
        "--min-rating",
        "4",
    )
    (version,) = store.versions("neighbours")
    meta = store.meta("neighbours", version)
    assert (meta["config"]["neighbours"], meta["config"]["shrinkage"]) == (3, 1.5)
    assert meta["data"]["n_interactions"] < 48


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["train", "nonsense", "--from-site"], "nonsense.*popular, neighbours"),
        (["train", "popular", "--from-site"], "import_ratings"),
        (["train", "popular", "--from-site", "--format", "csv"], "with --data"),
        (["train", "popular", "--data", "/no/such/file"], "no such file"),
        (["train", "popular"], "one of the arguments"),
        (["train", "popular", "--from-site", "--options", "prior"], "name=value"),
        (["models", "activate", "popular", "v1"], "train popular --from-site"),
        (["models", "activate", "nonsense", "v1"], "known: popular"),
        (["models", "roll-back", "popular"], "no earlier version"),
        (["models", "verify", "popular", "v1"], "no version"),
        (["models", "prune", "--keep", "0"], "1 or more"),
    ],
)
def test_what_is_wrong_is_named(args: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=re.compile(complaint, re.DOTALL)):
        run(*args)
    assert not TrainingRun.objects.exists()


def test_a_model_that_fails_is_recorded_and_the_others_are_trained(site, store) -> None:
    with pytest.raises(CommandError, match=r"neighbours.*'prior'"):
        run("train", "neighbours", "popular", "--from-site", "--options", "prior=5")
    states = dict(TrainingRun.objects.values_list("model", "state"))
    assert states == {"neighbours": "failed", "popular": "done"}
    assert "prior" in TrainingRun.objects.get(model="neighbours").message
    assert store.versions("popular")
    assert not store.versions("neighbours")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_and_says_how_to_go_on(site, store, monkeypatch, number) -> None:
    fit = NeighboursPredictor.fit.__func__

    def interrupted_fit(cls, *args, **options):
        os.kill(os.getpid(), number)
        return fit(cls, *args, **options)

    monkeypatch.setattr(NeighboursPredictor, "fit", classmethod(interrupted_fit))
    before = signal.getsignal(number)
    with pytest.raises(CommandError, match="train neighbours popular --from-site --activate --resume") as end:
        run("train", "neighbours", "popular", "--from-site", "--activate")
    assert end.value.returncode == 130
    assert signal.getsignal(number) is before
    assert not store.versions("neighbours")
    left = TrainingRun.objects.get()  # the one that was not begun is gone
    assert (left.model, left.state, left.message) == ("neighbours", "failed", "Interrupted.")


def test_a_run_whose_process_vanished_is_closed(site) -> None:
    lost = TrainingRun.objects.create(model="sasrec", state="running")
    TrainingRun.objects.filter(pk=lost.pk).update(updated_at=lost.updated_at - 2 * SILENT_AFTER)
    run("train", "popular", "--from-site")
    lost.refresh_from_db()
    assert lost.state == "failed"


def test_roll_back_serves_the_version_before(site, store) -> None:
    run("train", "popular", "--from-site", "--activate")
    first = store.current("popular")
    run("train", "popular", "--from-site", "--activate")
    assert store.current("popular") != first
    assert first in run("models", "roll-back", "popular")
    assert store.current("popular") == first


def test_the_list_shows_versions_figures_and_what_serves(site, store, data) -> None:
    assert "No model is trained yet" in run("models")
    run("train", "popular", "--from-site", "--activate")
    run("train", "popular", "--data", data)
    listed = run("models", "list")
    lines = {
        version: next(line for line in listed.splitlines() if version in line)
        for version in store.versions("popular")
    }
    active = lines.pop(store.current("popular"))
    (other,) = lines.values()
    assert "active" in active
    assert "this site: 120 from 20 users, 12 films" in active
    assert "leave-one-out validation NDCG@10" in active
    assert "active" not in other
    assert data.name in other


def test_a_damaged_version_is_found_and_listed(site, store) -> None:
    run("train", "popular", "--from-site", "--activate")
    version = store.current("popular")
    assert f"popular {version}: sound" in run("models", "verify")
    weights = store.path("popular", version) / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CommandError, match=r"weights\.safetensors is damaged"):
        run("models", "verify", "popular", version)
    (store.path("popular", version) / "meta.json").write_text("{", encoding="utf-8")
    assert "damaged" in run("models", "list")


def test_prune_keeps_the_newest_and_whatever_is_needed(site, store) -> None:
    run("train", "popular", "--from-site", "--activate")
    first = store.current("popular")
    for _ in range(3):
        run("train", "popular", "--from-site")
    versions = store.versions("popular")
    said = run("models", "prune", "--keep", "1", "--dry-run")
    assert said.count("would delete") == 2
    assert store.versions("popular") == versions
    run("models", "prune", "popular", "--keep", "1")
    assert store.versions("popular") == [versions[0], first]
    assert "nothing to delete" in run("models", "prune", "--keep", "1")
