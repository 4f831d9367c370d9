import csv
import gzip
import io
import lzma
import signal
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Avg, Count, Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from movie.catalogue.importing import reading
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.reports import RejectReport
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.core import batches
from movie.core.spreadsheets import restore
from movie.events import rating_import as ratings_module
from movie.events.rating_import import import_ratings

pytestmark = pytest.mark.django_db

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
HEADER = "userId,movieId,rating,timestamp\n"


@pytest.fixture
def films():
    """Films with MovieLens ids 1 to 5."""
    movies = {}
    for n in range(1, 6):
        movies[str(n)] = Movie.objects.create(title=f"Film {n}", year=1990 + n)
        ExternalId.objects.create(movie=movies[str(n)], source="movielens", value=str(n))
    return movies


def run(*args, **options):
    out = io.StringIO()
    call_command("import_ratings", *map(str, args), stdout=out, no_progress=True, **options)
    return out.getvalue()


def write(folder, text, name="ratings.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def facts():
    return sorted(Rating.objects.values_list("visitor", "movie__title", "value", "rated_at"))


def figures():
    return sorted(Movie.objects.values_list("title", "rating_count", "rating_sum", "rating_average"))


def start_over():
    Rating.objects.all().delete()
    Movie.objects.update(rating_count=0, rating_sum=0, rating_average=None)


def figures_counted_again():
    counted = Movie.objects.annotate(
        n=Count("ratings"), total=Sum("ratings__value"), mean=Avg("ratings__value")
    )
    return sorted((each.title, each.n, each.total or 0.0, each.mean) for each in counted)


def test_movielens_csv(tmp_path, films):
    folder = tmp_path / "ml-latest-small"
    folder.mkdir()
    write(folder, HEADER + "7,1,4.5,964982703\n7,2,3.0,964982703\n8,1,0.5,964981247\n")
    assert "3 ratings read: 3 added" in run(folder)
    assert facts() == [
        ("ml-latest-small:7", "Film 1", 4.5, datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC)),
        ("ml-latest-small:7", "Film 2", 3.0, datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC)),
        ("ml-latest-small:8", "Film 1", 0.5, datetime(2000, 7, 30, 18, 20, 47, tzinfo=UTC)),
    ]
    films["1"].refresh_from_db()
    assert (films["1"].rating_count, films["1"].rating_sum, films["1"].rating_average) == (2, 5.0, 2.5)


def test_the_second_import_changes_nothing_and_says_so(tmp_path, films):
    path = write(tmp_path, HEADER + "7,1,4.5,964982703\n8,1,2,964982703\n")
    run(path)
    before = list(Rating.objects.order_by("pk").values())
    assert "2 ratings read, nothing to change." in run(path)
    assert list(Rating.objects.order_by("pk").values()) == before


@pytest.mark.parametrize(
    ("name", "text", "visitor"),
    [
        ("ratings.dat", "7::1::4::964982703\n", "movielens:7"),
        ("u.data", "7\t1\t4\t964982703\n", "movielens:7"),
        (
            "ml-1m.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t1\t4.0\t964982703.0\n",
            "ml-1m:7",
        ),
        ("own.csv", "stars;who;what;when\n4;7;1;2000-07-30T18:45:03Z\n", "movielens:7"),
        ("own.tsv", "user\titem\trating\ttime\n7\t1\t4\t2000-07-30 18:45:03\n", "movielens:7"),
    ],
)
@pytest.mark.parametrize("pack", [None, gzip, lzma])
@pytest.mark.usefixtures("films")
def test_every_text_format_packed_or_not(tmp_path, name, text, visitor, pack):
    path = write(tmp_path, text, name)
    if pack:
        packed = path.with_name(name + {gzip: ".gz", lzma: ".xz"}[pack])
        packed.write_bytes(pack.compress(path.read_bytes()))
        path.unlink()
        path = packed
    columns = "user=who,id=what,rating=stars,time=when" if name == "own.csv" else ""
    run(path, source="movielens", columns=columns)
    assert facts() == [(visitor, "Film 1", 4.0, datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC))]


