import csv
import io
import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from movie.catalogue.importing import movies as importing
from movie.catalogue.importing import tags
from movie.catalogue.importing.movies import import_movies
from movie.catalogue.importing.reports import RejectReport
from movie.catalogue.models import ExternalId, Genre, Movie, MovieTag, MovieTitle
from movie.catalogue.tests.films import lose_first_race
from movie.catalogue.titles import search_key

pytestmark = pytest.mark.django_db

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
HEADER = "movieId,title,genres\n"
MOVIES = (
    HEADER
    + "1,Toy Story (1995),Adventure|Animation\n"
    + '2,"City of Lost Children, The (Cité des enfants perdus, La) (1995)",Adventure|Sci-Fi\n'
    + "3,Nameless,(no genres listed)\n"
)
LINKS = "movieId,imdbId,tmdbId\n1,0114709,862\n2,0112682,902\n3,,\n"
GENRE_FLAGS = "|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0"


def run(*args, **options):
    out = io.StringIO()
    call_command("import_movies", *map(str, args), stdout=out, no_progress=True, **options)
    return out.getvalue()


def write(folder, text, name="movies.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def everything():
    """All of the catalogue, to see that nothing changed."""
    return [
        list(Movie.objects.order_by("pk").values()),
        sorted(Movie.genres.through.objects.values_list("movie", "genre__name")),
        sorted(ExternalId.objects.values_list("movie", "source", "value")),
        sorted(MovieTitle.objects.values_list("movie", "title")),
    ]


def by_id(value, source="movielens"):
    return Movie.objects.get(external_ids__source=source, external_ids__value=value)


def test_movielens_with_links(tmp_path):
    write(tmp_path, MOVIES)
    write(tmp_path, LINKS, "links.csv")
    assert "3 films read: 3 added" in run(tmp_path)
    film = by_id("2")
    assert (film.title, film.sort_title, film.year) == (
        "The City of Lost Children",
        "City of Lost Children, The",
        1995,
    )
    assert film.genre_names == ["Adventure", "Sci-Fi"]
    assert set(film.titles.values_list("title", flat=True)) == {
        "The City of Lost Children",
        "La Cité des enfants perdus",
    }
    ids = set(film.external_ids.values_list("source", "value"))
    assert ids == {("movielens", "2"), ("imdb", "tt0112682"), ("tmdb", "902")}
    assert by_id("3").genre_names == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["set_names", "set_tags"])
def test_a_batch_that_the_database_ends_is_written_once_with_its_new_genres(tmp_path, monkeypatch, step):
    lose_first_race(monkeypatch, importing, step)
    assert "3 films read: 3 added" in run(write(tmp_path, MOVIES))
    assert sorted(Movie.genres.through.objects.values_list("movie__title", "genre__name"))[-2:] == [
        ("Toy Story", "Adventure"),
        ("Toy Story", "Animation"),
    ]


@pytest.mark.django_db(transaction=True)
def test_tags_are_counted_once_though_the_database_ends_a_transaction(tmp_path, monkeypatch):
    write(tmp_path, "userId,movieId,tag,timestamp\n1,1,toys,1\n2,1,toys,1\n", "tags.csv")
    lose_first_race(monkeypatch, tags, "_write")
    assert "1 tags read: 1 added" in run(write(tmp_path, MOVIES))
    assert list(MovieTag.objects.values_list("movie__title", "name", "count")) == [("Toy Story", "toys", 2)]


def test_the_second_import_changes_nothing_and_says_so(tmp_path):
    write(tmp_path, MOVIES)
    write(tmp_path, LINKS, "links.csv")
    run(tmp_path)
    before = everything()
    assert "3 films read, nothing to change." in run(tmp_path)
    assert everything() == before


@pytest.mark.parametrize(
    ("name", "text", "encoding", "source"),
    [
        ("movies.dat", "1::Léon: The Professional (1994)::Crime|Drama\n", "latin-1", "movielens"),
        ("movies.dat", "1::Léon: The Professional (1994)::Crime|Drama\n", "utf-8", "movielens"),
        (
            "u.item",
            "1|Léon: The Professional (1994)|01-Jan-1994||http://x" + "|0|0|0|0|0|0|1|0|1" + "|0" * 10 + "\n",
            "latin-1",
            "ml-100k",
        ),
        (
            "ml-100k.item",
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
            "1\tLéon: The Professional\t1994\tCrime Drama\n",
            "utf-8",
            "ml-100k",
        ),
        (
            "shop.csv",
            '"asin";"name";"year";"genre"\n"1";"Léon: The Professional";"1994";"Crime|Drama"\n',
            "utf-8",
            "shop",
        ),
        (
            "shop.tsv",
            "id\ttitle\tyear\tgenres\n1\tLéon: The Professional\t1994\tCrime|Drama\n",
            "utf-16",
            "shop",
        ),
    ],
)
def test_every_text_format(tmp_path, name, text, encoding, source):
    run(write(tmp_path, text, name, encoding))
    film = by_id("1", source)
    assert (film.title, film.year, film.genre_names) == ("Léon: The Professional", 1994, ["Crime", "Drama"])


