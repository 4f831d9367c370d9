"""Tests of the removal of a source's data: what it brought goes, what others have stays."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

from movie.catalogue.models import ExternalId, Movie, Rating
from movie.core.ids import new_event_id
from movie.events import data_removal
from movie.events.history import get_history
from movie.events.models import Event
from movie.events.recording import record
from movie.events.tests.test_recording import assert_aggregates_are_exact
from predictors.history import Interaction

pytestmark = pytest.mark.django_db
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def films() -> dict[str, Movie]:
    """Films of a shop: one alone, one also of imdb, one that a guest met, one that another data set rated."""
    films = {name: Movie.objects.create(title=name) for name in ("alone", "shared", "met", "rated", "other")}
    for name, film in films.items():
        source = "movielens" if name == "other" else "shop"
        ExternalId.objects.create(movie=film, source=source, value=name)
    ExternalId.objects.create(movie=films["shared"], source="imdb", value="tt0113277")
    for visitor, names in {
        "shop:1": ("alone", "shared", "met", "rated"),
        "shop:2": ("alone",),
        "shopping:1": ("rated",),
        "ml:1": ("other",),
    }.items():
        for name in names:
            Rating.objects.create(visitor=visitor, movie=films[name], value=4, rated_at=NOON)
    Movie.objects.refresh_aggregates()
    record(Interaction(new_event_id(), "guest:1", "rating", films["met"].pk, NOON, 5.0))
    return films


def run(**options):
    out = io.StringIO()
    call_command("remove_data", stdout=out, no_progress=True, **options)
    return out.getvalue()


def test_a_dry_run_says_what_would_go_and_changes_nothing(films):
    before = list(Movie.objects.order_by("pk").values()), Rating.objects.count(), ExternalId.objects.count()
    text = run(source="shop", dry_run=True)
    assert "5 ratings of its people would be removed." in text
    assert "1 films would be deleted" in text
    assert "2 films would be hidden" in text
    assert "1 films stay" in text
    assert (
        list(Movie.objects.order_by("pk").values()),
        Rating.objects.count(),
        ExternalId.objects.count(),
    ) == before


def test_what_a_source_brought_goes_and_what_others_have_stays(films):
    text = run(source="shop")
    assert "5 ratings of its people removed." in text
    assert not Movie.objects.filter(title="alone").exists()
    assert set(Movie.objects.visible().values_list("title", flat=True)) == {"shared", "other"}
    assert set(Rating.objects.values_list("visitor", flat=True)) == {"guest:1", "shopping:1", "ml:1"}
    assert set(ExternalId.objects.values_list("source", flat=True)) == {"imdb", "movielens"}
    assert get_history("guest:1").ratings == {films["met"].pk: 5.0}
    assert Event.objects.count() == 1
    assert_aggregates_are_exact()
    with pytest.raises(CommandError, match="Nothing is here of “shop”"):
        run(source="shop")


def test_people_of_another_name_are_named(films):
    text = run(source="movielens", visitors=["ml"])
    assert "1 ratings of its people removed." in text
    assert "1 films deleted" in text
    assert not Rating.objects.filter(visitor="ml:1").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "imdb"}, "no data of one source"),
        ({"source": "shop", "visitors": ["api:shop"]}, "act on this site"),
        ({"source": "shop", "visitors": ["User"]}, "act on this site"),
    ],
)
def test_what_belongs_to_everybody_is_not_removed(films, options, words):
    n_ratings = Rating.objects.count()
    with pytest.raises(CommandError, match=words):
        run(**options)
    assert Rating.objects.count() == n_ratings


def test_an_interrupted_removal_goes_on_with_the_same_command(films):
    with (
        mock.patch.object(data_removal, "delete_movies", side_effect=KeyboardInterrupt),
        pytest.raises(CommandError) as caught,
    ):
        run(source="shop")
    assert caught.value.returncode == 130
    assert_aggregates_are_exact()
    assert "1 films deleted" in run(source="shop")
