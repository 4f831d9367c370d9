import csv
import io
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from movie.catalogue.importing import enrichment
from movie.catalogue.importing.enrichment import enrich_movies
from movie.catalogue.importing.wikidata_films import split_names
from movie.catalogue.models import Credit, ExternalId, Movie, MovieTitle, Person
from movie.catalogue.tests.films import lose_first_race

pytestmark = pytest.mark.django_db

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
FILMS = [
    (
        "tt0113277",
        "Heat",
        1995,
        170.0,
        "Michael Mann",
        "Michael Mann",
        "Al Pacino, Tom Noonan",
        "United States",
        "English, Spanish",
    ),
    ("tt0068935", "Heat", 1972, 102.0, "Paul Morrissey", None, "", "United States", "English"),
    ("tt0109446", "Cobb", 1994, 128.0, "Ron Shelton", "Al Stump, Max Baer, Jr.", None, "United States", None),
    ("tt0113247", "La Haine", 1995, None, "Mathieu Kassovitz", None, "Vincent Cassel", "France", "French"),
    ("tt0000001", "Twins", 1990, 90.0, "One", None, None, None, None),
    ("tt0000002", "Twins", 1990, 91.0, "Two", None, None, None, None),
    ("tt0078788", "Apocalypse Now", 1979, 183.0, "Francis Ford Coppola", None, None, None, None),
    ("tt0078788", "Apocalypse Now Redux", 2001, 202.0, "Francis Ford Coppola", None, None, None, None),
]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "movies.db"
    with closing(sqlite3.connect(path)) as database, database:
        columns = 'imdbID, Title, Year, Runtime, Director, Writer, "Cast", Country, Language'
        database.execute(f"CREATE TABLE omdb ({columns})")
        database.executemany(f"INSERT INTO omdb ({columns}) VALUES (?,?,?,?,?,?,?,?,?)", FILMS)  # noqa: S608
    return path


def run(table, **options):
    out = io.StringIO()
    call_command("enrich_movies", f"--from={table}", stdout=out, no_progress=True, **options)
    return out.getvalue()


def film(title, year, imdb=""):
    movie = Movie.objects.create(title=title, year=year)
    if imdb:
        ExternalId.objects.create(movie=movie, source="imdb", value=imdb)
    return movie


def names(movie, role):
    credits = Credit.objects.filter(movie=movie, role=role).order_by("order")
    return list(credits.values_list("person__name", flat=True))


def imdb_of(movie):
    return list(movie.external_ids.filter(source="imdb").values_list("value", flat=True))


def test_a_film_found_by_title_and_year_is_completed(table):
    heat = film("Heat", 1995)
    assert "1 films found in the table: 1 completed" in run(table)
    heat.refresh_from_db()
    assert imdb_of(heat) == ["tt0113277"]
    assert heat.runtime == 170
    assert names(heat, "director") == ["Michael Mann"]
    assert names(heat, "cast") == ["Al Pacino", "Tom Noonan"]
    assert set(heat.languages.values_list("name", flat=True)) == {"English", "Spanish"}
    assert Person.objects.filter(name="Michael Mann").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_the_database_ends_is_written_and_counted_once(table, monkeypatch, tmp_path):
    heat = film("Heat", 1995)
    film("Nothing", 1990)
    lose_first_race(monkeypatch, enrichment._Writer, "_related")
    said = run(table, report=tmp_path / "report.csv")
    assert "1 films found in the table: 1 completed" in said
    assert "4 credits; 3 people are new" in said
    assert names(heat, "cast") == ["Al Pacino", "Tom Noonan"]
    assert set(heat.languages.values_list("name", flat=True)) == {"English", "Spanish"}
    assert len((tmp_path / "report.csv").read_text().splitlines()) == 2


def test_films_that_were_completed_say_so(table):
    heat, nothing = film("Heat", 1995), film("Nothing", 1990)
    Movie.objects.update(runtime=170)
    run(table)
    assert Movie.objects.get(pk=heat.pk).updated > heat.updated
    assert Movie.objects.get(pk=nothing.pk).updated == nothing.updated


def test_a_year_beside_and_another_title_will_do(table):
    cobb = film("Cobb", 1995)
    hate = film("Hate", 1995)
    MovieTitle.objects.create(movie=hate, title="Haine, La")
    far = film("Heat", 1990)
    run(table)
    assert (imdb_of(cobb), imdb_of(hate), imdb_of(far)) == (["tt0109446"], ["tt0113247"], [])


