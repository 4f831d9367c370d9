"""Tests of safe imports: what is found out about a file is said first, and a wrong file writes nothing."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from movie.catalogue.importing.cells import TimeFormat
from movie.catalogue.importing.delimited import find_delimiter
from movie.catalogue.importing.rows import Scale
from movie.catalogue.importing.sampling import find_scale
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.events.rating_import import RatingWriter

pytestmark = pytest.mark.django_db
NOON = 1_600_000_000


@pytest.fixture(autouse=True)
def films():
    for n in range(1, 6):
        ExternalId.objects.create(movie=Movie.objects.create(title=f"Film {n}"), source="shop", value=f"s{n}")


def run(tmp_path, text, name="own.csv", encoding="utf-8", **options):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    out = io.StringIO()
    call_command("import_ratings", str(path), stdout=out, no_progress=True, **{"source": "shop"} | options)
    return out.getvalue()


def rows_of(values, times=NOON, delimiter=","):
    lines = [delimiter.join(("user", "item", "rating", "time"))]
    lines += [delimiter.join((f"u{n}", f"s{n % 5 + 1}", str(v), str(times))) for n, v in enumerate(values)]
    return "\n".join(lines) + "\n"


def test_how_a_file_is_read_is_said_before_anything_is_written(tmp_path):
    said: list[str] = []

    class Out(io.StringIO):
        def write(self, text):
            said.append((text, Rating.objects.count()))
            return super().write(text)

    path = tmp_path / "own.csv"
    text = rows_of([n % 10 + 1 for n in range(30)], times=NOON * 1000, delimiter=";")
    path.write_bytes(text.encode("utf-16"))
    call_command("import_ratings", str(path), stdout=Out(), no_progress=True, source="shop")
    first = "".join(text for text, n_ratings in said if n_ratings == 0)
    assert "semicolons, UTF-16; columns user=user, movie=item, rating=rating, time=time" in first
    assert "Ratings go from 1 to 10, by the first 30 rows" in first
    assert "Times are milliseconds since 1970." in first
    assert Rating.objects.get(visitor="shop:u9").value == 5
    assert Rating.objects.get(visitor="shop:u0").value == 0.5
    assert Rating.objects.get(visitor="shop:u0").rated_at == datetime.fromtimestamp(NOON, UTC)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1, 2, 3, 4, 5], None),
        ([0.5, 3.5, 5], None),
        ([1, 5, 10], Scale(1, 10)),
        ([0, 5, 10], Scale(0, 10)),
        ([0, 1, 2, 3, 4, 5], Scale(0, 5)),
        ([1.2, 3.7, 4.9], Scale(1, 5)),
        ([13, 60, 99], Scale(1, 100)),
        ([-1, 1], None),
        ([1, 1000], None),
    ],
)
def test_the_scale_is_found_on_the_first_rows(values, scale):
    assert find_scale(values * 20) == scale
    assert find_scale(values) is None, "a few rows tell nothing"


def test_a_few_wrong_values_among_stars_are_refused_and_are_no_scale(tmp_path):
    text = run(tmp_path, rows_of([4.5] * 60 + [7, 9]))
    assert "Ratings are stars" in text
    assert "2 rows were refused" in text
    assert set(Rating.objects.values_list("value", flat=True)) == {4.5}


@pytest.mark.parametrize(("values", "found"), [([1] * 5, "1"), ([0] * 5, "0"), ([0, 1, 1], "0 and 1")])
def test_flags_are_not_taken_for_stars(tmp_path, values, found):
    with pytest.raises(CommandError, match=f"nothing but {found}, which are no stars. .*import_interactions"):
        run(tmp_path, rows_of(values))
    assert not Rating.objects.exists()
    run(tmp_path, rows_of(values), scale="0-1")
    assert Rating.objects.count() == len(values)


def test_more_refused_rows_than_wanted_write_nothing(tmp_path):
    text = rows_of([4] * 97 + ["x"] * 3)
    with (
        mock.patch.object(RatingWriter, "write", side_effect=AssertionError("written")),
        pytest.raises(CommandError) as caught,
    ):
        run(tmp_path, text, max_refused="1%")
    assert "3 of 100 rows would be refused, more than 0.01 of them" in str(caught.value)
    assert "3 because the rating is not a number" in str(caught.value)
    assert not Rating.objects.exists()
    assert "97 added" in run(tmp_path, text, max_refused="3%")


@pytest.mark.parametrize("text", ["1", "1.5%", "0.02%"])
def test_a_share_is_a_percentage_or_a_number(tmp_path, text):
    run(tmp_path, rows_of([4] * 5), max_refused=text)


@pytest.mark.parametrize("text", ["-1%", "101%", "few", "5", "1%%"])
def test_what_is_no_share_is_refused(tmp_path, text):
    with pytest.raises(CommandError, match="should be a share such as 1%"):
        run(tmp_path, rows_of([4] * 5), max_refused=text)


@pytest.mark.parametrize("rows", ["user,item,rating\n", "user,item,rating\n7,s9,4\n"])
def test_nothing_to_use_is_a_failure(tmp_path, rows):
    with pytest.raises(CommandError, match="is this the file you meant"):
        run(tmp_path, rows)


@pytest.mark.parametrize("command", ["import_ratings", "import_movies"])
def test_a_database_that_was_not_migrated_gets_one_sentence(tmp_path, command):
    path = tmp_path / "own.csv"
    path.write_text("id,title,user,item,rating\ns1,Film,7,s1,4\n")
    missing = OperationalError("no such column: catalogue_movie.available_from")
    line = "movie.catalogue.importing.cli.missing_migrations_line"
    with (
        mock.patch("movie.core.migrations._migrations_on_disk", return_value={("catalogue", "0099_later")}),
        mock.patch("django.db.models.query.QuerySet.values_list", side_effect=missing),
        pytest.raises(CommandError, match="0099_later not applied; run manage"),
    ):
        call_command(command, str(path), no_progress=True, source="shop")
    with (
        mock.patch(line, return_value=""),
        mock.patch("django.db.models.query.QuerySet.values_list", side_effect=missing),
        pytest.raises(OperationalError),
    ):
        call_command(command, str(path), no_progress=True, source="shop")


# -- more forms of files --------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_without_a_header_is_read_by_position(tmp_path, delimiter):
    rows = [("u1", "x,y", "s1", "4"), ("u2", "z", "s2", "3.5")]
    text = "\n".join(delimiter.join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows)
    said = run(tmp_path, text, columns="user=1,movie=3,rating=4")
    assert "columns user=1, movie=3, rating=4" in said
    assert dict(Rating.objects.values_list("visitor", "value")) == {"shop:u1": 4.0, "shop:u2": 3.5}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("user=1,movie=9,rating=4", "no column 9: its first line has 4 cells"),
        ("user=1,movie=1,rating=4", "cannot be user and movie"),
        ("user=1,movie=3", "state rating: --columns rating=NUMBER"),
    ],
)
def test_positions_that_cannot_be_are_refused(tmp_path, columns, words):
    with pytest.raises(CommandError, match=words):
        run(tmp_path, "u1,a,s1,4\n", columns=columns)


def test_the_delimiter_is_the_one_that_gives_most_lines_the_same_cells():
    assert find_delimiter(["1|a, b; c|x", "2|d|y", "3|e, f|z"]) == ("|", 3)
    assert find_delimiter(["a,b,c", "d,e,f"]) == (",", 3)
    assert find_delimiter(["a"]) == ("\t", 1)


@pytest.mark.parametrize("pack", [False, True])
def test_json_lines_are_read_and_broken_lines_refused(tmp_path, pack):
    rows = [{"user": 7, "item": "s1", "rating": 4.5, "time": NOON}, {"item": "s2", "user": "b", "rating": 3}]
    lines = [*map(json.dumps, rows), "{broken", "[1]", ""]
    path = tmp_path / ("own.jsonl.gz" if pack else "own.jsonl")
    content = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(content) if pack else content)
    out = io.StringIO()
    with pytest.raises(CommandError, match="3 of 4"):  # the row without its time among them
        call_command(
            "import_ratings", str(path), stdout=out, no_progress=True, source="shop", max_refused="0.7"
        )
    rows[1]["time"] = NOON
    content = "\n".join([*map(json.dumps, rows), "{broken", ""]).encode()
    path.write_bytes(gzip.compress(content) if pack else content)
    call_command("import_ratings", str(path), stdout=out, no_progress=True, source="shop")
    assert "the line is no JSON object" in out.getvalue()
    assert dict(Rating.objects.values_list("visitor", "value")) == {"shop:7": 4.5, "shop:b": 3.0}


def test_a_file_of_other_lines_is_no_json_lines(tmp_path):
    with pytest.raises(CommandError, match="should hold a JSON object a line"):
        run(tmp_path, "user,item\n", "own.jsonl")


def test_times_are_told_from_dates():
    assert TimeFormat.detect(["1600000000000"] * 3).per_second == 1000
