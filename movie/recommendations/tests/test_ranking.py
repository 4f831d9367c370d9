"""From a visitor's history to films on a page: fallbacks are named, hidden and seen films stay away."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.core.cache import cache

from datasets.interactions import Interactions
from evaluation.trainer import FROM_SITE, train
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.catalogue.tests.films import make_film
from movie.recommendations.batch import recommend_batch
from movie.recommendations.movie_index import index_holder
from movie.recommendations.ranked_list import RankedList, RankedMovie, load_movies
from movie.recommendations.ranking import RankingOptions, recommend
from movie.recommendations.similar import rank_similar
from movie.training.model_info import MODEL_INFO, MOST_RATED, UNTRAINED
from movie.training.registry import model_choices, registry
from predictors.history import History, Interaction
from predictors.plugins import MODELS

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def films(settings, tmp_path) -> list[Movie]:
    settings.MODEL_DIR = tmp_path
    cache.clear()
    films = [make_film(f"Film {number}") for number in range(12)]
    for number, film in enumerate(films):
        for visitor in range(12 - number):
            Rating.objects.create(visitor=f"test:{visitor}", movie=film, value=4.0, rated_at=NOW)
    Movie.objects.refresh_aggregates()
    return films


def trained(films: list[Movie], *names: str, liked_by_each: int = 6) -> None:
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(40), liked_by_each)
    items = np.concatenate([rng.permutation(len(films))[:liked_by_each] for _ in range(40)])
    data = Interactions.from_columns(
        users, items, user_ids=np.arange(40), item_ids=np.array([film.pk for film in films])
    )
    for name in names:
        train(name, data, registry().store, id_space=FROM_SITE, activate=True)


def liked(*films: Movie) -> History:
    return History(
        Interaction(f"{n:03}", "guest:1", "rating", film.pk, NOW + timedelta(seconds=n), 5.0)
        for n, film in enumerate(films)
    )


def entries_of(ranked: RankedList) -> list[RankedMovie]:
    load_movies(ranked)
    return ranked.entries


def shown(ranked: RankedList) -> list[Movie]:
    return [entry.movie for entry in entries_of(ranked)]


def test_without_any_trained_model_the_most_rated_films_answer_and_say_so(films):
    ranked = recommend(liked(films[0]), k=3, model="sasrec")
    assert ranked.model == MOST_RATED
    assert shown(ranked) == films[1:4]
    assert "SASRec is not trained yet" in ranked.fallback_text


def test_a_model_that_needs_a_liked_film_falls_back_and_the_page_is_told_why(films, settings):
    settings.DEFAULT_MODELS = ["popular"]
    trained(films, "popular", "neighbours")
    ranked = recommend(History.EMPTY, model="neighbours")
    assert (ranked.requested, ranked.model) == ("neighbours", "popular")
    assert ranked.fallback == "history_too_short"
    assert ranked.fallback_text == "Item neighbours needs a film you liked first."
    assert recommend(liked(films[0]), model="neighbours").fallback == ""


def test_lists_stand_in_the_order_of_the_model_not_of_the_database(films):
    trained(films, "neighbours")
    history = liked(films[3])
    predictor = registry().get("neighbours")
    expected = [found.movie_id for found in predictor.recommend(history, 8)]
    ranked = recommend(history, k=8, model="neighbours")
    assert [movie.pk for movie in shown(ranked)] == expected
    assert [entry.rank for entry in ranked.entries] == list(range(1, len(expected) + 1))
    assert ranked.version == predictor.version


def test_a_film_that_was_hidden_leaves_every_list_at_once(films):
    trained(films, "popular", "neighbours")
    history = liked(films[0])
    recommend(history)  # the list and the visible films are remembered now
    Movie.objects.filter(pk=films[1].pk).update(is_visible=False)
    for name in ("popular", "neighbours"):
        assert films[1] not in shown(recommend(history, k=12, model=name))
    assert films[1] not in shown(rank_similar(films[0].pk))


def delete(films: list[Movie]) -> None:
    Movie.objects.filter(pk__in=[film.pk for film in films]).delete()


def hide(films: list[Movie]) -> None:
    Movie.objects.filter(pk__in=[film.pk for film in films]).update(is_visible=False)


@pytest.mark.parametrize("remove", [delete, hide])
@pytest.mark.parametrize("age", [0, 60], ids=["noticed", "at once"])
@pytest.mark.parametrize("name", ["popular", "neighbours"])
def test_films_that_are_gone_shorten_no_list(films, remove, age, name, monkeypatch):
    films += [make_film(f"Film {number}") for number in range(12, 60)]
    trained(films, "popular", "neighbours")
    history = liked(films[0])
    monkeypatch.setattr("movie.recommendations.movie_index.CHECK_SECONDS", age)
    monkeypatch.setattr("movie.recommendations.movie_index.SCAN_SECONDS", age)
    first = shown(recommend(history, model=name))
    assert len(first) == 20
    remove(list(first[:15]))
    second = shown(recommend(history, model=name))
    assert len(second) == 20
    assert not set(first[:15]) & set(second)
    assert second[:5] == first[15:]


@pytest.mark.parametrize("remove", [delete, hide])
def test_films_that_are_gone_shorten_no_row_of_similar_films(films, remove):
    films += [make_film(f"Film {number}") for number in range(12, 60)]
    trained(films, "neighbours", liked_by_each=30)
    similar = shown(rank_similar(films[0].pk, k=8))
    remove(list(similar[:6]))
    rest = shown(rank_similar(films[0].pk, k=8))
    assert len(rest) == 8
    assert rest[:2] == similar[6:]


def test_similar_films_have_one_order_everywhere(films, client):
    """On a film's page, under a film one liked, and in the API; For you finds them where it is active."""
    films += [make_film(f"Film {number}") for number in range(12, 60)]
    trained(films, "neighbours", liked_by_each=30)
    assert rank_similar(films[0].pk).model == "neighbours"
    rng = np.random.default_rng(2)
    data = Interactions.from_columns(
        np.repeat(np.arange(60), 20),
        np.concatenate([rng.permutation(50)[:20] for _ in range(60)]),
        user_ids=np.arange(60),
        item_ids=np.array([film.pk for film in films[:50]]),
    )
    options = {"members": ("popular", "cosine"), "tries": 8}
    train("for_you", data, registry().store, id_space=FROM_SITE, options=options, activate=True)
    similar = rank_similar(films[0].pk, k=6)
    expected = [film.pk for film in shown(similar)]
    assert (similar.model, len(expected)) == ("for_you", 6)
    answer = client.get(f"/api/v1/movies/{films[0].pk}/similar?k=6").json()
    assert (answer["model"], [each["movie_id"] for each in answer["similar"]]) == ("for_you", expected)
    page = client.get(films[0].get_absolute_url()).content.decode()
    assert [int(pk) for pk in re.findall(r'class="card" data-movie="(\d+)"', page)][:6] == expected
    assert rank_similar(films[55].pk).model == "neighbours", "which knows a film that is newer than For you"


