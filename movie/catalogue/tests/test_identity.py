"""Films keep their identity: contradicting ids join nothing, and cells are read as they are meant."""

import gzip
import io
import tracemalloc

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from movie.catalogue.importing.cells import MOST_NAMES, TimeFormat, parse_names, parse_runtime, parse_year
from movie.catalogue.importing.delimited import table as read_table
from movie.catalogue.importing.errors import RejectReason, RowError
from movie.catalogue.importing.reading import LONGEST_LINE, TextFile, split_quoted
from movie.catalogue.importing.rows import rating_rows
from movie.catalogue.importing.sampling import probe
from movie.catalogue.models import ExternalId, Genre, Movie
from movie.catalogue.tests.films import make_film
from movie.catalogue.twins import find_twins
from movie.core.batches import MOST_CHARACTERS

pytestmark = pytest.mark.django_db


def run(*args, **options):
    out = io.StringIO()
    try:
        call_command("import_movies", *map(str, args), stdout=out, no_progress=True, **options)
    except CommandError as error:
        return f"{out.getvalue()}\nstatus {error.returncode}: {error}"
    return out.getvalue()


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def found(value, source):
    return Movie.objects.get(external_ids__source=source, external_ids__value=value)


# -- which film a row is ------------------------------------------------------------------------


def test_one_title_and_year_with_two_tmdb_ids_is_two_films(tmp_path):
    run(write(tmp_path, "first.csv", "id,title,year,tmdb\nx1,Southern Tide,2014,812001\n"))
    run(write(tmp_path, "second.csv", "id,title,year,tmdb\ny1,Southern Tide,2014,812777\n"))
    assert found("x1", "first") != found("y1", "second")
    assert found("812777", "tmdb") == found("y1", "second")
    run(write(tmp_path, "third.csv", "id,title,year,tmdb\nz1,Southern Tide,2014,812777\n"))
    assert found("z1", "third") == found("y1", "second"), "the id tells which of the two"


@pytest.mark.parametrize(
    "row",
    [
        "p1,Midnight Ferry,1999,tt8800002,7",  # another IMDb id
        "p1,Midnight Ferry,1999,,7",  # neither title nor year
        "p1,Morning Train,2001,tt8800002,7",  # the same film by name, and yet another IMDb id
        "p1,Midnight Ferry,1999,tt8800001,8",
    ],
)
def test_ids_that_contradict_each_other_are_refused_by_line_naming_both_films(tmp_path, row):
    run(write(tmp_path, "a.csv", "id,title,year,imdb,tmdb\no1,Morning Train,2001,tt8800001,7\n"))
    text = run(write(tmp_path, "b.csv", f"id,title,year,imdb,tmdb\n{row}\n"), report=tmp_path / "r.csv")
    report = (tmp_path / "r.csv").read_text(encoding="utf-8")
    for words in ("line 2", row.split(",")[1], "“Morning Train” (2001)", "status 1"):
        assert words in text
    assert "“Morning Train” (2001)" in report
    (movie,) = Movie.objects.all()
    assert list(movie.titles.values_list("title", flat=True)) == ["Morning Train"]


def test_two_ids_of_a_row_that_belong_to_two_films_are_refused(tmp_path):
    run(write(tmp_path, "a.csv", "id,title,year,imdb,tmdb\n1,Aa,2001,tt8800001,\n2,Bb,2002,,9\n"))
    text = run(write(tmp_path, "b.csv", "id,title,year,imdb,tmdb\n1,Aa,2001,tt8800001,9\n"))
    assert "the IMDb id of “Aa” (2001) and the TMDB id of “Bb” (2002)" in text


def test_a_shared_id_joins_a_translated_title_and_a_year_beside_it(tmp_path):
    run(write(tmp_path, "a.csv", "id,title,year,imdb\n1,Morning Train,2001,tt8800001\n"))
    run(write(tmp_path, "b.csv", "id,title,year,imdb\n7,Der Morgenzug,2002,tt8800001\n"))
    assert found("1", "a") == found("7", "b")


def test_an_imdb_id_twice_in_one_file_is_one_film_or_a_conflict(tmp_path):
    text = run(
        write(
            tmp_path,
            "a.csv",
            "id,title,year,imdb\n1,Aa,2001,tt8800001\n2,Bb,2002,tt8800001\n3,Aa,2001,tt8800001\n4,Cc,1990,\n",
        )
    )
    assert "“Bb” (2002) has the IMDb id tt8800001 of “Aa” (2001)" in text
    assert sorted(Movie.objects.values_list("title", flat=True)) == ["Aa", "Aa", "Cc"]


