"""No cell of an export is calculated by a spreadsheet, and every importer takes it back as it was."""

import csv
import io

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from movie.catalogue.importing.movies import import_movies
from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film
from movie.core.spreadsheets import FORMULA, neutralize, restore

TITLES = ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "=cmd|' /C calc'!A0", "'Tis Pity", "Heat"]


@given(st.text(alphabet=st.sampled_from("'=+-@\t\ra1 "), max_size=8))
def test_what_is_neutralized_is_no_formula_and_comes_back(text):
    assert not neutralize(text).startswith(FORMULA)
    assert restore(neutralize(text)) == text


@pytest.mark.parametrize("text", ["'Tis Pity", "Heat", "", "'", "12 Angry Men"])
def test_what_is_no_formula_stays_as_it_is(text):
    assert neutralize(text) == restore(text) == text


@pytest.fixture
def boss(client, db):
    client.force_login(get_user_model().objects.create_superuser("boss", "b@example.org", "x"))
    return client


def exported(boss) -> bytes:
    chosen = {"format": "0", "resource": "0"}
    fields = ("id", "title", "sort_title", "year", "synopsis", "is_visible", "genres", "imdb")
    response = boss.post(
        reverse("admin:catalogue_movie_export"), chosen | {f"movieresource_{name}": "on" for name in fields}
    )
    assert response["Content-Type"] == "text/csv", response.content[:500]
    return response.content


def test_an_export_from_the_admin_comes_back_as_it_was(boss, tmp_path):
    for title in TITLES:
        make_film(title, 1999)
    Movie.objects.update(synopsis="=HYPERLINK(1)")
    content = exported(boss)
    cells = [cell for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) for cell in row]
    assert not [cell for cell in cells if cell.startswith(FORMULA)]

    Movie.objects.update(title="lost", synopsis="lost")
    upload = io.BytesIO(content)
    upload.name = "films.csv"
    preview = boss.post(
        reverse("admin:catalogue_movie_import"), {"import_file": upload, "format": "0", "resource": ""}
    )
    confirm = preview.context["confirm_form"].initial
    boss.post(reverse("admin:catalogue_movie_process_import"), confirm)
    assert sorted(Movie.objects.values_list("title", flat=True)) == sorted(TITLES)
    assert set(Movie.objects.values_list("synopsis", flat=True)) == {"=HYPERLINK(1)"}


def test_the_importer_of_files_takes_the_same_export(boss, tmp_path):
    make_film("=1+1", 1999)
    file = tmp_path / "films.csv"
    file.write_bytes(exported(boss))
    Movie.objects.all().delete()
    import_movies(file, source="shop")
    assert Movie.objects.get().title == "=1+1"