def test_a_sequel_stands_before_films_that_more_people_met_too(films):
    trained(films, "neighbours")
    before = shown(rank_similar(films[0].pk, k=12))
    Movie.objects.filter(pk=before[-1].pk).update(title=f"{films[0].title}: The Return")
    index_holder().index = None
    after = shown(rank_similar(films[0].pk, k=12))
    assert after == [before[-1], *before[:-1]]


def test_many_films_that_were_hidden_earlier_shorten_no_list(films, monkeypatch):
    films += [make_film(f"Film {number}") for number in range(12, 120)]
    trained(films, "popular")
    monkeypatch.setattr("movie.recommendations.movie_index.CHECK_SECONDS", 0)
    monkeypatch.setattr("movie.recommendations.movie_index.SCAN_SECONDS", 0)
    hide(shown(recommend(History.EMPTY, model="popular", k=90)))
    assert len(shown(recommend(History.EMPTY, model="popular"))) == 20


def test_films_are_read_in_one_query_however_many_there_are(films, django_assert_max_num_queries):
    trained(films, "popular", "neighbours")
    history = liked(films[0], films[1])
    shown(recommend(history))
    with django_assert_max_num_queries(1):
        shown(recommend(history, k=10))


def test_a_reason_points_to_a_film_of_the_history_and_to_its_stars(films):
    trained(films, "neighbours")
    ranked = recommend(liked(films[2]), k=3, model="neighbours")
    assert {entry.reason for entry in entries_of(ranked)} == {"Because you rated Film 2 5★"}


def test_every_kind_of_model_has_a_name_and_a_summary_on_pages(films):
    assert set(MODELS) == set(MODEL_INFO) - set(UNTRAINED)
    assert {choice.name for choice in model_choices()} == set(MODELS)


def test_the_twin_of_a_movie_that_was_seen_is_never_recommended(api_site):
    """MovieLens 100K lists 18 films twice: whoever rated one of them has rated the other."""
    film, other, different = api_site[0], api_site[2], api_site[4]
    history = History.from_stars({film.pk: 5.0})
    assert other.pk in {found.movie_id for found in recommend(history, k=24).recommendations}
    assert other.pk in {found.movie_id for found in rank_similar(film, history, k=24).recommendations}
    for each in (film, other, different):
        each.title, each.year = "Hugo Pool", 1997
        each.save()
    ExternalId.objects.create(movie=film, source="imdb", value="tt0119314")
    ExternalId.objects.create(movie=different, source="imdb", value="tt0000002")
    index_holder.cache_clear()
    for model in ("neighbours", "popular", None):
        found = {each.movie_id for each in recommend(history, k=24, model=model).recommendations}
        assert other.pk not in found
        assert different.pk in found, "another IMDb id makes another film"
    assert other.pk not in {found.movie_id for found in rank_similar(film, history, k=24).recommendations}
    (ranked,) = recommend_batch([history], RankingOptions(k=24))
    assert other.pk not in {found.movie_id for found in ranked.recommendations}
