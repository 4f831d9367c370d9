"""Films and people that the catalogue holds twice become one; nobody's rating or event is lost."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from movie.catalogue.fact_sources import FactOrigin
from movie.catalogue.merging import MergeRefused
from movie.catalogue.models import Credit, ExternalId, Movie, Person, Rating
from movie.catalogue.tests.films import make_film
from movie.core.ids import new_event_id
from movie.events.history import get_history
from movie.events.models import DailyMovieActivity, Event
from movie.events.movie_merging import merge_movies
from movie.events.recording import record, record_all
from predictors.history import Interaction

pytestmark = pytest.mark.django_db
NOW = datetime(2024, 5, 1, tzinfo=UTC)


def interaction(visitor, kind, movie, value=None, minutes=0):
    at = NOW + timedelta(minutes=minutes)
    return Interaction(new_event_id(), visitor, kind, movie.pk, at, value)


@pytest.fixture
def twins():
    keep = make_film("Hugo Pool", 1997, genres=["Comedy"], directors=["Ann"], cast=["Bo"])
    other = make_film(
        "Hugo Pool", 1997, genres=["Romance"], directors=["Ann"], runtime=92, titles={"de": "Poolmann"}
    )
    ExternalId.objects.create(movie=keep, source="ml-100k", value="1")
    ExternalId.objects.create(movie=other, source="ml-100k", value="2")
    ExternalId.objects.create(movie=other, source="imdb", value="tt0119314")
    return keep, other


def figures(movie):
    movie.refresh_from_db()
    counted = list(Rating.objects.filter(movie=movie).values_list("value", flat=True))
    assert (movie.rating_count, movie.rating_sum) == (len(counted), sum(counted))
    return sorted(counted)


def test_ratings_events_and_facts_move_and_the_newer_rating_stands(twins):
    keep, other = twins
    for visitor, movie, value, day in [
        ("ml-100k:1", keep, 2.0, 1), ("ml-100k:1", other, 5.0, 2), ("ml-100k:2", keep, 3.0, 2),
        ("ml-100k:2", other, 1.0, 1), ("ml-100k:3", other, 4.0, 1),
    ]:  # fmt: skip
        Rating.objects.create(visitor=visitor, movie=movie, value=value, rated_at=NOW + timedelta(days=day))
    Movie.objects.refresh_aggregates()
    ada, bob = "guest:ada", "guest:bob"
    record_all([
        interaction(ada, "rating", keep, 4.0, 1), interaction(ada, "rating", other, 1.5, 2),
        interaction(bob, "click", other, None, 3), interaction(bob, "watchlist", other, None, 4),
    ])  # fmt: skip
    for movie, count in ((keep, 2), (other, 3)):
        DailyMovieActivity.objects.update_or_create(movie=movie, day=NOW.date(), defaults={"count": count})
    merge_movies(keep, [other])
    assert not Movie.objects.filter(pk=other.pk).exists()
    assert figures(keep) == [1.5, 3.0, 4.0, 5.0]
    assert get_history(ada).ratings == {keep.pk: 1.5}
    assert keep.pk in get_history(bob).watchlist
    assert Event.objects.count() == 4
    assert keep.activity.get().count == 5
    assert set(keep.genre_names) == {"Comedy", "Romance"}
    assert (keep.runtime, keep.titles.filter(title="Poolmann").exists()) == (92, True)
    assert set(keep.external_ids.values_list("value", flat=True)) == {"1", "2", "tt0119314"}
    assert keep.credits.count() == 2


def test_facts_come_with_their_source_and_what_staff_removed_stays_away(twins):
    keep, other = twins
    photograph = "a" * 64 + ".jpg"
    Movie.objects.filter(pk=other.pk).update(
        photograph=photograph, synopsis="A pool.", attributes={"shelf": 4, "lent": True}
    )
    Movie.objects.filter(pk=keep.pk).update(attributes={"shelf": 9})
    FactOrigin.objects.record("TMDB", {
        (keep.pk, "photograph"): "b" * 64 + ".jpg",  # removed since
        (other.pk, "photograph"): photograph, (other.pk, "synopsis"): "A pool.", (other.pk, "cast"): "1,2",
    })  # fmt: skip
    for movie in twins:
        movie.refresh_from_db()
    merge_movies(keep, [other])
    keep.refresh_from_db()
    assert (keep.photograph, keep.synopsis) == ("", "A pool.")
    assert keep.attributes == {"shelf": 9, "lent": True}
    assert set(keep.fact_origins.values_list("fact", flat=True)) == {"photograph", "synopsis", "cast"}
    assert keep.fact_origins.get(fact="synopsis").is_of("TMDB", "A pool.")


def test_an_undo_of_the_one_takes_nothing_back_of_the_other(twins):
    keep, other = twins
    record(interaction("guest:ada", "rating", other, 2.0))
    record(interaction("guest:ada", "rating", keep, 5.0))
    record(interaction("guest:ada", "undo", other))
    merge_movies(keep, [other])
    assert get_history("guest:ada").ratings == {keep.pk: 5.0}
    assert figures(keep) == [5.0]


def test_contradicting_ids_forbid_it_before_anything_is_changed(twins):
    keep, other = twins
    ExternalId.objects.create(movie=keep, source="imdb", value="tt0000002")
    third = make_film("Hugo Pool", 1997)
    with pytest.raises(MergeRefused, match="tt0119314"):
        merge_movies(keep, [third, other])
    assert Movie.objects.count() == 3


def test_the_admin_lists_twins_and_merges_them_after_a_question(admin_client, twins):
    keep, other = twins
    make_film("Another", 1997)
    make_film("Hugo Pool", 1998)
    Rating.objects.create(visitor="ml-100k:1", movie=other, value=4.0, rated_at=NOW)
    Movie.objects.refresh_aggregates()
    address = reverse("admin:catalogue_movie_changelist")
    listed = admin_client.get(address, {"twins": "yes"}).context["cl"].result_list
    assert set(listed) == {keep, other}
    asked = {"action": "merge_selected", "_selected_action": [keep.pk, other.pk]}
    page = admin_client.post(address, asked)
    assert "cannot be undone" in page.content.decode()
    assert Movie.objects.count() == 4
    admin_client.post(address, {**asked, "confirmed": "1"})
    assert Movie.objects.count() == 3
    assert Movie.objects.filter(pk=other.pk).exists(), "the one with most ratings stays"
    assert admin_client.get(address, {"twins": "yes"}).context["cl"].result_count == 0
    answer = admin_client.post(address, {**asked, "_selected_action": [other.pk]}, follow=True)
    assert "at least two" in answer.content.decode()


def test_people_of_one_name_are_listed_and_merged(admin_client, twins):
    keep, other = twins
    namesake = Person.objects.create(name="ANN")
    Credit.objects.create(movie=other, person=namesake, role="writer")
    Credit.objects.create(movie=other, person=namesake, role="director")
    address = reverse("admin:catalogue_person_changelist")
    ann = Person.objects.filter(name="Ann").order_by("pk")[0]
    assert set(admin_client.get(address, {"twins": "yes"}).context["cl"].result_list) == {ann, namesake}
    asked = {"action": "merge", "_selected_action": [ann.pk, namesake.pk], "confirmed": "1"}
    admin_client.post(address, asked)
    (person,) = Person.objects.filter(search_key="ann")
    assert sorted(person.credits.values_list("movie", "role")) == [
        (keep.pk, "director"), (other.pk, "director"), (other.pk, "writer"),
    ]  # fmt: skip