def test_parquet_with_named_columns(tmp_path):
    polars = pytest.importorskip("polars")
    frame = {"key": ["a/1"], "label": ["올드보이"], "when": [2003], "tags": [["Drama", "Mystery"]]}
    polars.DataFrame(frame).write_parquet(tmp_path / "shop.parquet")
    run(tmp_path / "shop.parquet", columns="id=key,title=label,year=when,genres=tags")
    film = by_id("a/1", "shop")
    assert (film.title, film.year, film.genre_names) == ("올드보이", 2003, ["Drama", "Mystery"])


def test_a_title_may_hold_the_separator(tmp_path):
    run(write(tmp_path, "1::Tron :: Legacy (2010)::Action\n", "movies.dat"))
    assert by_id("1").title == "Tron :: Legacy"


def test_the_placeholder_film_is_hidden_from_visitors(tmp_path):
    flags = "|1" + "|0" * 18
    run(
        write(
            tmp_path,
            "1|Toy Story (1995)|01-Jan-1995||x" + GENRE_FLAGS + "\n267|unknown||||" + flags[1:] + "\n",
            "u.item",
        )
    )
    assert list(Movie.objects.visible().values_list("title", flat=True)) == ["Toy Story"]
    assert Movie.objects.count() == 2


def test_bad_rows_are_reported_and_the_rest_goes_on(tmp_path):
    bad = {
        3: ("1,Toy Story again (1995),Comedy", "earlier line"),
        4: ("4,,Drama", "title is empty"),
        5: (",A film (1990),Drama", "id is empty"),
        6: ("5,A film", "number of columns"),
        7: ('6,"A film (1990),Drama', "quotation mark"),
        8: (f"7,{'x' * 256},Drama", "255"),
        9: (f"8,A film (1991),{'x' * 65}|Drama", "taken in, but a genre is longer than 64"),
    }
    text = (
        HEADER
        + "1,Toy Story (1995),Comedy\n"
        + "".join(row + "\n" for row, _r in bad.values())
        + "".join(f"{n},Last {n} (1999),Drama\n" for n in range(10, 15))
    )
    report = tmp_path / "report.csv"
    out = run(write(tmp_path, text), report=report)
    rows = {int(row["line"]): row for row in csv.DictReader(report.open(encoding="utf-8"))}
    assert list(rows) == list(bad)
    for line, (raw, reason) in bad.items():
        assert rows[line]["row"] == raw
        assert reason in rows[line]["reason"]
    assert "6 rows were refused" in out
    assert "1 fields could not be read" in out
    lasts = {f"Last {n}" for n in range(10, 15)}
    assert set(Movie.objects.values_list("title", flat=True)) == {"Toy Story", "A film"} | lasts
    assert by_id("8").genre_names == ["Drama"]


def test_two_ids_of_one_title_are_two_films(tmp_path):
    run(write(tmp_path, HEADER + "1,Emma (1996),Comedy\n2,Emma (1996),Drama\n"))
    assert Movie.objects.filter(title="Emma").count() == 2


def test_a_second_data_set_adds_its_ids_to_the_films_that_are_there(tmp_path):
    item = (
        "1|Toy Story (1995)|01-Jan-1995||x"
        + GENRE_FLAGS
        + "\n2|Heat (1995)|01-Jan-1995||x"
        + GENRE_FLAGS
        + "\n"
    )
    run(write(tmp_path, item, "u.item"))
    heat = by_id("2", "ml-100k")
    ExternalId.objects.create(movie=heat, source="imdb", value="tt0113277")
    text = HEADER + "1,Toy Story (1995),Comedy\n6,Heat! (1995),Crime\n7,Heat (1986),Crime\n"
    path = write(tmp_path, text)
    write(tmp_path, "movieId,imdbId,tmdbId\n1,0114709,862\n6,0113277,949\n7,,\n", "links.csv")
    assert "1 added, 2 changed" in run(path)
    assert by_id("6") == heat
    assert by_id("1") == by_id("1", "ml-100k")
    assert by_id("7") != heat
    assert "nothing to change" in run(path)


def test_films_with_different_imdb_ids_are_not_taken_for_one(tmp_path):
    film = Movie.objects.create(title="Emma", year=1996)
    ExternalId.objects.create(movie=film, source="imdb", value="tt0116191")
    write(tmp_path, HEADER + "838,Emma (1996),Comedy\n")
    write(tmp_path, "movieId,imdbId,tmdbId\n838,0118308,1\n", "links.csv")
    run(tmp_path)
    assert by_id("838") != film