def test_the_imdb_id_goes_before_title_and_year(table):
    odd = film("Something else", 1950, "tt0113277")
    redux = film("Apocalypse Now Redux", 1979, "tt0078788")
    other = film("Heat", 1995, "tt9999999")
    run(table)
    redux.refresh_from_db()
    assert names(odd, "director") == ["Michael Mann"]
    assert redux.runtime == 202
    assert names(other, "director") == []


def test_a_film_listed_twice_is_completed_twice_but_has_one_imdb_id(table):
    one, two = film("Heat", 1995), film("Heat", 1995)
    run(table)
    assert names(one, "cast") == names(two, "cast") == ["Al Pacino", "Tom Noonan"]
    assert imdb_of(one) + imdb_of(two) == ["tt0113277"]


def test_what_is_not_found_is_reported_with_the_reason(table, tmp_path):
    film("Twins", 1990)
    film("Nothing", 1990)
    film("Undated", None)
    report = tmp_path / "report.csv"
    run(table, report=report)
    reasons = {row["row"]: row["reason"] for row in csv.DictReader(report.open())}
    assert "several films" in reasons["Twins (1990)"]
    assert "no film of that title" in reasons["Nothing (1990)"]
    assert "no year" in reasons["Undated"]


def test_the_second_run_changes_nothing_and_says_so(table):
    film("Heat", 1995)
    film("Cobb", 1994)
    run(table)
    before = list(Credit.objects.values()), list(Movie.objects.values())
    assert "2 films found in the table, nothing to change." in run(table)
    assert (list(Credit.objects.values()), list(Movie.objects.values())) == before


def test_a_dry_run_changes_nothing(table):
    film("Heat", 1995)
    assert "1 would be completed" in run(table, dry_run=True)
    assert not Person.objects.exists()
    assert not ExternalId.objects.exists()


def test_what_an_admin_wrote_is_kept_unless_told_otherwise(table):
    heat = film("Heat", 1995)
    heat.runtime = 1
    heat.save()
    Credit.objects.create(movie=heat, person=Person.objects.create(name="Alan Smithee"), role="director")
    run(table)
    heat.refresh_from_db()
    assert (heat.runtime, names(heat, "director")) == (1, ["Alan Smithee"])
    assert names(heat, "cast") == ["Al Pacino", "Tom Noonan"]  # was empty
    run(table, overwrite=True)
    heat.refresh_from_db()
    assert (heat.runtime, names(heat, "director")) == (170, ["Michael Mann"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Al Stump, Max Baer, Jr.", ("Al Stump", "Max Baer Jr.")),
        ("Robert Downey Jr., Val Kilmer", ("Robert Downey Jr.", "Val Kilmer")),
        (
            "Leander Ward, 6th Earl of Dudley, Matthew Aeberhard",
            ("Leander Ward, 6th Earl of Dudley", "Matthew Aeberhard"),
        ),
        ("Cher, Bono, Cher", ("Cher", "Bono")),
        ("list of The Young and the Restless characters (2013)", ()),
        (None, ()),
    ],
)
def test_names_with_commas_are_put_together_again(text, expected):
    assert split_names(text) == expected


def test_a_table_that_cannot_be_used_is_named(tmp_path):
    with pytest.raises(CommandError, match="no file"):
        run(tmp_path / "absent.db")
    wrong = tmp_path / "wrong.db"
    wrong.write_text("not a database, but long enough to be looked at" * 100)
    with pytest.raises(CommandError, match="table omdb"):
        run(wrong)


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the data folder is not beside the checkout")
@pytest.mark.skipif(find_spec("bokeh_sampledata") is None, reason="bokeh-sampledata is not installed")
def test_movielens_100k_meets_the_table_as_well_as_the_checked_list():
    call_command("import_movies", str(SHARED / "ml-100k"), no_progress=True, stdout=io.StringIO())
    outcome = enrich_movies()
    assert outcome.matched >= 1379
    with (SHARED / "kg-wikidata-movies" / "ml100k_to_imdb.tsv").open(encoding="utf-8") as file:
        truth = {row["id"]: row["imdb_id"] for row in csv.DictReader(file, delimiter="\t") if row["imdb_id"]}
    movies = Movie.objects.filter(external_ids__source="ml-100k").prefetch_related("external_ids", "credits")
    found = {}
    for movie in movies:
        ids = {each.source: each.value for each in movie.external_ids.all()}
        found[ids["ml-100k"]] = ids.get("imdb"), len(movie.credits.all())
    assert [key for key, imdb in truth.items() if found[key][0] not in (imdb, None)] == []
    # Those without an id of their own are second listings of a film that has it; they are completed too.
    assert [key for key in truth if found[key] == (None, 0)] == []
