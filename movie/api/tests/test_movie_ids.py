"""Tests of film ids: a number, "source:id" or both parts wherever one goes; answers in a client's own ids."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from movie.api.models import READ, WRITE_INTERACTIONS, WRITE_VISITORS
from movie.catalogue.models import ExternalId, Movie
from movie.events.history import get_history

FORMS = [7, "shop:sku-7", {"source": "shop", "id": "sku-7"}, {"source": "shop", "value": "sku-7"}]


@pytest.fixture
def site(api_site, settings):
    settings.API_ANONYMOUS_BATCH = 1000
    for film in api_site:
        ExternalId.objects.create(movie=film, source="shop", value=f"sku-{film.pk}")
    ExternalId.objects.create(movie=api_site[6], source="imdb", value="tt0113277")
    return api_site


@pytest.fixture
def call(connect, site):
    return connect(READ, WRITE_INTERACTIONS, WRITE_VISITORS)


def ids(answer) -> list[int]:
    return [entry["movie_id"] for entry in answer["recommendations"]]


# -- in requests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_history_takes_every_form(call, form):
    expected = ids(call("POST", "recommend", {"history": [1, 7], "k": 24}))
    assert ids(call("POST", "recommend", {"history": [1, form], "k": 24})) == expected
    rated = call("POST", "recommend", {"history": [{"movie_id": form, "rating": 2}, 1], "k": 24})
    assert ids(rated) == ids(
        call("POST", "recommend", {"history": [{"movie_id": 7, "rating": 2}, 1], "k": 24})
    )
    assert rated["unknown_ids"] == []


@pytest.mark.parametrize("form", FORMS)
def test_exclude_and_candidates_take_every_form(call, form):
    assert 7 not in ids(call("POST", "recommend", {"history": [1], "k": 24, "exclude": [form]}))
    assert ids(call("POST", "recommend", {"history": [1], "candidates": [form]})) == [7]


@pytest.mark.parametrize("form", FORMS)
def test_an_interaction_takes_every_form(call, form):
    call("POST", "interactions", {"visitor": "42", "movie_id": form, "kind": "rating", "value": 4})
    assert get_history("api:shop:42").ratings == {7: 4.0}
    assert call("GET", "visitors/42/history")["events"][0]["movie_id"] == 7


@pytest.mark.parametrize("form", ["7", "shop:sku-7", "imdb:tt0113277", "imdb:113277"])
def test_addresses_take_a_number_or_a_text(call, form):
    assert call("GET", f"movies/{form}")["id"] == 7
    assert call("GET", f"movies/{form}/similar")["movie_id"] == 7
    call("POST", "interactions", {"visitor": "42", "movie_id": 7, "kind": "click"})
    assert call("DELETE", f"visitors/42/history?movie_id={form}")["deleted"] == 1


def test_a_batch_resolves_all_ids_in_one_query_and_an_unknown_source_fails_its_entry_alone(call):
    entries = [{"history": [f"shop:sku-{n}", f"shop:sku-{n + 1}"]} for n in range(1, 20)]
    entries += [{"history": ["nowhere:1"]}, {"history": ["shop:sku-99", 1]}, {"history": ["x"]}]
    with CaptureQueriesContext(connection) as queries:
        answer = call("POST", "recommend/batch", {"entries": entries, "k": 3, "exclude": ["shop:sku-5"]})
    asked = [each["sql"] for each in queries if "externalid" in each["sql"] and "DISTINCT" not in each["sql"]]
    assert len(asked) == 1
    assert answer["failed"] == 2
    assert all(5 not in ids(each) for each in answer["results"][:19])
    wrong, unknown, malformed = answer["results"][19:]
    assert "no film has an id of 'nowhere'; there are ids of: imdb, shop." in wrong["error"]["detail"]
    assert unknown["unknown_ids"] == ["shop:sku-99"]
    assert 'Expected a number, "source:id"' in malformed["error"]["detail"]
    same = call("POST", "recommend/batch", {"entries": [{"history": [1, 2]}], "k": 3, "exclude": [5]})
    assert ids(same["results"][0]) == ids(answer["results"][0])


def test_an_id_that_no_film_has_is_named_and_the_rest_counts(call):
    answer = call("POST", "recommend", {"history": [1, "shop:sku-99"], "exclude": ["shop:sku-98"], "k": 24})
    assert answer["unknown_ids"] == ["shop:sku-99", "shop:sku-98"]
    assert ids(answer) == ids(call("POST", "recommend", {"history": [1], "k": 24}))


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"history": [1, "nowhere:2"]}, "history[1]", "no film nowhere:2"),
        ({"history": [{"movie_id": "nowhere:2"}]}, "history[0].movie_id", "no film nowhere:2"),
        ({"history": [1], "exclude": [{"source": "nowhere", "id": "2"}]}, "exclude[0]", "nowhere:2"),
        ({"history": [1], "candidates": ["nowhere:2"]}, "candidates[0]", "nowhere:2"),
        ({"history": ["sku-7"]}, "history[0]", "Expected a number"),
        ({"history": ["shop:"]}, "history[0]", "Expected a number"),
        ({"history": ["imdb:Heat"]}, "history[0]", "not of the form tt0113277"),
        ({"history": ["tmdb:0"]}, "history[0]", "is no id of tmdb"),
        ({"history": [{"source": "shop"}]}, "history[0].id", "required"),
        ({"history": [{"source": "shop", "id": "1", "x": 1}]}, "history[0].x", "not permitted"),
        ({"history": [True]}, "history[0]", "valid integer"),
        ({"history": [1], "candidates": []}, "candidates", "at least 1"),
    ],
)
def test_a_wrong_id_is_refused_with_its_field_and_itself(call, body, field, words):
    error = call("POST", "recommend", body, status=422)["errors"][0]
    assert error["field"] == field
    assert words in error["detail"]


def test_interactions_with_unknown_ids_are_refused_one_by_one(call):
    sent = ["shop:sku-1", "shop:sku-99", "nowhere:1", 99, "sku"]
    body = [{"visitor": "42", "movie_id": each, "kind": "click"} for each in sent]
    refused = {
        each["index"]: each["errors"][0] for each in call("POST", "interactions", body, 207)["refused"]
    }
    assert {index: error["field"] for index, error in refused.items()} == dict.fromkeys(
        [1, 2, 3, 4], "movie_id"
    )
    assert refused[1]["detail"] == "There is no film shop:sku-99."
    assert "there are ids of: imdb, shop" in refused[2]["detail"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("movies/shop:sku-99", 404, "There is no film shop:sku-99."),
        ("movies/nowhere:1", 404, "There is no film nowhere:1."),
        ("movies/99", 404, "There is no film 99."),
        ("movies/0", 404, "There is no film 0."),
        ("movies/99999999999999999999", 404, "There is no film"),
        ("movies/heat", 422, "source:id"),
        ("movies/heat/similar", 422, "source:id"),
        ("movies?external_id=heat", 422, "source:id"),
        ("movies?external_id=nowhere:1", 422, "there are ids of: imdb, shop"),
        ("movies?id_space=nowhere", 422, "there are ids of: imdb, shop"),
        ("movies/1?id_space=nowhere", 422, "there are ids of: imdb, shop"),
        ("movies/1/similar?id_space=nowhere", 422, "there are ids of: imdb, shop"),
        ("recommend/ml-100k:1?id_space=nowhere", 422, "there are ids of: imdb, shop"),
    ],
)
def test_addresses_refuse_what_is_nowhere(call, path, status, words):
    problem = call("GET", path, status=status)
    assert words in problem["errors"][0]["detail"] if "errors" in problem else problem["detail"]


# -- in answers ------------------------------------------------------------------------------------


def test_films_are_found_by_their_ids_elsewhere_and_lists_carry_these(call):
    page = call("GET", "movies?external_id=shop:sku-3&external_id=imdb:tt0113277&external_id=shop:sku-99")
    assert [film["id"] for film in page["results"]] == [3, 7] or [film["id"] for film in page["results"]] == [
        7,
        3,
    ]
    by_id = {film["id"]: film["external_ids"] for film in page["results"]}
    assert by_id[7] == [{"source": "imdb", "value": "tt0113277"}, {"source": "shop", "value": "sku-7"}]
    assert call("GET", "movies?external_id=shop:sku-99")["count"] == 0
    assert call("GET", "search?q=Film%207")["results"][0]["external_ids"] == by_id[7]
    with CaptureQueriesContext(connection) as few:
        call("GET", "movies?page_size=2")
    with CaptureQueriesContext(connection) as many:
        call("GET", "movies?page_size=24&id_space=shop")
    assert len(many) == len(few) + 1


def test_answers_name_films_in_an_id_space(call):
    answer = call("POST", "recommend?id_space=shop", {"history": [1, 3], "k": 5, "explain": True})
    assert [each["external_id"] for each in answer["recommendations"]] == [f"sku-{pk}" for pk in ids(answer)]
    reasons = [reason for each in answer["recommendations"] for reason in each["reasons"]]
    assert reasons
    assert all(reason["external_id"] == f"sku-{reason['movie_id']}" for reason in reasons)
    batch = call(
        "POST", "recommend/batch?id_space=imdb", {"entries": [{"history": [1]}], "candidates": [7, 9]}
    )
    (found,) = batch["results"]
    assert {each["movie_id"]: each["external_id"] for each in found["recommendations"]} == {
        7: "tt0113277",
        9: None,
    }
    similar = call("GET", "movies/7/similar?id_space=shop")
    assert similar["external_id"] == "sku-7"
    assert all(each["external_id"] == f"sku-{each['movie_id']}" for each in similar["similar"])
    assert call("GET", "movies/7?id_space=imdb")["external_id"] == "tt0113277"
    page = call("GET", "movies?id_space=imdb&page_size=24")
    assert {film["external_id"] for film in page["results"]} == {None, "tt0113277"}
    assert "external_id" not in call("POST", "recommend", {"history": [1]})["recommendations"][0]


def test_unknown_films_of_a_history_are_named_in_the_id_space_too(call):
    film = Movie.objects.create(title="New")
    ExternalId.objects.create(movie=film, source="shop", value="sku-new")
    answer = call("POST", "recommend?id_space=shop", {"history": [1, "shop:sku-new", 999, "shop:gone"]})
    assert set(answer["unknown_ids"]) == {"shop:sku-new", 999, "shop:gone"}


def test_a_history_is_exported_in_the_clients_own_ids(call):
    for sku in ("sku-1", "sku-7"):
        call("POST", "interactions", {"visitor": "anna", "movie_id": f"shop:{sku}", "kind": "click"})
    events = call("GET", "visitors/anna/history?id_space=shop")["events"]
    assert [(each["movie_id"], each["external_id"]) for each in events] == [(7, "sku-7"), (1, "sku-1")]
    again = [
        {"visitor": "ben", "movie_id": {"source": "shop", "id": each["external_id"]}, "kind": each["kind"]}
        for each in events
    ]
    assert call("POST", "interactions", again)["stored"] == 2


# -- candidates ------------------------------------------------------------------------------------


def test_candidates_are_ranked_and_nothing_else_is(call):
    every = ids(call("POST", "recommend", {"history": [1, 3], "k": 24}))
    wanted = [every[-1], every[0], every[5]]
    answer = call("POST", "recommend", {"history": [1, 3], "candidates": wanted})
    assert ids(answer) == [every[0], every[5], every[-1]]
    assert answer["fallback"] is None
    assert (
        ids(call("POST", "recommend", {"history": [1, 3], "candidates": wanted, "k": 2}))
        == every[:1] + every[5:6]
    )
    filtered = {"history": [1], "candidates": [2, 3, 5, 6], "filters": {"genres_in": ["Horror"]}}
    assert set(ids(call("POST", "recommend", filtered))) == {2, 6}


def test_many_candidates_come_back_whole(call):
    answer = call("POST", "recommend", {"history": [1], "candidates": list(range(2, 25))})
    assert sorted(ids(answer)) == list(range(2, 25))


def unknown_film(**facts):
    """A film older than every model, which none of them was trained on: so it is not ranked as a new one."""
    film = Movie.objects.create(**facts)
    Movie.objects.filter(pk=film.pk).update(created=datetime(2000, 1, 1, tzinfo=UTC))
    return film


def test_seen_hidden_and_unknown_candidates_are_left_out_and_unknown_ones_named(call):
    new = unknown_film(title="Unknown")
    Movie.objects.filter(pk=5).update(is_visible=False)
    body = {"history": [1], "candidates": [1, 5, 7, new.pk, 4000, "shop:sku-99"]}
    answer = call("POST", "recommend", body)
    assert ids(answer) == [7]
    assert set(answer["unknown_ids"]) == {"shop:sku-99", new.pk, 4000, 5}
    assert set(ids(call("POST", "recommend", body | {"exclude_seen": False}))) == {1, 7}


def test_candidates_that_no_model_knows_come_by_their_ratings_with_the_reason(call):
    new = unknown_film(title="Unknown")
    answer = call("POST", "recommend", {"history": [1], "candidates": [new.pk], "model": "neighbours"})
    assert ids(answer) == [new.pk]
    assert answer["model"] == "most_rated"
    assert answer["fallback"]["reason"] == "no_known_candidates"
