"""manage.py train and manage.py models: from data to a version that serves, and clear words otherwise."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from datasets.splits.protocols import latest_of_each_pair
from movie.catalogue.models import Rating
from movie.catalogue.tests.films import LONG_AGO, make_film
from movie.core.processes import SILENT_AFTER
from movie.training.datasets import load_training_data
from movie.training.models import TrainingRun
from predictors.history import History
from predictors.models.neighbours import NeighboursPredictor
from predictors.serving.registry import ModelStore
from predictors.testing import overwrite

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
    monkeypatch.setattr("movie.training.runs.SECONDS_BETWEEN_WRITES", 0)
    run("train", "neighbours", "--from-site")
    (row,) = seen
    assert (row["state"], row["message"], row["metrics"]) == ("running", "nearly there", {"NDCG@10": 0.25})
    assert 0.4 < row["progress"] < 0.6


def test_what_serves_has_learned_from_every_row(site, store) -> None:
    run("train", "neighbours", "--from-site")
    run("train", "neighbours", "--from-site", "--no-refit")
    measured, everything = (store.load("neighbours", version) for version in store.versions("neighbours"))
    rows = load_training_data()
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


def test_options_reach_the_model_and_the_artifact(data, store) -> None:
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


def test_a_young_site_trains_all_that_was_asked_for(store) -> None:
    """Sixty people with two films each: nobody to validate on, so no figure is claimed."""
    films = [make_film(f"Film Number {number}", 1950 + number) for number in range(30)]
    rng = np.random.default_rng(3)
    Rating.objects.bulk_create(
        Rating(visitor=f"young:{user}", movie=films[film], value=4.0, rated_at=LONG_AGO)
        for user in range(60)
        for film in rng.choice(30, 2, replace=False)
    )
    said = run("train", "popular", "sasrec", "linear_sequence", "--from-site", "--activate")
    for name in ("popular", "sasrec", "linear_sequence"):
        assert store.current(name)
    assert said.count("nothing to measure on") == 3
    assert [each.state for each in TrainingRun.objects.all()] == ["done"] * 3
    assert not any("NDCG@10" in each.metrics for each in TrainingRun.objects.all())


def test_a_defect_of_one_model_is_its_own(site, store, monkeypatch) -> None:
    def fit(cls, data, config, run):
        raise KeyError("NDCG@10")

    monkeypatch.setattr(NeighboursPredictor, "_fit", classmethod(fit))
    with pytest.raises(CommandError, match=r"^neighbours: KeyError: 'NDCG@10'$"):
        run("train", "neighbours", "popular", "--from-site", "--activate")
    assert store.current("popular")
    assert TrainingRun.objects.get(model="neighbours").state == "failed"


def test_a_full_disk_is_a_sentence(site, store, monkeypatch) -> None:
    def write(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("predictors.serving.artifact.write_tensors", write)
    for command in (("train", "neighbours", "--from-site"), ("retrain", "neighbours")):
        with pytest.raises(CommandError, match="cannot be written: No space left on device"):
            run(*command)
    assert store.versions("neighbours") == []


def test_options_come_from_a_file_and_the_command_line_changes_them(data, store, tmp_path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[neighbours]\nshrinkage = 7\nexponent = 0.4\n[ease]\nridge = 3\n")
    run("train", "neighbours", "--data", data, "--config", config, "--options", "exponent=0.3")
    options = store.meta("neighbours", store.versions("neighbours")[0])["config"]
    assert (options["shrinkage"], options["exponent"]) == (7, 0.3)
    config.write_text("[neighbours]\nshrinkage = 'much'\n")
    with pytest.raises(CommandError, match="'much' is not a number"):
        run("train", "neighbours", "--data", data, "--config", config)
    with pytest.raises(CommandError, match="expected one of tensorboard=TARGET, mlflow=TARGET"):
        run("train", "neighbours", "--data", data, "--hook", "wandb=x")


def test_off_a_terminal_a_line_says_where_a_training_stands(data, capsys) -> None:
    run("train", "als", "--data", data, "--options", "epochs=3", "factors=4")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("als")]
    assert any("epoch 2 of 3" in line for line in lines)
    run("train", "als", "--data", data, "--options", "epochs=3", "factors=4", "--quiet")
    assert not capsys.readouterr().err


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


def test_options_may_be_for_one_of_several_models(site, store) -> None:
    run("train", "ease", "neighbours", "--from-site", "--options", "ease.ridge=7", "neighbours.shrinkage=3")
    config = {name: store.meta(name, store.versions(name)[0])["config"] for name in ("ease", "neighbours")}
    assert (config["ease"]["ridge"], config["neighbours"]["shrinkage"]) == (7.0, 3.0)


def test_a_damaged_version_is_found_and_listed(site, store) -> None:
    run("train", "popular", "--from-site", "--activate")
    version = store.current("popular")
    assert f"popular {version}: sound" in run("models", "verify")
    weights = store.path("popular", version) / "weights.safetensors"
    overwrite(weights, weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CommandError, match=r"weights\.safetensors is damaged"):
        run("models", "verify", "popular", version)
    overwrite((store.path("popular", version) / "meta.json"), b"{")
    assert "damaged" in run("models", "list")


def test_a_damaged_active_version_is_shown_as_damaged(site, store, client) -> None:
    run("train", "popular", "neighbours", "--from-site", "--activate")
    version = store.current("neighbours")
    assert "damaged" not in run("models", "list")
    weights = store.path("neighbours", version) / "weights.safetensors"
    overwrite(weights, weights.read_bytes()[:-1] + b"x")
    (line,) = (line for line in run("models", "list").splitlines() if version in line)
    assert "active, damaged" in line
    rows = {row["model"]: row for row in json.loads(run("models", "list", "--json"))}
    assert rows["neighbours"]["state"] == ["active", "damaged"]
    assert "sha256 is not the recorded one" in rows["neighbours"]["problem"]
    assert rows["popular"]["state"] == ["active"]
    assert rows["popular"]["metrics"][0]["NDCG@10"] >= 0
    markup = client.get("/compare/runs/").content.decode()
    assert markup.count(">damaged<") == 1
    assert str(store.root) not in markup
    found = {model["name"]: model["versions"] for model in client.get("/api/v1/models").json()["models"]}
    assert "sha256" in found["neighbours"][0]["problem"]
    assert found["popular"][0]["problem"] == ""


def test_a_model_card_says_what_a_version_is_and_is_not(site, store, client) -> None:
    run("train", "ease", "--from-site", "--activate", "--options", "ridge=7")
    version = store.current("ease")
    card = run("models", "card", "ease")
    for part in (
        "# EASE",
        "what visitors of the site like",
        "| ridge | 7.0 |",
        "## Limits",
        "NDCG@10",
        version,
    ):
        assert part in card
    assert "20 users: small differences" in card
    address = reverse("pages:model_card", args=["ease", version])
    assert address in client.get("/compare/runs/").content.decode()
    page = client.get(address).content.decode()
    assert "<h2" in page
    assert "<td>7.0</td>" in page
    assert client.get(f"{address}?as=md").content.decode() == card
    assert client.get(reverse("pages:model_card", args=["ease", "20200101T000000"])).status_code == 404
    assert client.get(reverse("pages:model_card", args=["nonsense", version])).status_code == 404
    with pytest.raises(CommandError, match="popular has no version"):
        run("models", "card", "popular")


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


def test_only_the_first_of_several_processes_publishes_and_records(data, settings, store, capsys):
    settings.TRAINING_RANK = 1  # of a group of its own, so that it waits for nobody
    assert run("train", "popular", "--data", data) == ""
    assert store.versions("popular") == []
    assert not TrainingRun.objects.exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "command",
    [["retrain", "popular"], ["tune", "popular", "--from-site"], ["benchmark", "guest", "--data", "ml-100k"]],
)
def test_commands_of_one_process_are_refused_under_torchrun(command, settings):
    settings.TRAINING_RANK, settings.TRAINING_PROCESSES = 1, 2
    with pytest.raises(CommandError, match=f"^{command[0]} runs in one process: start it without torchrun"):
        run(*command)


def test_models_that_train_in_one_process_are_refused_by_name_in_several(data, settings):
    settings.TRAINING_PROCESSES = 2
    with pytest.raises(
        CommandError,
        match=r"^one process trains ease, lightgcn; several can train sasrec, als, mf, mf_softmax",
    ):
        run("train", "ease", "lightgcn", "sasrec", "--data", data)