def test_parquet(tmp_path, films):
    polars = pytest.importorskip("polars")
    path = tmp_path / "own.parquet"
    frame = {"user": ["añ", "b", None, "c"], "movie_id": [1, 2, 3, 2], "rating": [4.0, 9.0, 1.0, 5.0]}
    frame["at"] = [datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC)] * 4
    polars.DataFrame(frame).write_parquet(path)
    text = run(path, source="movielens", visitors="mine")
    at = datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC)
    assert facts() == [("mine:añ", "Film 1", 4.0, at), ("mine:c", "Film 2", 5.0, at)]
    assert "2 rows were refused" in text


def test_ids_may_be_any_text(tmp_path):
    movie = Movie.objects.create(title="A film")
    ExternalId.objects.create(movie=movie, source="shop", value="B00-ä/1")
    path = write(tmp_path, "user_id,asin,stars\nanna@example.org,B00-ä/1,3.5\n", "reviews.csv")
    run(path, source="shop")
    assert Rating.objects.get().visitor == "shop:anna@example.org"
    assert "nothing to change" in run(path, source="shop")  # a row without a time is not newer each time


@pytest.mark.parametrize("name", ["user", "Guest", "api:shop"])
@pytest.mark.usefixtures("films")
def test_an_import_never_writes_into_the_history_of_somebody_here(tmp_path, name):
    path = write(tmp_path, "user,item,rating\n7,1,4\n", "ratings.csv")
    with pytest.raises(CommandError, match="what people of this site are called"):
        run(path, source="movielens", visitors=name)
    assert not Rating.objects.exists()


def test_every_bad_row_is_reported_with_its_line_and_the_rest_goes_on(tmp_path, films):
    bad = {
        3: ("7,1,7,964982703", "half-star value"),
        4: ("7,1,4.3,964982703", "half-star value"),
        5: ("7,1,good,964982703", "not a number"),
        6: ("7,99,4,964982703", "no film"),
        7: ("7,1,4,yesterday", "neither seconds"),
        8: ("7,1,4", "number of columns"),
        9: (",1,4,964982703", "user is empty"),
        10: ("7,1,nan,964982703", "half-star value"),
        11: ("7,1,4,964982703000", "neither seconds"),
        12: ('7,"1,4,964982703', "quotation mark"),
        13: ("x" * 200 + ",1,4,964982703", "too long"),
    }
    lines = [HEADER.strip(), "7,1,4,964982703", *(row for row, _reason in bad.values()), "7,2,5,964982703"]
    lines += [f"{user},3,5,964982703" for user in range(20, 32)]
    path = write(tmp_path, "\n".join(lines) + "\n")
    report = tmp_path / "report.csv"
    text = run(path, report=report)
    rows = list(csv.DictReader(report.open(encoding="utf-8")))
    assert [int(row["line"]) for row in rows] == list(bad)
    for row in rows:
        raw, reason = bad[int(row["line"])]
        assert row["row"] == raw
        assert reason in row["reason"]
    assert "11 rows were refused" in text
    assert "--scale" in text
    assert Counter(facts())[("movielens:7", "Film 2", 5.0, datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC))] == 1
    assert Rating.objects.count() == 14


def test_other_scales_are_mapped_when_named(tmp_path, films):
    path = write(tmp_path, HEADER + "a,1,10,1\na,2,1,1\na,3,7,1\na,4,11,1\n")
    text = run(path, scale="1-10")
    assert {title: value for _v, title, value, _t in facts()} == {"Film 1": 5.0, "Film 2": 0.5, "Film 3": 3.5}
    assert "outside the scale" in text
    with pytest.raises(CommandError, match="10-1"):
        run(path, scale="10-1")


def test_a_newer_rating_stands_and_a_corrected_file_corrects(tmp_path, films):
    run(write(tmp_path, HEADER + "7,1,4,2000\n7,1,2,1000\n"))
    assert Rating.objects.get().value == 4
    assert "1 changed" in run(write(tmp_path, HEADER + "7,1,3,2000\n"))
    assert Rating.objects.get().value == 3
    films["1"].refresh_from_db()
    assert films["1"].rating_average == 3