@pytest.mark.parametrize("imdb", ["0", "tt0000000", "tt0", "N/A", "0.0", "nan"])
def test_placeholders_are_no_imdb_ids(tmp_path, imdb):
    rows = "".join(f"{n},Film {n},{2000 + n},{imdb}\n" for n in (1, 2))
    run(write(tmp_path, "a.csv", f"id,title,year,imdb\n{rows}"))
    run(write(tmp_path, "b.csv", f"id,title,year,imdb\nq,Other,1977,{imdb}\n"))
    assert Movie.objects.count() == 3
    assert not ExternalId.objects.filter(source="imdb").exists()


@pytest.mark.parametrize("tmdb", ["0", "0.0", "NaN", "\\N"])
def test_placeholders_are_no_tmdb_ids(tmp_path, tmdb):
    run(write(tmp_path, "a.csv", f"id,title,year,tmdb\n1,Aa,2001,{tmdb}\n"))
    run(write(tmp_path, "b.csv", f"id,title,year,tmdb\nq,Bb,1977,{tmdb}\n"))
    assert Movie.objects.count() == 2
    assert not ExternalId.objects.filter(source="tmdb").exists()


def test_two_folders_with_files_of_the_same_name_are_two_id_spaces(tmp_path):
    one = write(tmp_path, "north/movies.csv", "id,title,year\n1,Blue Harbour,2011\n")
    two = write(tmp_path, "south/movies.csv", "id,title,year\n1,Glass Garden,1988\n")
    run(one)
    run(two)
    assert (found("1", "north").title, found("1", "south").title) == ("Blue Harbour", "Glass Garden")


def test_a_known_id_with_another_title_and_year_is_refused_and_overwritten_only_when_told(tmp_path):
    run(write(tmp_path, "a.csv", "id,title,year\n1,Blue Harbour,2011\n2,No Year,\n"), source="s")
    path = write(tmp_path, "b.csv", "id,title,year\n1,Glass Garden,1988\n2,Long Ferry,\n")
    text = run(path, source="s")
    assert "“Glass Garden” (1988) has the id 1 of “Blue Harbour” (2011)" in text and "status 1" in text
    assert set(Movie.objects.values_list("title", flat=True)) == {"Blue Harbour", "No Year"}
    run(write(tmp_path, "c.csv", "id,title,year\n1,Bleu Harbour,2012\n"), source="s")
    assert found("1", "s").title == "Blue Harbour", "a slip of the pen is the same film"
    run(path, source="s", overwrite=True)
    assert found("1", "s").title == "Glass Garden"


def test_a_file_called_imdb_has_ids_of_its_own(tmp_path):
    run(write(tmp_path, "imdb.csv", "id,title,year\n1,Aa,2001\n"))
    assert not ExternalId.objects.filter(source="imdb").exists()


def test_unknown_is_a_placeholder_only_without_a_year(tmp_path):
    run(write(tmp_path, "a.csv", "id,title,year\n1,Unknown,2011\n2,unknown,\n"))
    assert [(movie.title, movie.is_visible) for movie in Movie.objects.order_by("pk")] == [
        ("Unknown", True),
        ("unknown", False),
    ]


# -- what the cells say -------------------------------------------------------------------------


def test_an_export_of_imdb(tmp_path):
    header = "Const,Your Rating,Title,Original Title,Title Type,Runtime (mins),Year,Genres,Release Date\n"
    row = 'tt8800001,8,Morning Train,Morgentog,Movie,98,2010,"Drama, Mystery",2010-04-02\n'
    many = ", ".join(["Action", "Adventure", "Comedy", "Documentary", "Drama", "Family", "Fantasy", "Sci-Fi"])
    run(write(tmp_path, "list.csv", f'{header}{row}tt8800002,9,"Wind, Sun",,Movie,,2014,"{many}",\n'))
    movie = found("tt8800001", "imdb")
    assert (movie.year, movie.runtime, movie.genre_names) == (2010, 98, ["Drama", "Mystery"])
    assert movie.titles.filter(title="Morgentog").exists()
    assert len(found("tt8800002", "imdb").genre_names) == 8
    assert not Genre.objects.filter(name__contains=",").exists()


