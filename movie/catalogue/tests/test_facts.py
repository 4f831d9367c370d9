"""Tables of facts: people in order, titles in other languages, running times, and whom they are owed to."""

import csv
import io
from pathlib import Path
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

from movie import catalogue
from movie.catalogue.fact_sources import FactSource
from movie.catalogue.importing import fact_table
from movie.catalogue.importing.cells import imdb_id
from movie.catalogue.models import ExternalId, Movie, MovieTitle
from movie.catalogue.tests.films import lose_first_race, make_film
from movie.core import batches

pytestmark = pytest.mark.django_db

OWN_FACTS = Path(catalogue.__file__).parent / "data" / "film_facts.tsv"


def film(title: str, year: int, imdb: str, **facts: object) -> Movie:
    movie = make_film(title, year, **facts)
    ExternalId.objects.create(movie=movie, source="imdb", value=imdb)
    return movie


def table(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "facts.tsv"
    path.write_text(
        "\n".join(("imdb title year directors cast runtime ko zh_hans src".replace(" ", "\t"), *rows))
    )
    return path


def run(path: Path, *options: str) -> str:
    out = io.StringIO()
    call_command("import_facts", path, *options, "--no-progress", stdout=out)
    return out.getvalue()


def names(movie: Movie, role: str) -> list[str]:
    return list(movie.credits.filter(role=role).order_by("order").values_list("person__name", flat=True))


HEAT = (
    "tt0113277\tHeat\t1995\tMichael Mann\tAl Pacino|Robert De Niro\t170\t히트\t盗火线\t"
    "dir=hand;cast=hand;rt=wikidata;ko=hand;zh=hand"
)
LICENCES = ("--licence", "hand=CC0 1.0", "--licence", "wikidata=CC0 1.0")


def test_empty_facts_are_filled_and_the_stated_cast_comes_first(tmp_path):
    heat = film("Heat", 1995, "tt0113277", cast=["Ann Extra", "Al Pacino"])
    said = run(table(tmp_path, HEAT), *LICENCES)
    heat.refresh_from_db()
    assert names(heat, "director") == ["Michael Mann"]
    assert names(heat, "cast") == ["Al Pacino", "Robert De Niro", "Ann Extra"]
    assert heat.runtime == 170
    assert {(each.language, each.title) for each in heat.titles.exclude(language="")} == {
        ("ko", "히트"),
        ("zh-hans", "盗火线"),
    }
    assert "1 films read: 0 added, 1 changed" in said
    assert "nothing to change" in run(table(tmp_path, HEAT), *LICENCES)


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_the_database_ends_is_written_and_counted_once(tmp_path, monkeypatch):
    heat = film("Heat", 1995, "tt0113277")
    lose_first_race(monkeypatch, fact_table._Writer, "_write_credits_and_titles")
    said = run(table(tmp_path, HEAT, HEAT.replace("tt0113277", "tt0000001")), *LICENCES)
    assert "1 films read: 0 added, 1 changed" in said
    assert "1 rows were refused" in said
    assert names(heat, "cast") == ["Al Pacino", "Robert De Niro"]
    assert set(FactSource.objects.values_list("n_movies", flat=True)) == {1}


def test_titles_and_credits_are_written_together_and_not_film_by_film(
    tmp_path, django_assert_max_num_queries
):
    """Twenty films took nine statements each of titles and credits."""
    rows = []
    for number in range(1, 21):
        film(f"Heat {number}", 1995, f"tt{number:07}")
        columns = (f"tt{number:07}", f"Heat {number}", "1995", f"Michael {number}", "", "")
        rows.append("\t".join((*columns, f"히트 {number}", f"盗火线 {number}", "dir=hand;ko=hand;zh=hand")))
    with django_assert_max_num_queries(60):
        assert "20 changed" in run(table(tmp_path, *rows), *LICENCES)
    assert MovieTitle.objects.exclude(language="").count() == 40
    assert not MovieTitle.objects.filter(suffixes=None).exists()
    assert names(Movie.objects.get(title="Heat 7"), "director") == ["Michael 7"]


def test_films_that_were_changed_say_so(tmp_path):
    heat, thief = film("Heat", 1995, "tt0113277", runtime=170), film("Thief", 1981, "tt0083190", runtime=123)
    run(table(tmp_path, HEAT, "tt0083190\tThief\t1981\t\t\t123\t\t\trt=hand"), *LICENCES)
    assert Movie.objects.get(pk=heat.pk).updated > heat.updated
    assert Movie.objects.get(pk=thief.pk).updated == thief.updated


def test_what_a_film_says_stays_unless_it_is_to_be_overwritten(tmp_path):
    heat = film("Heat", 1995, "tt0113277", directors=["Somebody Else"], runtime=90)
    run(table(tmp_path, HEAT), *LICENCES)
    heat.refresh_from_db()
    assert (names(heat, "director"), heat.runtime) == (["Somebody Else"], 90)
    run(table(tmp_path, HEAT), *LICENCES, "--overwrite")
    heat.refresh_from_db()
    assert (names(heat, "director"), heat.runtime) == (["Michael Mann"], 170)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("options", [(), ("--no-pauses",)])
def test_visitors_write_between_batches_unless_nobody_is_there(tmp_path, options):
    film("Heat", 1995, "tt0113277")
    slept = []
    with mock.patch.object(batches.time, "sleep", slept.append):
        run(table(tmp_path, HEAT), *LICENCES, *options)
    assert bool(slept) is not bool(options)


def test_directors_who_are_there_already_are_put_in_the_order_of_the_credits(tmp_path):
    rain = film("Singin' in the Rain", 1952, "tt0045152", directors=["Gene Kelly", "Stanley Donen"])
    row = "tt0045152\tSingin' in the Rain\t1952\tStanley Donen|Gene Kelly" + "\t" * 5
    assert "1 changed" in run(table(tmp_path, row), "--source", "hand", *LICENCES)
    assert names(rain, "director") == ["Stanley Donen", "Gene Kelly"]
    assert "nothing to change" in run(table(tmp_path, row), "--source", "hand", *LICENCES)


def test_each_source_is_credited_with_its_licence_and_facts(tmp_path):
    film("Heat", 1995, "tt0113277")
    run(table(tmp_path, HEAT), *LICENCES)
    owed = FactSource.objects.values_list("name", "fact", "licence", "n_movies")
    assert set(owed) == {
        ("hand", "directors", "CC0 1.0", 1),
        ("hand", "cast", "CC0 1.0", 1),
        ("hand", "ko", "CC0 1.0", 1),
        ("hand", "zh_hans", "CC0 1.0", 1),
        ("wikidata", "runtime", "CC0 1.0", 1),
    }


def test_a_source_without_a_licence_is_refused_before_anything_is_written(tmp_path):
    heat = film("Heat", 1995, "tt0113277")
    with pytest.raises(CommandError, match="line 2: the licence of wikidata is not stated"):
        run(table(tmp_path, HEAT), "--licence", "hand=CC0 1.0")
    assert names(heat, "director") == [] and not FactSource.objects.exists()


def test_an_id_that_belongs_to_another_film_here_is_refused_by_line(tmp_path):
    film("La Haine", 1985, "tt0113277")
    report = tmp_path / "report.csv"
    said = run(table(tmp_path, HEAT, "tt9999999\tNobody\t2000"), *LICENCES, "--report", str(report))
    assert "2 rows were refused" in said
    assert "“Heat” (1995) has the id tt0113277 of “La Haine” (1985)" in report.read_text()
    assert not FactSource.objects.exists()


def test_a_film_without_an_imdb_id_is_found_by_title_and_year_and_gets_it(tmp_path):
    heat, other = make_film("Heat", 1995), make_film("Heat", 1972)
    run(table(tmp_path, HEAT), *LICENCES)
    assert names(heat, "director") == ["Michael Mann"] and names(other, "director") == []
    assert ExternalId.objects.get(source="imdb").movie_id == heat.pk


def test_a_dry_run_changes_nothing(tmp_path):
    heat = film("Heat", 1995, "tt0113277")
    assert "1 changed" in run(table(tmp_path, HEAT), *LICENCES, "--dry-run")
    assert names(heat, "director") == [] and not FactSource.objects.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title\tyear\nHeat\t1995\n", "expected a column imdb and one of"),
        ("imdb\tko\ntt0113277\t히트\n", "name the source of its facts"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path, text, message):
    path = tmp_path / "facts.tsv"
    path.write_text(text)
    with pytest.raises(CommandError, match=message):
        run(path, *LICENCES)


def test_the_facts_of_the_project_are_well_formed():
    with OWN_FACTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", strict=True))
    assert len({row["imdb"] for row in rows}) == len(rows) >= 640
    assert len({(row["title"], row["year"]) for row in rows}) == len(rows)
    for row in rows:
        assert None not in row and None not in row.values(), row
        assert imdb_id(row["imdb"]) == row["imdb"]
        assert row["title"] and 1900 < int(row["year"]) < 1999
        assert any(row[name] for name in ("directors", "cast", "ko", "zh_hans")), row
        assert not row["runtime"] or 20 <= int(row["runtime"]) <= 300, row
        assert all(cell == " ".join(cell.split()) and ";" not in cell for cell in row.values()), row
        for name in ("directors", "cast"):
            people = row[name].split("|")
            assert len(set(people)) == len(people) and all(each == each.strip() for each in people)
            assert all(people) or people == [""], row
    # Wallace and Gromit, Koyaanisqatsi and the like have nobody to name.
    led = [row for row in rows if row["directors"] and len(row["cast"].split("|")) >= 3]
    assert len(led) >= 590
    assert sum(bool(row["runtime"]) for row in rows) >= 590
    assert any("\uac00" <= letter <= "\ud7a3" for row in rows for letter in row["ko"])


@pytest.mark.parametrize(
    ("title", "year", "directors", "leads"),
    [
        ("Star Wars", 1977, ["George Lucas"], ["Mark Hamill", "Harrison Ford", "Carrie Fisher"]),
        (
            "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb",
            1963,
            ["Stanley Kubrick"],
            ["Peter Sellers", "George C. Scott", "Sterling Hayden"],
        ),
        ("Gone with the Wind", 1939, ["Victor Fleming"], ["Clark Gable", "Vivien Leigh", "Leslie Howard"]),
        (
            "Singin' in the Rain",
            1952,
            ["Stanley Donen", "Gene Kelly"],
            ["Gene Kelly", "Donald O'Connor", "Debbie Reynolds"],
        ),
    ],
)
def test_the_facts_of_the_project_bring_directors_and_leads_in_order(title, year, directors, leads):
    movie = make_film(title, year, cast=[leads[2], leads[1], "Ann Extra"])
    run(OWN_FACTS, "--source", "Reelgraph", "--licence", "Reelgraph=CC0 1.0")
    movie.refresh_from_db()
    assert names(movie, "director") == directors
    assert names(movie, "cast")[:3] == leads
    assert movie.runtime


def test_searches_find_a_film_by_its_korean_title(tmp_path, client):
    heat = film("Heat", 1995, "tt0113277")
    run(table(tmp_path, HEAT), *LICENCES)
    assert MovieTitle.objects.get(movie=heat, language="ko").search_key
    assert heat.title in client.get("/search/", {"q": "히트"}).content.decode()


def test_the_page_about_the_data_names_sources_facts_and_licences(tmp_path, client):
    assert "entered by its operators" in client.get("/about/data/").content.decode()
    film("Heat", 1995, "tt0113277")
    run(table(tmp_path, HEAT), *LICENCES)
    page = client.get("/about/data/").content.decode()
    for word in ("hand", "wikidata", "CC0 1.0", "Korean titles", "running times"):
        assert word in page
    assert 'href="/about/data/"' in client.get("/").content.decode()
