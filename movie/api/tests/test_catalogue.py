"""Tests of the catalogue and the models over the API."""

from __future__ import annotations

import shutil

import pytest
from django.core.cache import cache

from movie.api.models import ACTIVATE_MODELS, READ, ApiClient, create_key
from movie.catalogue.models import Movie, Person
from movie.catalogue.tests.films import make_film
from movie.training.registry import registry


def ids(answer) -> list[int]:
    return [film["id"] for film in answer["results"]]


@pytest.fixture
def get(client, api_site):
    def ask(address: str, status: int = 200):
        response = client.get(f"/api/v1/{address}")
        assert response.status_code == status, response.content
        return response.json()

    return ask


def test_films_come_in_pages_that_hold_each_film_once(get):
    page, found = get("movies?page_size=7"), []
    assert (page["count"], page["pages"], page["previous"]) == (24, 4, None)
    while True:
        found += ids(page)
        if page["next"] is None:
            break
        page = get(page["next"].removeprefix("/api/v1/"))
    assert sorted(found) == list(range(1, 25))
    assert page["page"] == 4
    assert "page=3" in page["previous"]
    get("movies?page=5&page_size=7", 404)


def test_films_are_filtered_and_sorted(get):
    assert set(ids(get("movies?genre=western&genre=Comedy"))) == {3, 9, 15, 21}
    assert set(ids(get("movies?without_genre=Western&year_from=1980&year_to=1984"))) == {10, 12, 14}
    assert ids(get("movies?language=Korean&sort=newest&page_size=2")) == [24, 23]
    counts = [film["rating_count"] for film in get("movies")["results"]]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize(
    "query", ["genre=Musical", "language=Latin", "sort=worst", "page=0", "page_size=101", "year_from=x"]
)
def test_a_filter_that_is_not_known_is_an_error(get, query):
    assert get(f"movies?{query}", 422)["errors"][0]["field"] == query.partition("=")[0]


def test_a_film_with_everything_around_it(get):
    film = make_film(
        "Heat", 1995, genres=["Crime"], countries=["United States"], languages=["English"],
        directors=["Michael Mann"], cast=["Al Pacino"], titles={"ko": "히트"}, stars=[4.5, 4.5, 3],
        synopsis="A thief and a detective.", runtime=170,
    )  # fmt: skip
    film.external_ids.create(source="imdb", value="tt0113277")
    answer = get(f"movies/{film.pk}")
    assert (answer["title"], answer["year"], answer["runtime"]) == ("Heat", 1995, 170)
    assert (answer["genres"], answer["countries"], answer["languages"]) == (
        ["Crime"],
        ["United States"],
        ["English"],
    )
    assert answer["directors"] == [{"id": Person.objects.get(name="Michael Mann").pk, "name": "Michael Mann"}]
    assert [person["name"] for person in answer["cast"]] == ["Al Pacino"]
    assert answer["titles"] == [{"title": "히트", "language": "ko"}]
    assert answer["external_ids"] == [{"source": "imdb", "value": "tt0113277"}]
    assert answer["rating_histogram"] == {"3": 1, "4.5": 2}
    assert (answer["rating_count"], answer["rating_average"]) == (3, 4.0)
    assert answer["url"] == f"/movies/{film.pk}/"


def test_hidden_films_are_nowhere(get):
    Movie.objects.filter(pk=5).update(is_visible=False)
    get("movies/5", 404)
    get("movies/5/similar", 404)
    assert 5 not in ids(get("movies?page_size=100"))
    assert ids(get("search?q=Film%205")) == [15]


def test_similar_films(get):
    answer = get("movies/1/similar?k=4")
    assert answer["model"] == "neighbours"
    assert len(answer["similar"]) == 4
    assert 1 not in [film["movie_id"] for film in answer["similar"]]
    scores = [film["score"] for film in answer["similar"]]
    assert scores == sorted(scores, reverse=True)
    unknown = make_film("New", genres=["Western"])
    by_genre = get(f"movies/{unknown.pk}/similar")
    assert by_genre["model"] == "most_rated"
    assert by_genre["fallback"]


def test_search_finds_films_and_people(get):
    make_film("Alphaville", 1965, directors=["Jean-Luc Godard"], titles={"ko": "알파빌"})
    assert [film["title"] for film in get("search?q=알파")["results"]] == ["Alphaville"]
    assert get("search?q=godard")["people"][0]["films"] == 1
    assert get("search?q=Alphavile")["did_you_mean"] == ["Alphaville"]
    assert get("search?q=Film%2012")["results"][0]["id"] == 12
    assert get("search?q=%20%20")["count"] == 0
    get("search", 422)
    get("search?q=" + "x" * 101, 422)


def test_models_tell_what_serves(get):
    models = {model["name"]: model for model in get("models")["models"]}
    assert models["neighbours"]["is_default"]
    assert models["neighbours"]["is_active"]
    assert models["neighbours"]["version"] == registry().store.current("neighbours")
    assert [version["is_active"] for version in models["neighbours"]["versions"]] == [True]
    assert not models["sasrec"]["is_active"]
    assert models["sasrec"]["versions"] == []


@pytest.fixture
def two_versions(api_site, settings, tmp_path):
    """Create a store with an older and a newer version of one model."""
    shutil.copytree(settings.MODEL_DIR, tmp_path / "models")
    settings.MODEL_DIR = tmp_path / "models"
    cache.clear()
    store = registry().store
    old = store.current("popular")
    new = store.publish(registry().get("popular"), activate=True)
    return store, old, new


def activate(client, name, version, *scopes):
    key = create_key(ApiClient.objects.get_or_create(slug="ops")[0], list(scopes)).token
    return client.post(
        f"/api/v1/models/{name}/activate",
        {"version": version},
        content_type="application/json",
        headers={"authorization": f"Bearer {key}"},
    )


def test_a_version_is_activated_by_those_who_may(client, two_versions):
    store, old, new = two_versions
    assert activate(client, "popular", old, READ).status_code == 403
    assert store.current("popular") == new
    response = activate(client, "popular", old, ACTIVATE_MODELS)
    assert response.json() == {"name": "popular", "version": old, "previous": new}
    assert store.current("popular") == old


def test_a_version_that_cannot_serve_is_refused_and_the_old_one_stays(client, two_versions):
    store, old, new = two_versions
    assert activate(client, "popular", "nope", ACTIVATE_MODELS).status_code == 422
    assert activate(client, "popular", "../../etc", ACTIVATE_MODELS).status_code == 422
    assert activate(client, "gpt", old, ACTIVATE_MODELS).status_code == 404
    weights = store.path("popular", old) / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    response = activate(client, "popular", old, ACTIVATE_MODELS)
    assert response.status_code == 409
    assert str(store.root) not in response.json()["detail"]
    assert store.current("popular") == new