def test_a_table_of_tmdb_with_lists_of_objects(tmp_path):
    objects = "\"[{'id': 18, 'name': 'Drama'}, {'id': 9, 'name': \"\"Director's cut\"\"}]\""
    text = (
        "id,title,release_date,genres,imdb_id,runtime,production_countries\n"
        f"5,Morning Train,2010-04-02,{objects},tt8800001,98.0,\"[{{'name': 'France'}}]\"\n"
        '6,Nothing Said,2012-01-01,[],0,0.0,"Korea, South, France"\n'
    )
    out = run(write(tmp_path, "table.csv", text))
    movie = found("5", "table")
    assert (movie.year, movie.runtime) == (2010, 98)
    assert movie.genre_names == ["Director's cut", "Drama"]
    other = found("6", "table")
    assert (other.genre_names, other.runtime) == ([], None)
    assert sorted(other.countries.values_list("name", flat=True)) == ["France", "Korea, South"]
    assert "the running time is not a number of minutes" in out, "a length of 0 is reported"


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("1995", 1995), ("1995.0", 1995), (" 1995 ", 1995), ("1,995", 1995), ("1995–1999", 1995),
        ("1995-10-30", 1995), ("30/10/1995", 1995), ("Jan 1995", 1995), ("0", None), ("N/A", None),
        ("", None), ("1850", None), ("20111", None),
    ],
)  # fmt: skip
def test_years(text, year):
    assert parse_year(text) == year


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("45", 45), ("45.0", 45), ("45 min", 45), ("45min.", 45), ("1 h 45 min", 105), ("1h45m", 105),
        ("1:45", 105), ("2h", 120), ("0", None), ("0.0", None), ("N/A", None), ("9999", None), ("", None),
    ],
)  # fmt: skip
def test_running_times(text, minutes):
    assert parse_runtime(text) == minutes


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Drama|Mystery", ("Drama", "Mystery")), ("Drama, Mystery", ("Drama", "Mystery")),
        ("Drama,Mystery", ("Drama", "Mystery")), ("Drama; Mystery", ("Drama", "Mystery")),
        ('["Drama", "Mystery"]', ("Drama", "Mystery")), ("[{'id': 1, 'name': 'Drama'}]", ("Drama",)),
        ("[]", ()), ("[None]", ()), ("[Drama, Mystery]", ("Drama", "Mystery")), ("(no genres listed)", ()),
        ("Sci-Fi & Fantasy", ("Sci-Fi & Fantasy",)), ("[" * 5000 + "]", ("[" * 4999,)),
    ],
)  # fmt: skip
def test_names(text, names):
    assert parse_names(text) == names


def test_a_field_that_cannot_be_read_is_empty_and_reported_and_the_film_is_there(tmp_path):
    text = "id,title,year,runtime\n1,Aa,0,90\n2,Bb,,N/A\n3,Cc (1990),soon,1 h\n"
    out = run(write(tmp_path, "a.csv", text), report=tmp_path / "r.csv")
    rows = list(Movie.objects.order_by("pk").values_list("title", "year", "runtime"))
    assert rows == [("Aa", None, 90), ("Bb", None, None), ("Cc", 1990, 60)]
    assert "3 fields could not be read and are empty" in out and "status" not in out
    assert (tmp_path / "r.csv").read_text().count("taken in, but") == 3


# -- files --------------------------------------------------------------------------------------


def test_ids_as_floats_a_line_for_spreadsheets_and_a_quoted_mark(tmp_path):
    run(write(tmp_path, "a.csv", "id,title,year\n1.0,Aa,2001.0\n"))
    run(write(tmp_path, "b.csv", "sep=;\nid;title;year\n7;Bb;2002\n"))
    run(write(tmp_path, "c.csv", '\ufeff"id","title","year"\n"9","Cc","2003"\n'))
    run(write(tmp_path, "d.csv", "id\ttitle\tyear\n1\tDd\t2004\n", "utf-16-le"))
    assert [found("1", "a").title, found("7", "b").title, found("9", "c").title, found("1", "d").title] == [
        "Aa", "Bb", "Cc", "Dd",
    ]  # fmt: skip


def test_a_long_cell_and_a_cell_of_many_lines_are_read(tmp_path):
    long, lines = "word " * 40_000, "line\n" * 300
    text = f'id,title,synopsis\n1,Aa,"{long}"\n2,Bb,"{lines}"\n3,Cc,ok\n'
    assert "3 added" in run(write(tmp_path, "a.csv", text))
    assert len(found("1", "a").synopsis) == len(long) - 1
    assert found("2", "a").synopsis.count("line") == 300


