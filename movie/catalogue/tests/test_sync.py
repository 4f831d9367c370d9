"""Tests of files that are a source's whole catalogue, and of columns for people, tags and windows."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from movie.catalogue.importing.movies import MovieWriter
from movie.catalogue.importing.sync import hide_movies
from movie.catalogue.models import Credit, ExternalId, Movie, MovieQuerySet
from movie.catalogue.tests.films import lose_first_race, make_film

pytestmark = pytest.mark.django_db
HEADER = "id,title,year\n"


def run(tmp_path, text, name="own.csv", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    out = io.StringIO()
    call_command("import_movies", str(path), stdout=out, no_progress=True, **{"source": "shop"} | options)
    return out.getvalue()


def rows(*numbers):
    return HEADER + "".join(f"s{n},Film {n},{1950 + n}\n" for n in numbers)


def shown() -> set[str]:
    return set(Movie.objects.visible().values_list("title", flat=True))


def test_films_that_the_file_does_not_hold_are_hidden_and_come_back(tmp_path):
    make_film("Of another source", 1999)
    run(tmp_path, rows(*range(20)), sync=True)
    text = run(tmp_path, rows(*range(19)), sync=True)
    assert "1 films that are not in the file: hidden." in text
    assert shown() == {"Of another source", *(f"Film {n}" for n in range(19))}
    hidden = Movie.objects.get(title="Film 19")
    assert hidden.is_visible and hidden.available_until <= timezone.now()
    assert "0 films that are not in the file: hidden." in run(tmp_path, rows(*range(19)), sync=True)
    run(tmp_path, rows(*range(20)), sync=True)
    assert "Film 19" in shown()
    assert Movie.objects.count() == 21


@pytest.mark.django_db(transaction=True)
def test_films_are_hidden_though_the_database_ends_a_transaction(monkeypatch):
    movie = make_film("Heat", 1995)
    lose_first_race(monkeypatch, MovieQuerySet, "update")
    hide_movies([movie.pk])
    assert shown() == set()


def test_without_sync_nothing_is_hidden(tmp_path):
    run(tmp_path, rows(1, 2))
    run(tmp_path, rows(1))
    assert len(shown()) == 2


def test_what_an_administrator_hid_stays_hidden(tmp_path):
    run(tmp_path, rows(1, 2), sync=True)
    Movie.objects.filter(title="Film 1").update(is_visible=False)
    run(tmp_path, rows(1, 2), sync=True)
    assert shown() == {"Film 2"}


def test_more_than_a_share_is_not_hidden_unless_it_is_allowed(tmp_path):
    run(tmp_path, rows(*range(20)))
    for options, share in (({}, "10%"), ({"max_hidden": "5%"}, "5%")):
        with pytest.raises(CommandError) as caught:
            run(tmp_path, rows(*range(17), 30), sync=True, **options)
        assert (
            f"3 of the 20 films of “shop” are not in the file and would be hidden, more than {share}"
            in str(caught.value)
        )
        assert not Movie.objects.filter(title="Film 30").exists(), "nothing was written"
        assert len(shown()) == 20
    said = run(tmp_path, rows(*range(17)), sync=True, max_hidden="15%", dry_run=True)
    assert "3 films that are not in the file: would be hidden." in said
    assert len(shown()) == 20
    run(tmp_path, rows(*range(17)), sync=True, max_hidden="0.15")
    assert len(shown()) == 17


def test_the_film_of_a_refused_row_is_not_hidden_and_a_row_without_id_hides_nothing(tmp_path):
    run(tmp_path, rows(*range(20)))
    run(tmp_path, rows(*range(19)) + "s19,,1990\n", sync=True)
    assert len(shown()) == 20
    with pytest.raises(CommandError, match="no id that can be read"):
        run(tmp_path, rows(*range(19)) + "s19\n", sync=True)
    assert len(shown()) == 20


def test_an_empty_file_hides_nothing(tmp_path):
    run(tmp_path, rows(1, 2))
    with pytest.raises(CommandError, match="2 of the 2 films"):
        run(tmp_path, HEADER, sync=True)
    assert len(shown()) == 2


def test_too_many_refused_rows_write_nothing(tmp_path):
    with pytest.raises(CommandError, match="1 of 3 rows would be refused"):
        run(tmp_path, rows(1, 2) + "s3,,1990\n", max_refused="10%")
    assert not Movie.objects.exists()


FULL = {
    "id": "s1",
    "title": "Heat",
    "year": 1995,
    "directors": ["Michael Mann"],
    "writers": [{"name": "Michael Mann"}],
    "cast": ["Al Pacino", "Robert De Niro"],
    "tags": ["Heist", "los angeles", "heist"],
    "genres": ["Crime"],
    "visible": True,
    "available_from": "2020-01-01",
    "available_until": "2090-01-01T12:00:00+02:00",
}


def facts_of(film: Movie) -> dict[str, object]:
    return {
        "people": [(each.role, each.person.name) for each in film.credits.order_by("role", "order")],
        "tags": sorted(film.tags.values_list("name", flat=True)),
        "genres": film.genre_names,
        "window": (film.available_from.isoformat(), film.available_until.isoformat()),
    }


@pytest.mark.parametrize("form", ["jsonl", "bars", "own separator", "by position"])
def test_people_tags_and_windows_come_in_from_every_form(tmp_path, form):
    cells = {name: value for name, value in FULL.items() if name != "writers"}
    if form == "jsonl":
        run(tmp_path, json.dumps(FULL) + "\n", "own.jsonl")
    else:
        separator = {"own separator": " / "}.get(form, "|")
        texts = {
            name: separator.join(value) if isinstance(value, list) else str(value)
            for name, value in cells.items()
        }
        line = ";".join(texts.values())
        head = "" if form == "by position" else ";".join(texts) + "\n"
        columns = ",".join(f"{name}={n}" for n, name in enumerate(texts, start=1)) if not head else ""
        more = {"list_separator": " / "} if form == "own separator" else {}
        run(tmp_path, f"{head}{line}\n", columns=columns, **more)
    film = Movie.objects.visible().get()
    people = [("cast", "Al Pacino"), ("cast", "Robert De Niro"), ("director", "Michael Mann")]
    assert facts_of(film) == {
        "people": people + ([("writer", "Michael Mann")] if form == "jsonl" else []),
        "tags": ["heist", "los angeles"],
        "genres": ["Crime"],
        "window": ("2020-01-01T00:00:00+00:00", "2090-01-01T10:00:00+00:00"),
    }


def test_visible_and_windows_are_as_stated_and_people_fill_gaps_alone(tmp_path):
    head = "id,title,visible,available_until,directors\n"
    run(tmp_path, head + "s1,Heat,1,,Michael Mann\ns2,Ran,0,,\n")
    assert shown() == {"Heat"}
    run(tmp_path, head + "s1,Heat,no,2090-01-01,Somebody Else\ns2,Ran,yes,2000-01-01,Akira Kurosawa\n")
    assert shown() == set()
    heat, ran = Movie.objects.order_by("title")
    assert (heat.is_visible, ran.is_visible) == (False, True)
    assert heat.director_names == ["Michael Mann"]
    assert ran.director_names == ["Akira Kurosawa"]
    run(tmp_path, head + "s1,Heat,,,Somebody Else\n", overwrite=True)
    heat.refresh_from_db()
    assert not heat.is_visible and heat.available_until.year == 2090
    assert [each.person.name for each in Credit.objects.filter(movie=heat)] == ["Somebody Else"]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("maybe,,", "visible is neither 1 nor 0"),
        ("1,soon,", "an end of the availability is no date"),
        ("1,2020-01-02,2020-01-01", "the end is before the beginning"),
    ],
)
def test_what_would_show_a_film_at_the_wrong_time_is_refused(tmp_path, cells, reason):
    out = tmp_path / "report.csv"
    text = "id,title,visible,available_from,available_until\ns1,Heat,1,,\ns2,Ran," + cells + "\ns3,Ikiru,,,\n"
    run(tmp_path, text, report=out)
    assert reason in out.read_text()
    assert shown() == {"Heat", "Ikiru"}


def test_an_import_keeps_the_figures_of_ratings_that_came_meanwhile(tmp_path):
    film = make_film("Heat", 1995)
    ExternalId.objects.create(movie=film, source="shop", value="s1")
    real = MovieWriter._fill

    def rate_then_fill(self, row, movie):
        Movie.objects.filter(pk=movie.pk).update(rating_count=7)
        return real(self, row, movie)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MovieWriter, "_fill", rate_then_fill)
        run(tmp_path, "id,title,year,runtime\ns1,Heat,1995,170\n")
    film.refresh_from_db()
    assert (film.runtime, film.rating_count) == (170, 7)
