"""manage.py generate_data: files that models train on, and a site that never mixes made-up and real."""

import csv
import hashlib
import io
import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from datasets.readers.dataset import read_dataset
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.catalogue.tests.films import make_film
from movie.training.management.commands.generate_data import SOURCE, truth_folder
from predictors.serving.registry import ModelStore

SMALL = {"users": 60, "items": 24, "ratings": 600, "groups": 3, "genres": 4}


def generate(**options) -> str:
    out = io.StringIO()
    call_command("generate_data", stdout=out, no_progress=True, **{**SMALL, **options})
    return out.getvalue()


def digests(folder) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_equal_seeds_give_equal_files_and_others_do_not(tmp_path, format):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(out=tmp_path / name, format=format, seed=seed)
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    assert a[f"ratings.{format}"] != c[f"ratings.{format}"]


def test_both_formats_hold_the_same_ratings_with_ids_as_words(tmp_path):
    generate(out=tmp_path)
    generate(out=tmp_path, format="parquet")
    text, parquet = (read_dataset(tmp_path / f"ratings.{suffix}") for suffix in ("csv", "parquet"))
    assert text.interactions.fingerprint() == parquet.interactions.fingerprint()
    assert text.has_time and len(text.interactions) == 600
    assert set(text.interactions.user_ids) == set(parquet.interactions.user_ids)
    assert all(user.startswith("U1") for user in text.interactions.user_ids)
    assert all(film[:4].isalpha() and film[4:].isdigit() for film in text.interactions.item_ids)


def test_the_floor_is_printed_beside_what_knows_no_taste(tmp_path):
    said = generate(out=tmp_path)
    facts = json.loads((tmp_path / "truth" / "world.json").read_text())
    assert f"{facts['floor_mse']:.4f}" in said
    assert f"{facts['held_out_fifth_mse']['global mean']:.4f}" in said
    with (tmp_path / "truth" / "expected.csv").open() as file:
        variances = [float(row["variance"]) for row in csv.DictReader(file)]
    assert np.mean(variances) == pytest.approx(facts["floor_mse"], abs=1e-5)


@pytest.mark.django_db
def test_models_train_on_the_files_as_they_are(tmp_path, settings):
    settings.MODEL_DIR = tmp_path / "models"
    generate(out=tmp_path)
    call_command("train", "popular", data=tmp_path / "ratings.csv", quiet=True)
    store = ModelStore(settings.MODEL_DIR)
    (version,) = store.versions("popular")
    data = store.meta("popular", version)["data"]
    assert (data["n_users"], data["n_interactions"]) == (60, 600)
    assert {str(film)[:4] for film in store.load("popular", version).ids} == {
        "DRAM",
        "COMD",
        "ACTN",
        "ROMN",
    }


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(CommandError, match="1,440"):
        generate(out=tmp_path, ratings=2_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.django_db
def test_a_site_of_made_up_films_says_so_everywhere():
    said = generate(to_site=True)
    assert "600" in said
    assert Movie.objects.count() == 24 and Rating.objects.count() == 600
    for film in Movie.objects.all():
        assert film.title.startswith("Synthetic ") and "No such film exists" in film.synopsis
        assert film.genre_names[0] in film.title
    assert set(ExternalId.objects.values_list("source", flat=True)) == {SOURCE}
    assert not Rating.objects.exclude(visitor__startswith="synthetic:U1").exists()
    assert (truth_folder() / "groups.csv").exists()
    assert sum(Movie.objects.values_list("rating_count", flat=True)) == 600


@pytest.mark.django_db
def test_made_up_ratings_come_beside_real_ones_only_when_told():
    make_film("Heat", 1995, stars=[4.5])
    with pytest.raises(CommandError, match="beside-real-data"):
        generate(to_site=True)
    assert Movie.objects.count() == 1
    generate(to_site=True, beside_real_data=True)
    assert Movie.objects.count() == 25
    with pytest.raises(CommandError, match="--remove"):
        generate(to_site=True, beside_real_data=True, seed=2)


@pytest.mark.django_db
def test_made_up_films_can_be_taken_off_again_and_real_ones_stay():
    real = make_film("Heat", 1995, stars=[4.5])
    generate(to_site=True, beside_real_data=True)
    assert "24" in generate(remove=True, dry_run=True)
    assert Movie.objects.count() == 25
    assert "600" in generate(remove=True)
    assert list(Movie.objects.all()) == [real]
    assert list(Rating.objects.values_list("movie", flat=True)) == [real.pk]
    assert not list(truth_folder().glob("*"))


@pytest.mark.django_db
def test_a_dry_run_changes_nothing(tmp_path):
    assert "Synthetic" not in generate(to_site=True, dry_run=True)
    generate(out=tmp_path, dry_run=True)
    assert not Movie.objects.exists() and not list(tmp_path.iterdir())