def test_a_dry_run_counts_and_changes_nothing(tmp_path, films):
    text = run(write(tmp_path, HEADER + "7,1,4,2000\n7,9,2,1000\n"), dry_run=True)
    assert "1 would be added" in text
    assert "1 rows were refused" in text
    assert not Rating.objects.exists()


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("ratings.csv", b"", "empty"),
        ("own.csv", b"user,rating\n1,2\n", "movie"),
        ("own.csv", b"user,movie,rating\nJos\xe9,1,4\n", "latin-1"),
        ("own.csv", b"\x00\x01\x02", "not a text file"),
        ("ratings.dat", b"1,2,3,4\n", "::"),
        ("u.data", b"1,2,3,4\n", "tabs"),
        ("x.inter", b"user_id,item_id\n", "RecBole"),
        (
            "ratings.csv.gz",
            gzip.compress(HEADER.encode() + b"7,1,4,2000\n" * 5000)[:-20],
            "not copied completely",
        ),
        ("ratings.csv.gz", b"not gzip", "damaged"),
        ("ratings.dat.xz", lzma.compress(b"1::1::4::2000\n" * 9000)[:-40], "not copied completely"),
        ("own.parquet", b"PAR1 not", "Parquet"),
        ("ratings.unknown", b"1,2", "--format"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, films, name, content, hint):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CommandError) as caught:
        run(path, source="movielens")
    assert str(path) in str(caught.value)
    assert hint in str(caught.value)
    assert figures() == figures_counted_again()