def test_ids_only_leaves_titles_aside(tmp_path):
    Movie.objects.create(title="Heat", year=1995)
    run(write(tmp_path, HEADER + "6,Heat (1995),Crime\n"), ids_only=True)
    assert Movie.objects.filter(title="Heat").count() == 2


def test_what_an_admin_wrote_is_kept_unless_told_otherwise(tmp_path):
    path = write(tmp_path, HEADER + "1,Toy Story (1995),Comedy\n2,Heat,Crime\n")
    run(path)
    film = by_id("1")
    film.title, film.year = "Toy Story!", 1996
    film.save()
    film.genres.set([Genre.objects.create(name="Mine")])
    write(tmp_path, HEADER + "1,Toy Story (1995),Comedy\n2,Heat (1995),Crime\n")
    assert "1 changed" in run(path)
    film = by_id("1")
    assert (film.title, film.year, film.genre_names) == ("Toy Story!", 1996, ["Mine"])
    assert by_id("2").year == 1995
    run(path, overwrite=True)
    film = by_id("1")
    assert (film.title, film.year, film.genre_names) == ("Toy Story", 1995, ["Comedy"])


def test_a_dry_run_counts_and_changes_nothing(tmp_path):
    text = run(write(tmp_path, MOVIES), dry_run=True)
    assert "3 would be added" in text
    assert not Movie.objects.exists()
    assert not Genre.objects.exists()


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("movies.csv", "", "empty"),
        ("shop.csv", "label,kind\nx,y\n", "id, title"),
        ("movies.dat", "1|Toy Story\n", "::"),
        ("u.item", "1,Toy Story\n", "24"),
        ("links.txt", "a b c\n", "--columns"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, name, text, hint):
    path = write(tmp_path, text, name)
    with pytest.raises(CommandError, match=re.escape(str(path))) as caught:
        run(path)
    assert hint in str(caught.value)
    assert not Movie.objects.exists()


def test_a_folder_without_films_says_what_it_looked_for(tmp_path):
    with pytest.raises(CommandError, match=r"movies\.csv"):
        run(tmp_path)
    with pytest.raises(CommandError, match="--download"):
        run("movielens")
    write(tmp_path, "x", "a.item")
    write(tmp_path, "x", "b.item")
    with pytest.raises(CommandError, match="several"):
        run(tmp_path)


def test_tags_are_counted_by_film_and_word_and_counted_once(tmp_path):
    write(tmp_path, MOVIES)
    rows = "7,1,Pixar,1445714994\n8,1,pixar ,1445714996\n8,2,odd,1\n8,9,odd,1\n8,2,,1\n"
    write(tmp_path, "userId,movieId,tag,timestamp\n" + rows, "tags.csv")
    text = run(tmp_path)
    assert "2 tags read: 2 added" in text
    assert "2 rows were refused" in text
    tags = MovieTag.objects.values_list("movie__title", "name", "count")
    assert set(tags) == {("Toy Story", "pixar", 2), ("The City of Lost Children", "odd", 1)}
    assert "2 tags read, nothing to change." in run(tmp_path)


# -- any rows at all ----------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=20)
titles = st.one_of(
    words, words.map(lambda word: f"{word}, The (1995)"), st.sampled_from(['A "B", C', "x::y", "(1999)"])
)
films = st.lists(st.tuples(st.sampled_from([str(n) for n in range(8)]), titles), max_size=12)
MANY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(rows=films)
def test_every_row_is_accepted_or_refused_and_twice_is_once(tmp_path, rows):
    Movie.objects.all().delete()
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [("movieId", "title", "genres"), *((i, t, "A|B") for i, t in rows)]
    )
    path = write(tmp_path, out.getvalue())
    with RejectReport() as report:
        outcome = import_movies(path, report=report, batch=5)
    assert outcome.read == len(rows)
    kept = set(ExternalId.objects.filter(source="movielens").values_list("value", flat=True))
    assert kept == {identifier for identifier, title in rows if search_key(title)}
    assert Movie.objects.count() == len(kept) == outcome.accepted == outcome.added
    before = everything()
    again = import_movies(path)
    assert (again.added, again.changed, again.unchanged) == (0, 0, len(kept))
    assert everything() == before


# -- the real files -----------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the data folder is not beside the checkout")
def test_real_data_sets_join_without_losing_a_film():
    run(SHARED / "ml-100k")
    assert Movie.objects.count() == 1682
    run(SHARED / "ml-1m")
    assert ExternalId.objects.filter(source="movielens").count() == 3883
    joined = Movie.objects.filter(external_ids__source="ml-100k") & Movie.objects.filter(
        external_ids__source="movielens"
    )
    assert Movie.objects.count() == 1682 + 3883 - joined.distinct().count()
    assert by_id("1") == by_id("1", "ml-100k")
    assert by_id("904", "ml-100k").titles.filter(title="My Life in Pink").exists()
