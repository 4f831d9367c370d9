"""manage.py tune: options that train, retrain and benchmark accept; its trials on a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError
from django.urls import reverse

from movie.catalogue.models import Rating
from movie.catalogue.tests.films import LONG_AGO, make_film
from movie.training.tests.test_train_command import run
from predictors.serving.registry import ModelStore

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folders(settings, tmp_path: Path) -> None:
    settings.MODEL_DIR = tmp_path / "models"
    settings.TUNING_DIR = tmp_path / "tuning"


@pytest.fixture
def site() -> list:
    films = [make_film(f"Film {number}", 1990 + number) for number in range(20)]
    rng = np.random.default_rng(0)
    Rating.objects.bulk_create(
        Rating(visitor=f"ml-100k:{user}", movie=films[film], value=float(value), rated_at=LONG_AGO)
        for user in range(40)
        for film, value in zip(rng.choice(20, 8, replace=False), rng.integers(1, 6, 8), strict=True)
    )
    return films


def test_what_was_found_is_trained_retrained_and_measured_with(site, settings, tmp_path) -> None:
    best = tmp_path / "best.json"
    said = run("tune", "neighbours", "--from-site", "--trials", 4, "--output", best)
    assert "4 trials" in said
    assert f"--from-site --config {best}" in said
    found = json.loads(best.read_text())["neighbours"]
    assert set(found) == {"neighbours", "shrinkage", "exponent", "popularity_weight"}
    run("train", "neighbours", "--from-site", "--config", best, "--activate")
    store = ModelStore(settings.MODEL_DIR)
    config = store.meta("neighbours", store.current("neighbours"))["config"]
    assert {name: config[name] for name in found} == found
    run("retrain", "popular", "--config", best, "--min-visitors", 5)
    again = run("tune", "neighbours", "--from-site", "--trials", 4)
    assert again.splitlines()[0] == said.splitlines()[0], "the same search is not made twice"


def test_dislikes_reach_a_model_that_learns_from_them(site, settings) -> None:
    run("tune", "mf", "--from-site", "--trials", 1, "--options", "epochs=2")
    (folder,) = Path(settings.TUNING_DIR).iterdir()
    written = json.loads((folder / "trials.json").read_text())
    assert written["stated"] == "stars"
    assert written["data"]["n_interactions"] == 40 * 8 - 2 * 40, "all but the last two rows of each"


def test_the_trials_are_shown_beside_the_trained_versions(client, site, settings) -> None:
    assert "Searches" not in client.get(reverse("pages:compare_runs")).content.decode()
    run("tune", "ease", "--from-site", "--trials", 3, "--protocol", "guest", "--n", "1,3")
    markup = client.get(reverse("pages:compare_runs")).content.decode()
    assert "Searches for the best options" in markup
    assert "guest" in markup
    (folder,) = Path(settings.TUNING_DIR).iterdir()
    written = json.loads((folder / "trials.json").read_text())
    best = written["trials"][written["best"]]
    assert f"{best['value']:.4f}" in markup
    assert str(settings.TUNING_DIR) not in markup, "no paths of the server"
    (folder / "trials.json").write_text("{")
    assert client.get(reverse("pages:compare_runs")).status_code == 200


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("nonsense", "--from-site"), "There is no model nonsense"),
        (("ease", "--data", "/nowhere.csv"), "no such file"),
        (("ease", "--from-site", "--trials", 0), "--trials"),
        (("ease", "--from-site", "--budget", -1), "--budget"),
        (("ease", "--from-site"), "import_ratings"),
        (("ease", "--from-site", "--columns", "user=x"), "with --data"),
    ],
)
def test_wrong_input_gets_a_sentence(args, message) -> None:
    with pytest.raises(CommandError, match=message):
        run("tune", *args)


def test_a_space_that_cannot_be_searched_is_refused(site, tmp_path) -> None:
    space = tmp_path / "space.toml"
    space.write_text("[ridge]\nlow = 3\n")
    with pytest.raises(CommandError, match="either low and high"):
        run("tune", "ease", "--from-site", "--space", space)
    with pytest.raises(CommandError, match="'many' is no amount"):
        run("tune", "ease", "--from-site", "--protocol", "session", "--n", "many")