def test_what_was_read_before_the_damage_is_kept_in_whole_batches(tmp_path, films):
    rows = "".join(f"{user},{film},4,2000\n" for user in range(2000) for film in range(1, 6))
    path = tmp_path / "ratings.csv.gz"
    path.write_bytes(gzip.compress((HEADER + rows).encode())[:-300])
    with mock.patch.object(reading, "PROBE_BYTES", 1000), pytest.raises(CatalogueError):
        import_ratings(path, batch=1000)
    stored = Rating.objects.count()
    assert stored > 0
    assert stored % 1000 == 0
    assert figures() == figures_counted_again()
    path.write_bytes(gzip.compress((HEADER + rows).encode()))
    assert import_ratings(path, batch=1000).added == 10_000 - stored


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the import runs after it."""


@pytest.mark.parametrize("is_second_time", [False, True])
def test_a_killed_import_leaves_no_wrong_counts(tmp_path, films, is_second_time):
    if is_second_time:  # the rows are there with other stars
        import_ratings(
            write(tmp_path, HEADER + "".join(f"{user},{user % 5 + 1},2,1\n" for user in range(30)))
        )
    path = write(tmp_path, HEADER + "".join(f"{user},{user % 5 + 1},4.5,2000\n" for user in range(30)))
    real, calls = ratings_module.RatingWriter.write, []

    def write_twice_and_a_half(self, rows):
        calls.append(rows)
        done = real(self, rows)
        if len(calls) == 3:
            raise Killed
        return done

    with (
        mock.patch.object(ratings_module.RatingWriter, "write", write_twice_and_a_half),
        pytest.raises(Killed),
    ):
        import_ratings(path, batch=7)
    assert Rating.objects.filter(value=4.5).count() == 14
    assert figures() == figures_counted_again()
    import_ratings(path, batch=7)
    assert Rating.objects.filter(value=4.5).count() == 30
    assert figures() == figures_counted_again()


def test_the_forms_in_which_other_programs_write_numbers_and_times(tmp_path, films):
    rows = [
        "a,1.0,4.0,1400000000.0", "b,1,4,2021-02-03T10:00:00Z", "c,1,4,2021-02-03 10:00:00 UTC",
        "d,1,4,25/12/2020", 'e,2,"4,5",1400000000', "1.0,2,4,1400000000", "1e3,2,4,1400000000",
        "007,2,4,1400000000", "7,2,3,1400000000",
    ]  # fmt: skip
    text = run(write(tmp_path, HEADER + "\n".join(rows) + "\n"))
    assert "9 ratings read: 9 added" in text and "refused" not in text
    assert set(Rating.objects.values_list("visitor", flat=True)) == {
        f"movielens:{user}" for user in ("a", "b", "c", "d", "e", "1", "1e3", "007", "7")
    }
    assert Rating.objects.get(visitor="movielens:e").value == 4.5
    at = Rating.objects.get(visitor="movielens:c").rated_at
    assert at == datetime(2021, 2, 3, 10, tzinfo=UTC)


def test_milliseconds_are_found_before_anything_is_written(tmp_path, films):
    rows = "".join(f"u{n}\t{n % 5 + 1}\t4\t{1_400_000_000_000 + n * 1000}\n" for n in range(20))
    path = write(tmp_path, "user\titem\trating\ttimestamp\n" + rows, "own.csv", "utf-16")
    assert "20 added" in run(path, source="movielens")
    assert Rating.objects.get(visitor="movielens:u1").rated_at == datetime(
        2014, 5, 13, 16, 53, 21, tzinfo=UTC
    )


def test_an_assumption_about_dates_is_said_and_can_be_corrected(tmp_path, films):
    path = write(tmp_path, "user,item,rating,date\na,1,4,02/03/2021\n", "own.csv")
    assert "--day-first" in run(path, source="movielens", dry_run=True)
    assert "--day-first" not in run(path, source="movielens", day_first=True)
    assert Rating.objects.get().rated_at == datetime(2021, 3, 2, tzinfo=UTC)


def test_most_rows_refused_is_a_failure(tmp_path, films):
    path = write(tmp_path, HEADER + "a,1,4,1\nb,99,4,1\nc,99,4,1\n")
    with pytest.raises(CommandError, match="2 of 3 rows were refused"):
        run(path)
    assert Rating.objects.count() == 1


def test_an_interrupted_import_keeps_its_batches_and_goes_on_later(tmp_path, films):
    path = write(tmp_path, HEADER + "".join(f"{user},1,4,2000\n" for user in range(30)))
    real = ratings_module.RatingWriter.write
    calls = []

    def write_twice_then_stop(self, rows):
        calls.append(rows)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return real(self, rows)

    with (
        mock.patch.object(ratings_module.RatingWriter, "write", write_twice_then_stop),
        mock.patch.multiple(batches, FIRST_ROWS=10, FEWEST_ROWS=10, GROWTH=1.0),
        pytest.raises(CommandError) as caught,
    ):
        run(path)
    assert caught.value.returncode == 130
    assert Rating.objects.count() == 20
    assert figures() == figures_counted_again()
    assert "10 added" in run(path)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("pauses", [True, False])
def test_between_batches_visitors_write_unless_nobody_is_there(tmp_path, films, pauses):
    path = write(tmp_path, HEADER + "".join(f"{user},{user % 5 + 1},4,2000\n" for user in range(600)))
    slept = []
    with mock.patch.object(batches.time, "sleep", slept.append):
        assert import_ratings(path, pauses=pauses).added == 600
    assert (sum(slept) > 0) is pauses


def test_ratings_before_films_say_what_to_do(tmp_path):
    path = write(tmp_path, HEADER + "7,1,4,2000\n")
    with pytest.raises(CommandError, match="import_movies"):
        run(path)


def test_bad_options_are_refused(tmp_path, films):
    path = write(tmp_path, "a,b,c\n1,1,4\n", "own.csv")
    with pytest.raises(CommandError, match="no column"):
        run(path, source="movielens", columns="user=nobody")
    with pytest.raises(CommandError, match="MEANING=COLUMN"):
        run(path, source="movielens", columns="colour=a")
    with pytest.raises(CommandError, match="encoding"):
        run(path, source="movielens", encoding="utf-99")
    with pytest.raises(CommandError, match="There is no file"):
        run(tmp_path / "absent.csv")
    with pytest.raises(CommandError, match="report"):
        run(path, report=tmp_path / "absent" / "report.csv")


# -- any rows at all ----------------------------------------------------------------------------

cell = st.one_of(
    st.sampled_from(["1", "2", "3", "4", "5", "99", "0.5", "4.5", "7", "964982703", "", "nan", "::", " "]),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n\0"), max_size=6),
)
sound_row = st.tuples(
    st.sampled_from("abcd"),
    st.sampled_from("12345"),
    st.sampled_from(["0.5", "3", "3.5", "5.0"]),
    st.integers(0, 2**31).map(str),
)
sound_rows = st.lists(sound_row, max_size=25, unique_by=lambda row: (row[0], row[1], row[3]))
MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(rows=st.lists(st.one_of(sound_row, st.lists(cell, max_size=6)), max_size=20))
def test_every_line_is_accepted_or_refused(tmp_path, films, rows):
    start_over()
    lines = [",".join(row).replace('"', "'") for row in rows]
    path = write(tmp_path, HEADER + "\n".join(lines))
    with RejectReport(tmp_path / "report.csv") as report:
        outcome = import_ratings(path, report=report, batch=7)
    assert outcome.read == sum(bool(line.strip()) for line in lines)
    report_rows = csv.DictReader((tmp_path / "report.csv").open())
    refused = {int(row["line"]): restore(row["row"]) for row in report_rows}
    assert all(lines[line - 2] == raw for line, raw in refused.items())
    assert outcome.accepted == outcome.read - len(refused)
    assert figures() == figures_counted_again()


@MANY
@given(
    rows=st.lists(
        st.one_of(sound_row.map(",".join), st.sampled_from(['a,"1', '"a",1,3,5', 'a,1,"3"x,5', '"'])),
        max_size=15,
    )
)
def test_stray_quotation_marks_swallow_no_sound_row(tmp_path, films, rows):
    start_over()
    path = write(tmp_path, HEADER + "\n".join(rows))
    import_ratings(path)
    expected = {tuple(row.split(",")[:2]) for row in rows if '"' not in row}
    stored = set(Rating.objects.values_list("visitor", "movie__external_ids__value"))
    assert {(f"movielens:{user}", film) for user, film in expected} <= stored


@MANY
@given(rows=sound_rows)
def test_importing_twice_is_importing_once(tmp_path, films, rows):
    start_over()
    path = write(tmp_path, HEADER + "\n".join(",".join(row) for row in rows))
    import_ratings(path)
    once = facts(), figures()
    again = import_ratings(path, batch=3)
    assert (facts(), figures()) == once
    assert (again.added, again.changed) == (0, 0)


@MANY
@given(rows=sound_rows, data=st.data())
def test_neither_batches_nor_order_change_the_result(tmp_path, films, rows, data):
    results = []
    for order in (rows, data.draw(st.permutations(rows))):
        start_over()
        path = write(tmp_path, HEADER + "\n".join(",".join(row) for row in order))
        import_ratings(path, batch=data.draw(st.integers(1, 9)))
        results.append((facts(), figures()))
    assert results[0] == results[1]
    assert results[0][1] == figures_counted_again()


# -- the real files -----------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.skipif(not (SHARED / "ml-100k").is_dir(), reason="the data folder is not beside the checkout")
def test_movielens_100k_from_its_own_files():
    call_command("import_movies", str(SHARED / "ml-100k"), no_progress=True, stdout=io.StringIO())
    assert "100,000 ratings read: 100,000 added" in run(SHARED / "ml-100k")
    assert Movie.objects.get(external_ids__source="ml-100k", external_ids__value="50").rating_count == 583
    assert Rating.objects.filter(visitor="ml-100k:405").count() == 737


NORTH = "id,title,year\n1,Blue Harbour,2011\n2,Long Ferry,1999\n3,Night Bus,2003\n"
SOUTH = "id,title,year\n1,Glass Garden,1988\n2,Long Ferry,1999\n3,Salt,1975\n"


def test_ratings_of_another_catalogue_under_the_same_source_are_refused_by_line(tmp_path, db):
    for name, films_of in (("north", NORTH), ("south", SOUTH)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, films_of, "movies.csv")
        write(tmp_path / name, HEADER + "7,1,4.5,964982703\n7,2,3.0,964982703\n7,3,0.5,964981247\n")
    call_command("import_movies", str(tmp_path / "north"), source="shop", no_progress=True)
    report = tmp_path / "refused.csv"
    with pytest.raises(CommandError, match="2 of 3 rows were refused"):
        run(tmp_path / "south", source="shop", report=report)
    assert dict(Rating.objects.values_list("movie__title", "value")) == {"Long Ferry": 3.0}
    assert "“Glass Garden” (1988) has the id 1 of “Blue Harbour” (2011)" in report.read_text()
    assert "3 ratings read: 3 added" in run(tmp_path / "north", source="shop", visitors="north")


def test_a_source_that_nothing_beside_the_file_confirms_is_said_with_examples(tmp_path, films):
    path = write(tmp_path, HEADER + "7,1,4.5,964982703\n", "new.csv")
    text = run(path, source="movielens")
    assert "Movie ids are those of “movielens”: 1 is Film 1 (" in text
