"""Films for tonight: short enough, unlike each other, with the reasons of every list."""

import pytest

from movie.catalogue.models import Credit, Genre, Movie, Person
from movie.recommendations.filtering import Filters
from movie.recommendations.movie_index import index_holder
from movie.recommendations.ranking import recommend
from movie.recommendations.tonight import FILMS, count_known_runtimes, recommend_for_tonight
from predictors.history import History

pytestmark = pytest.mark.django_db
WESTERNS = History.from_stars({1: 5.0, 3: 5.0})


@pytest.fixture
def evening(api_site) -> None:
    """Films 1 to 12 last 70 to 125 minutes, the others are of unknown length."""
    for film in range(1, 13):
        Movie.objects.filter(pk=film).update(runtime=65 + 5 * film)


def ids(ranked) -> list[int]:
    return [int(each.movie_id) for each in ranked.recommendations[: ranked.k]]


def test_no_film_is_longer_or_of_unknown_length(evening):
    for minutes in (80, 100, 125):
        found = recommend_for_tonight(WESTERNS, minutes)
        runtimes = Movie.objects.filter(pk__in=ids(found)).values_list("runtime", flat=True)
        assert runtimes and all(each is not None and each <= minutes for each in runtimes)
        assert not {1, 3} & set(ids(found))


def test_few_short_films_make_a_short_list(evening):
    assert ids(recommend_for_tonight(WESTERNS, 75)) == [2]
    assert ids(recommend_for_tonight(WESTERNS, 60)) == []


def test_films_are_unlike_each_other(evening):
    """A film of another genre comes before one that fits better and is like the first."""
    westerns = [film for film in ids(recommend(WESTERNS, k=12, filters=Filters(runtime_to=125))) if film % 2]
    assert len(westerns) == FILMS + 1
    other = Movie.objects.get(pk=westerns[-1])
    other.genres.set(Genre.objects.filter(name="Comedy"))
    index_holder.cache_clear()
    first = ids(recommend_for_tonight(WESTERNS, 125))
    assert first[0] == westerns[0] and other.pk in first
    assert not set(first) & set(ids(recommend_for_tonight(WESTERNS, 125, turn=2)))


def test_films_with_a_reason_come_first(evening):
    found = recommend_for_tonight(WESTERNS, 125).recommendations
    has_reason = [bool(each.reasons) for each in found]
    assert all(has_reason[:FILMS]) and has_reason == sorted(has_reason, reverse=True)


def test_two_films_of_one_director_do_not_come_together(evening):
    director = Person.objects.create(name="One", search_key="one")
    for film in (5, 7):
        Credit.objects.create(movie_id=film, person=director, role=Credit.Role.DIRECTOR)
    index_holder.cache_clear()
    assert not {5, 7} <= set(ids(recommend_for_tonight(WESTERNS, 125)))


def test_the_reason_is_that_of_the_model_that_answers(evening):
    found = recommend_for_tonight(WESTERNS, 125)
    assert found.model == "neighbours"
    plain = {each.movie_id: each.reasons for each in recommend(WESTERNS, k=20).recommendations}
    for each in found.recommendations[:FILMS]:
        assert each.reasons and each.reasons == plain[each.movie_id]
        assert each.reasons[0].movie_id in WESTERNS.liked


def test_a_running_time_that_changes_changes_the_list(evening):
    """Lists are kept by the films that pass, not by the words of the filter."""
    before = ids(recommend_for_tonight(WESTERNS, 125))
    Movie.objects.get(pk=before[0]).save()
    Movie.objects.filter(pk=before[0]).update(runtime=200)
    index_holder.cache_clear()
    assert before[0] not in ids(recommend_for_tonight(WESTERNS, 125))


def test_nobody_yet_gets_what_everyone_likes(evening):
    found = recommend_for_tonight(History.EMPTY, 125)
    assert len(ids(found)) == FILMS and all(film <= 12 for film in ids(found))


def test_known_running_times_are_counted(evening):
    assert count_known_runtimes() == (12, 24)