def test_an_endless_line_is_refused_with_its_reason_and_is_never_in_memory(tmp_path):
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("id,title,synopsis\n1,Aa,ok\n2,Bb,")
        for _ in range(60):
            file.write("x" * 1_000_000)
        file.write("\n3,Cc,ok\n")
    tracemalloc.start()
    with TextFile(path) as text:
        lines = text.lines()
        next(lines)
        records = list(split_quoted(lines, ",", 3))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [record.problem for record in records] == [None, RejectReason.LONG_LINE, None]
    assert peak < 12 * LONGEST_LINE
    out = run(path)
    assert "2 added" in out and "longer than 1,000,000" in out


def test_a_status_that_says_that_most_was_refused(tmp_path):
    text = run(write(tmp_path, "a.csv", "id,title\n,Aa\n,Bb\n1,Cc\n"))
    assert "status 1: 2 of 3 rows were refused" in text
    assert "1 films read" in run(write(tmp_path, "a.csv", "id,title\n,Aa\n1,Cc\n"))


# -- times --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (["1400000000", "1400000001.5"], 1400000001.5),
        (["1400000000000", "1400000000250"], 1400000000.25),
        (["1400000000000000", "1400000000000000"], 1400000000),
        (["2021-02-03T10:00:00Z", "2021-02-03 10:00:00 UTC"], 1612346400),
        (["25/12/2020", "02/03/2021"], 1614643200),
        (["12/25/2020", "02/03/2021"], 1612310400),
        (["01.02.2020", "02.03.2021"], 1614643200),
        (["2021/02/03 10:00:00", "2021/02/03 10:00:00"], 1612346400),
    ],
)
def test_the_unit_and_the_order_of_dates_are_those_of_the_file(texts, seconds):
    times = TimeFormat.detect(texts)
    assert times.seconds(texts[-1]) == seconds
    assert not times.is_assumed


def test_a_number_that_does_not_fit_the_unit_and_a_date_that_is_none_are_refused():
    times = TimeFormat.detect(["1400000000"] * 3 + ["1400000000000"])
    for text in ("1400000000000", "nan", "inf", "-5", "31/31/2020", "yesterday", ""):
        with pytest.raises(RowError):
            times.seconds(text)
    assert TimeFormat.detect(["02/03/2021"]).is_assumed
    assert not TimeFormat.detect(["02/03/2021"], day_first=True).is_assumed


# -- twins --------------------------------------------------------------------------------------


def test_twins_are_reported_at_the_import(tmp_path):
    rows = "1,Aa,2001\n2,Aa,2001\n3,Aa,2002\n4,Bb,2001\n"
    out = run(write(tmp_path, "a.csv", "id,title,year\n" + rows))
    assert "1 films are in the catalogue more than once" in out and "Aa (2001)" in out
    twins = find_twins()
    assert twins == [[found("1", "a").pk, found("2", "a").pk]]


def test_other_titles_make_twins_and_other_ids_none():
    one = make_film("Morning Train", 2001, titles={"de": "Morgenzug"})
    two = make_film("Morgenzug", 2001)
    ExternalId.objects.create(movie=one, source="imdb", value="tt8800001")
    assert find_twins() == [[one.pk, two.pk]]
    ExternalId.objects.create(movie=two, source="imdb", value="tt8800002")
    assert find_twins() == []


@pytest.mark.parametrize("value", ["0", "tt0000000", "", "abc"])
def test_an_admin_enters_no_placeholder_either(value):
    movie = make_film("Aa", 2001)
    with pytest.raises(ValidationError):
        ExternalId(movie=movie, source="imdb", value=value).full_clean()
    entered = ExternalId(movie=movie, source="imdb", value="8800001")
    entered.full_clean()
    assert entered.value == "tt8800001"


def test_batches_of_long_lines_hold_few_of_them(tmp_path):
    """Compressed, so many lines are a small file; all of a batch in memory would be a gigabyte."""
    path = tmp_path / "ratings.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("user,movie,rating,timestamp,comment\n")
        for n in range(60):
            file.write(f"{n},1,5,1,{'0' * 900_000}\n")
    tracemalloc.start()
    with TextFile(path) as text:
        table, _found = probe(read_table(text, "ratings"), path)
        n_rows = sum(1 for _row in rating_rows(table))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_rows == 60
    assert peak < 5 * MOST_CHARACTERS


def test_a_cell_names_so_many_genres_at_most():
    assert len(parse_names("|".join(map(str, range(200_000))))) == MOST_NAMES
