"""MovieTweetings: films by IMDb id, IMDb's ratings, and nobody's Twitter id."""

import csv
import io
import lzma
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from movie.api.models import ApiClient
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.catalogue.tests.films import make_film

pytestmark = pytest.mark.django_db

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "movietweetings"
MOVIES = """\
0068646::The Godfather (1972)::Crime|Drama
1454468::Gravity (2013)::Drama|Sci-Fi|Thriller
10872600::Spider-Man: No Way Home (2021)::Action|Adventure|Fantasy
0211915::Le fabuleux destin d'Amélie Poulain (2001)::
"""
RATINGS = """\
1::0068646::10::1381620027
1::1454468::7::1381620100
2::1454468::1::1381620200
2::10872600::0::1640000000
"""


def run(command, *args, **options):
    out = io.StringIO()
    call_command(command, *map(str, args), stdout=out, no_progress=True, **options)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "movies.dat").write_text(MOVIES, encoding="utf-8")
    (tmp_path / "ratings.dat").write_text(RATINGS, encoding="utf-8")
    (tmp_path / "users.dat").write_text("1::177651718\n2::139564917\n")
    return tmp_path


def stars():
    return {
        (rating.visitor, rating.movie.title): rating.value
        for rating in Rating.objects.select_related("movie")
    }


def test_films_come_by_imdb_id_and_ratings_as_stars(folder):
    assert "4 films read: 4 added" in run("import_movies", folder)
    assert set(ExternalId.objects.values_list("source", "value")) == {
        ("imdb", value) for value in ("tt0068646", "tt1454468", "tt10872600", "tt0211915")
    }
    assert Movie.objects.get(year=2001).title == "Le fabuleux destin d'Amélie Poulain"
    assert Movie.objects.get(year=1972).genre_names == ["Crime", "Drama"]
    assert "4 ratings read: 4 added" in run("import_ratings", folder)
    assert stars() == {
        ("movietweetings:1", "The Godfather"): 5.0,
        ("movietweetings:1", "Gravity"): 3.5,
        ("movietweetings:2", "Gravity"): 0.5,
        ("movietweetings:2", "Spider-Man: No Way Home"): 0.5,
    }
    assert Rating.objects.get(value=5).rated_at == datetime(2013, 10, 12, 23, 20, 27, tzinfo=UTC)
    assert "nothing to change" in run("import_movies", folder)
    assert "nothing to change" in run("import_ratings", folder)


def test_users_of_a_client_have_the_same_stars(folder):
    ApiClient.objects.create(slug="shop")
    run("import_movies", folder)
    assert "4 ratings read: 4 added" in run("import_ratings", folder, client="shop")
    assert stars() == {
        ("api:shop:1", "The Godfather"): 5.0,
        ("api:shop:1", "Gravity"): 3.5,
        ("api:shop:2", "Gravity"): 0.5,
        ("api:shop:2", "Spider-Man: No Way Home"): 0.5,
    }


def test_no_twitter_id_is_stored(folder):
    run("import_movies", folder)
    run("import_ratings", folder)
    visitors = set(Rating.objects.values_list("visitor", flat=True))
    assert visitors == {"movietweetings:1", "movietweetings:2"}


def test_the_films_of_another_data_set_are_found_again(folder):
    godfather = make_film("The Godfather", 1972)
    known = make_film("Gravity", 2013)
    ExternalId.objects.create(movie=known, source="imdb", value="tt1454468")
    run("import_movies", folder)
    assert Movie.objects.count() == 4
    assert godfather.external_ids.get().value == "tt0068646"
    run("import_ratings", folder)
    known.refresh_from_db()
    assert known.rating_count == 2


def test_files_of_movielens_are_still_those_of_movielens(tmp_path):
    (tmp_path / "movies.dat").write_text("1::Toy Story (1995)::Animation\n")
    (tmp_path / "ratings.dat").write_text("1::1::5::978300760\n")
    run("import_movies", tmp_path)
    assert ExternalId.objects.get().source == "movielens"
    run("import_ratings", tmp_path)
    assert Rating.objects.get().value == 5


def test_a_line_without_an_imdb_id_is_refused_and_the_rest_goes_on(folder, tmp_path):
    with (folder / "movies.dat").open("a") as file:
        file.write("nm0000001::A Person (1950)::Drama\n")
    report = tmp_path / "report.csv"
    assert "1 rows were refused" in run("import_movies", folder, report=report)
    assert "5,the IMDb id is not of the form tt0113277" in report.read_text()


def test_a_rating_above_ten_is_refused(folder):
    (folder / "ratings.dat").write_text("1::0068646::11::1381620027\n1::1454468::7::1381620100\n")
    run("import_movies", folder)
    said = run("import_ratings", folder)
    assert "outside the scale" in said and len(stars()) == 1


def test_ratings_without_the_films_say_what_to_do(folder):
    with pytest.raises(CommandError, match="Import the films first"):
        run("import_ratings", folder)


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the data folder beside the checkout")
@pytest.mark.django_db(transaction=True)  # PostgreSQL keeps every version of a row until a transaction ends
def test_the_snapshot_of_2013_is_read_whole(tmp_path):
    with lzma.open(SHARED / "movietweetings-100k-5core-films.tsv.xz", "rt", encoding="utf-8") as file:
        films = list(csv.DictReader(file, delimiter="\t"))
    with lzma.open(SHARED / "movietweetings-100k-5core-ratings.tsv.xz", "rt", encoding="utf-8") as file:
        ratings = list(csv.DictReader(file, delimiter="\t"))
    (tmp_path / "movies.dat").write_text(
        "".join(f"{row['imdb'][2:]}::{row['title']} ({row['year']})::{row['genres']}\n" for row in films),
        encoding="utf-8",
    )
    (tmp_path / "ratings.dat").write_text(
        "".join(f"{row['user']}::{row['imdb'][2:]}::{row['rating']}::{row['timestamp']}\n" for row in ratings)
    )
    assert f"{len(films):,} films read" in run("import_movies", tmp_path, no_pauses=True)
    assert f"{len(ratings):,} ratings read" in run("import_ratings", tmp_path, no_pauses=True)
    assert Movie.objects.count() == 2414
    assert Rating.objects.values("visitor").distinct().count() == 4333
    assert Movie.objects.filter(year__gte=2000).count() > 1700
    assert Movie.objects.most_rated()[0].rating_count > 500
