"""Tests of films that a client adds, changes and hides, and of the names of the catalogue."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from movie.api.models import READ, WRITE_CATALOGUE, WRITE_INTERACTIONS, ApiClient, create_key
from movie.catalogue import people_search, search, upsert
from movie.catalogue.models import ExternalId, Movie, Person, Rating
from movie.catalogue.tests.films import make_film

HEAT = {
    "id": "shop:sku-heat",
    "title": "Heat",
    "year": 1995,
    "runtime": 170,
    "synopsis": "A thief and a detective.",
    "genres": ["Crime", "Drama"],
    "countries": ["United States"],
    "languages": ["English"],
    "directors": ["Michael Mann"],
    "writers": ["Michael Mann"],
    "cast": ["Al Pacino", "Robert De Niro"],
    "titles": [{"title": "히트", "language": "ko"}],
    "tags": ["Heist"],
    "external_ids": ["imdb:tt0113277", {"source": "tmdb", "id": "949"}],
    "available_from": "2020-01-01T00:00:00Z",
    "available_until": None,
    "attributes": {"price": 3.5, "shelf": "a", "new": True, "formats": ["dvd", "4k"], "note": None},
}


@pytest.fixture
def call(connect):
    return connect(READ, WRITE_CATALOGUE, WRITE_INTERACTIONS)


# -- adding and changing ---------------------------------------------------------------------------


def test_a_film_is_added_with_everything_and_sent_again_changes_nothing(call):
    answer = call("PUT", "movies", [HEAT])
    (result,) = answer["results"]
    assert (answer["added"], answer["refused"], result["outcome"]) == (1, 0, "added")
    found = call("GET", "movies/shop:sku-heat?id_space=shop")
    assert found["id"] == result["movie_id"]
    for name in ("title", "year", "runtime", "synopsis", "genres", "countries", "languages", "attributes"):
        assert found[name] == HEAT[name]
    assert [each["name"] for each in found["cast"]] == HEAT["cast"]
    assert found["directors"] == found["writers"]
    assert found["titles"] == HEAT["titles"]
    assert found["tags"] == ["heist"]
    assert {each["source"]: each["value"] for each in found["external_ids"]} == {
        "shop": "sku-heat",
        "imdb": "tt0113277",
        "tmdb": "949",
    }
    assert found["available_from"] == "2020-01-01T00:00:00Z"
    before = list(Movie.objects.order_by("pk").values())
    again = call("PUT", "movies", [HEAT])
    assert again["results"] == [{"movie_id": result["movie_id"], "outcome": "unchanged", "errors": []}]
    assert list(Movie.objects.order_by("pk").values()) == before
    assert call("GET", "search?q=히트")["results"][0]["id"] == result["movie_id"]
    assert "Crime" in {each["name"] for each in call("GET", "genres")["genres"]}


def test_what_is_stated_replaces_and_what_is_left_out_stays(call):
    call("PUT", "movies", [HEAT])
    change = {
        "id": {"source": "shop", "id": "sku-heat"},
        "title": "The Heat",
        "genres": ["Thriller"],
        "cast": ["Robert De Niro", "Al Pacino"],
        "tags": [],
        "titles": [],
        "runtime": None,
        "available_until": "2090-01-01T00:00:00Z",
        "attributes": {"price": 4},
    }
    assert call("PUT", "movies", [change])["changed"] == 1
    found = call("GET", "movies/shop:sku-heat")
    assert (found["title"], found["runtime"], found["year"]) == ("The Heat", None, 1995)
    assert (found["genres"], found["tags"], found["titles"]) == (["Thriller"], [], [])
    assert [each["name"] for each in found["cast"]] == ["Robert De Niro", "Al Pacino"]
    assert found["directors"][0]["name"] == "Michael Mann"
    assert found["attributes"] == {"price": 4}
    film = Movie.objects.get(pk=found["id"])
    assert film.sort_title == "Heat, The"
    assert list(film.titles.values_list("title", flat=True)) == ["The Heat"]
    assert call("PUT", "movies", [change])["unchanged"] == 1
    assert Person.objects.filter(name="Al Pacino").count() == 1


def test_ids_join_a_film_that_is_there_and_what_contradicts_is_refused(call):
    film = make_film("Heat", 1995)
    film.external_ids.create(source="imdb", value="tt0113277")
    assert call("PUT", "movies", [HEAT])["results"][0] == {
        "movie_id": film.pk,
        "outcome": "changed",
        "errors": [],
    }
    other = {"id": "shop:sku-ran", "title": "Ran", "year": 1985, "external_ids": ["imdb:tt0113277"]}
    more = {"id": "shop:sku-heat", "external_ids": ["imdb:tt0000001"]}
    both = {"id": "shop:sku-heat", "external_ids": ["other:1"]}
    make_film("Ikiru", 1952).external_ids.create(source="other", value="1")
    answer = call("PUT", "movies", [other, more, both, {"id": "shop:sku-new", "title": "New"}], 207)
    details = [each["errors"][0]["detail"] for each in answer["results"][:3]]
    assert details[0] == "imdb:tt0113277 is the id of Heat (1995), another film."
    assert details[1] == "The film has the id imdb:tt0113277, not imdb:tt0000001."
    assert details[2] == "other:1 is the id of Ikiru (1952), another film."
    assert {each["errors"][0]["field"] for each in answer["results"][:3]} == {"external_ids"}
    assert answer["added"] == 1


def test_wrong_entries_are_reported_one_by_one_and_the_others_written(call):
    window = {"available_from": "2030-01-02T00:00Z", "available_until": "2030-01-01T00:00Z"}
    entries = [
        {"id": "shop:a", "title": "A"},
        {"id": "shop:b"},
        {"id": "shop:c", "title": "C", "year": "1995"},
        {"id": "sku", "title": "D"},
        {"id": "shop:e", "title": " \x07 "},
        {"id": "shop:f", "title": "F", "colour": "red"},
        {"id": 999, "title": "G"},
        {"id": "shop:a", "title": "Again"},
        {"id": "shop:h", "title": "H"} | window,
        {"id": "shop:i", "title": "I", "available_from": "2030-01-01T00:00:00"},
        {"id": "shop:j", "title": "J", "attributes": {"x": {"y": 1}}},
        {"id": "shop:k", "title": "K", "attributes": {str(n): "x" * 900 for n in range(20)}},
        "film",
        {"id": "shop:m", "title": "M", "genres": ["x" * 65]},
        {"id": 3, "runtime": 99},
    ]  # fmt: skip
    answer = call("PUT", "movies", entries, 207)
    assert [each["outcome"] for each in answer["results"]] == ["added", *["refused"] * 13, "changed"]
    fields = [each["errors"][0]["field"] for each in answer["results"][1:14]]
    first = ["title", "year", "id", "title", "colour", "id", "id", "available_until", "available_from"]
    assert fields == [*first, "attributes.x", "attributes", "", "genres[0]"]
    assert answer["refused"] == 13
    assert Movie.objects.count() == 25
    refused = call("PUT", "movies", entries[1:3], 422)
    assert [each["field"] for each in refused["errors"]] == ["[0].title", "[1].year"]
    assert refused["detail"] == "2 of 2 entries are wrong; nothing was stored."
    call("PUT", "movies", [], 422)
    call("PUT", "movies", [{"id": f"shop:{n}", "title": "X"} for n in range(501)], 422)


def test_many_films_cost_as_few_queries_as_one_and_all_fit_in_a_request(call):
    def entries(n, start):
        return [
            HEAT | {"id": f"shop:{i}", "title": f"Film no {i}", "external_ids": []}
            for i in range(start, start + n)
        ]

    with CaptureQueriesContext(connection) as few:
        call("PUT", "movies", entries(1, 0))
    with CaptureQueriesContext(connection) as more:
        call("PUT", "movies", entries(19, 1))
    assert len(more) <= len(few) + 2
    assert call("PUT", "movies", entries(500, 0))["added"] == 480
    assert call("PUT", "movies", entries(500, 0))["unchanged"] == 500


def test_another_program_that_adds_the_same_film_at_the_same_time_makes_no_second_one(call, monkeypatch):
    real, calls = upsert._write, []

    def lose_the_race(statements):
        calls.append(statements)
        if len(calls) == 1:
            raise IntegrityError("UNIQUE constraint failed")
        return real(statements)

    monkeypatch.setattr(upsert, "_write", lose_the_race)
    assert call("PUT", "movies", [HEAT])["added"] == 1
    assert len(calls) == 2


def test_writing_a_film_leaves_the_figures_of_its_ratings(call):
    before = Movie.objects.get(pk=1)
    assert before.rating_count
    call("PUT", "movies", [{"id": 1, "title": "Renamed"}])
    after = Movie.objects.get(pk=1)
    assert (after.title, after.rating_count, after.rating_sum) == (
        "Renamed",
        before.rating_count,
        before.rating_sum,
    )


# -- one film --------------------------------------------------------------------------------------


def test_one_film_is_changed_and_answered_whole(call):
    call("PUT", "movies", [HEAT])
    found = call("PATCH", "movies/shop:sku-heat?id_space=shop", {"tags": ["la"], "visible": False})
    assert (found["tags"], found["visible"], found["is_available"]) == (["la"], False, False)
    assert (found["title"], found["external_id"]) == ("Heat", "sku-heat")
    call("GET", "movies/shop:sku-heat", status=404)
    assert call("PATCH", "movies/shop:sku-heat", {"visible": True})["is_available"] is True
    call("GET", "movies/shop:sku-heat")
    wrong = call("PATCH", "movies/shop:sku-heat", {"available_until": "2010-01-01T00:00:00Z"}, 422)
    assert wrong["errors"][0]["field"] == "available_until"
    assert call("PATCH", "movies/shop:sku-heat", {"title": None}, 422)["errors"][0]["field"] == "title"
    for path in ("movies/shop:none", "movies/999"):
        call("PATCH", path, {}, 404)
        call("DELETE", path, status=404)


def test_a_hidden_film_is_nowhere_keeps_its_ratings_and_comes_back(call):
    body = {"history": [1, 3], "k": 24}
    assert 5 in {each["movie_id"] for each in call("POST", "recommend", body)["recommendations"]}
    n_ratings = Rating.objects.filter(movie=5).count()
    assert call("DELETE", "movies/5") == {"movie_id": 5, "visible": False}
    assert call("DELETE", "movies/5") == {"movie_id": 5, "visible": False}
    assert 5 not in {each["movie_id"] for each in call("POST", "recommend", body)["recommendations"]}
    call("GET", "movies/5", status=404)
    assert call("GET", "movies?page_size=100")["count"] == 23
    refused = call("POST", "interactions", {"visitor": "1", "movie_id": 5, "kind": "click"}, 422)
    assert refused["errors"][0]["field"] == "movie_id"
    assert Rating.objects.filter(movie=5).count() == n_ratings
    call("PUT", "movies", [{"id": 5, "visible": True}])
    assert 5 in {each["movie_id"] for each in call("POST", "recommend", body)["recommendations"]}


def test_a_film_outside_its_window_is_neither_shown_nor_recommended(call):
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat()
    yesterday = (timezone.now() - timedelta(days=1)).isoformat()
    call("PUT", "movies", [{"id": 5, "available_from": tomorrow}, {"id": 7, "available_until": yesterday}])
    for body in ({"history": [1, 3], "k": 24}, {"history": [1, 3], "candidates": [5, 7, 9]}):
        listed = {each["movie_id"] for each in call("POST", "recommend", body)["recommendations"]}
        assert listed and not {5, 7} & listed
    for number in (5, 7):
        call("GET", f"movies/{number}", status=404)
    call("PUT", "movies", [{"id": 5, "available_from": None}, {"id": 7, "available_until": tomorrow}])
    listed = {
        each["movie_id"]
        for each in call("POST", "recommend", {"history": [1, 3], "k": 24})["recommendations"]
    }
    assert {5, 7} <= listed


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "movies"), ("PATCH", "movies/1"), ("DELETE", "movies/1")]
)
def test_only_keys_with_the_scope_write(call, method, path):
    body = [HEAT] if method == "PUT" else {}
    call(method, path, body, 401, key="")
    weak = create_key(ApiClient.objects.get(), [READ, WRITE_INTERACTIONS]).token
    assert "write:catalogue" in call(method, path, body, 403, key=weak)["detail"]
    assert Movie.objects.visible().count() == 24


# -- names -----------------------------------------------------------------------------------------


def test_genres_are_listed_with_their_films(call):
    assert call("GET", "genres", key="") == call("GET", "genres")
    assert {each["name"]: each["films"] for each in call("GET", "genres")["genres"]} == {
        "Comedy": 8,
        "Horror": 12,
        "Western": 12,
    }


def test_people_are_listed_and_found(call):
    for n in range(5):
        make_film(f"F{n}", directors=[f"Director {n}"], cast=["Al Pacino"])
    Movie.objects.filter(title="F0").update(is_visible=False)
    page = call("GET", "people?page_size=2")
    assert (page["count"], page["pages"], page["previous"]) == (5, 3, None)
    assert [(each["name"], each["films"]) for each in page["results"]] == [
        ("Al Pacino", 4),
        ("Director 1", 1),
    ]
    second = call("GET", page["next"].removeprefix("/api/v1/"))
    assert [each["name"] for each in second["results"]] == ["Director 2", "Director 3"]
    assert [each["name"] for each in call("GET", "people?q=pacino")["results"]] == ["Al Pacino"]
    assert call("GET", "people?q=nobody")["count"] == 0
    assert call("GET", "people?q=al%20pacino")["results"][0]["url"].startswith("/people/")
    call("GET", "people?page=9", status=404)


def test_what_a_search_left_out_is_said(call, monkeypatch):
    monkeypatch.setattr(people_search, "PEOPLE_FOUND", 3)
    make_film("Heat", directors=[f"John Doe {n}" for n in range(3)])
    assert (call("GET", "people?q=john")["count"], call("GET", "people?q=john")["is_cut"]) == (3, False)
    make_film("Ronin", directors=["John Doe 3"])
    page = call("GET", "people?q=john&page_size=2")
    assert (page["count"], page["pages"], page["is_cut"]) == (3, 2, True)
    assert not call("GET", "people")["is_cut"]
    assert not call("GET", "search?q=heat")["is_cut"]
    monkeypatch.setattr(search, "RANKED", 1)
    assert call("GET", "search?q=heat")["is_cut"]


def test_a_film_of_a_client_is_met_and_listed_by_its_id(call):
    """From nothing to a rating in the client's own ids."""
    call("PUT", "movies", [HEAT])
    call(
        "POST", "interactions", {"visitor": "anna", "movie_id": "shop:sku-heat", "kind": "rating", "value": 5}
    )
    (event,) = call("GET", "visitors/anna/history?id_space=shop")["events"]
    assert event["external_id"] == "sku-heat"
    assert ExternalId.objects.get(source="shop").movie.rating_count == 1
