from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models.deletion import Collector
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from movie.catalogue.admin import MovieAdmin
from movie.catalogue.models import ExternalId, Movie, MovieQuerySet, Person, Rating
from movie.catalogue.resources import MovieResource
from movie.catalogue.tests.films import lose_first_race, make_film
from movie.core.csv_import import check_rows
from movie.events.history import get_history
from movie.events.models import Event
from movie.events.recording import new_event_id, record
from movie.training.models import TrainingRun
from predictors.history import Interaction

pytestmark = pytest.mark.django_db

NOW = datetime(2020, 1, 1, tzinfo=UTC)


APP_OF = {
    "event": "events",
    "deadletter": "events",
    "trainingrun": "training",
    "apikey": "api",
    "apiclient": "api",
}


def film(n, **fields):
    return make_film(
        f"Film {n}",
        1990 + n,
        genres=[f"Genre {n}"],
        cast=[f"Player {k} of {n}" for k in range(6)],
        stars=[4.0],
        **fields,
    )


def changelist(name):
    return reverse(f"admin:{APP_OF.get(name, 'catalogue')}_{name}_changelist")


def queries_of(client, url):
    """How many queries a page costs."""
    client.get(url)  # fills what the process remembers, such as content types
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


@pytest.mark.parametrize("name", ["movie", "person", "rating", "event", "trainingrun", "genre"])
def test_a_list_costs_the_same_whatever_its_length(admin_client, name):
    def fill(numbers):
        for n in numbers:
            movie = film(n)
            record(Interaction(new_event_id(), f"guest:{n}", "click", movie.pk, NOW))
            TrainingRun.objects.create(model="popular")

    fill(range(2))
    few = queries_of(admin_client, changelist(name))
    fill(range(2, 12))
    assert queries_of(admin_client, changelist(name)) == few <= 12


def test_a_film_page_costs_the_same_with_a_large_cast(admin_client):
    small, large = (
        make_film("Small", 1990, cast=["A"]),
        make_film("Large", 1990, cast=[f"P{n}" for n in range(30)]),
    )
    few = queries_of(admin_client, reverse("admin:catalogue_movie_change", args=[small.pk]))
    url = reverse("admin:catalogue_movie_change", args=[large.pk])
    assert queries_of(admin_client, url) == few
    page = admin_client.get(url).content.decode()
    assert "P29" in page


def form_of(admin_client, movie):
    """Return what a browser sends from the page of a film, with its address."""
    url = reverse("admin:catalogue_movie_change", args=[movie.pk])
    page = admin_client.get(url)
    data = {}
    for form in (
        page.context["adminform"].form,
        *(f for each in page.context["inline_admin_formsets"] for f in each.formset.forms),
    ):
        for bound in form:
            value = bound.value()
            if value is not None and value is not False:
                data[bound.html_name] = (
                    [each.pk for each in value]
                    if bound.name in ("genres", "countries", "languages")
                    else value
                )
    for each in page.context["inline_admin_formsets"]:
        for bound in each.formset.management_form:
            data[bound.html_name] = bound.value()
    return url, data


def cast_of(movie):
    return list(movie.credits.order_by("order").values_list("person__name", flat=True))


def test_a_film_page_is_saved_with_its_cast(admin_client):
    movie = make_film("Film", 1990, cast=["A", "B"])
    other = Person.objects.create(name="C")
    url, data = form_of(admin_client, movie)
    answer = admin_client.post(url, {**data, "credits-1-person": other.pk, "title": "Renamed"})
    assert answer.status_code == 302, answer.context["errors"]
    movie.refresh_from_db()
    assert movie.title == "Renamed"
    assert cast_of(movie) == ["A", "C"]


@pytest.mark.django_db(transaction=True)
def test_a_film_is_saved_though_the_database_ends_its_transaction_for_another_one(admin_client, monkeypatch):
    movie = make_film("Film", 1990, cast=["A", "B"])
    url, data = form_of(admin_client, movie)
    other = Person.objects.create(name="C")
    lose_first_race(monkeypatch, MovieAdmin, "save_related")
    assert admin_client.post(url, {**data, "credits-1-person": other.pk}).status_code == 302
    assert cast_of(movie) == ["A", "C"]


@pytest.mark.django_db(transaction=True)
def test_people_are_merged_though_the_database_ends_the_transaction_for_another_one(
    admin_client, monkeypatch
):
    movie = make_film("Film", 1990, cast=["A", "B", "C"])
    ids = list(Person.objects.values_list("pk", flat=True))
    lose_first_race(monkeypatch, Collector, "delete")
    data = {"action": "merge", "_selected_action": ids, "confirmed": "yes"}
    assert admin_client.post(changelist("person"), data).status_code == 302
    assert len(cast_of(movie)) == Person.objects.count() == 1


def test_films_are_searched_by_any_title_and_external_id(admin_client):
    movie = make_film("Oldboy", 2003, titles={"ko": "올드보이"})
    ExternalId.objects.create(movie=movie, source="imdb", value="tt0364569")
    make_film("Heat", 1995)
    for words in ("OLDBOY", "올드보이", "tt0364569"):
        page = admin_client.get(changelist("movie"), {"q": words}).content.decode()
        assert "Oldboy" in page, words
        assert "Heat" not in page, words


def test_selected_films_are_hidden_and_shown(admin_client):
    one, two = film(1), film(2)
    admin_client.post(changelist("movie"), {"action": "hide", "_selected_action": [one.pk]})
    assert list(Movie.objects.visible()) == [two]
    admin_client.post(changelist("movie"), {"action": "show", "_selected_action": [one.pk, two.pk]})
    assert Movie.objects.visible().count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("action", "n_left"), [("hide", 0), ("delete_selected", 0), ("show", 2)])
def test_many_films_are_written_though_the_database_ends_a_transaction(
    admin_client, monkeypatch, action, n_left
):
    ids = [film(1).pk, film(2).pk]
    owner, name = (Collector, "delete") if action == "delete_selected" else (MovieQuerySet, "update")
    lose_first_race(monkeypatch, owner, name)
    admin_client.post(changelist("movie"), {"action": action, "_selected_action": ids, "post": "yes"})
    assert Movie.objects.visible().count() == n_left


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("name", "model"), [("movie", Movie), ("person", Person)])
def test_one_is_deleted_though_the_database_ends_the_transaction_for_another_one(
    admin_client, monkeypatch, name, model
):
    make_film("Film", 1990, cast=["A"])
    url = reverse(f"admin:catalogue_{name}_delete", args=[model.objects.get().pk])
    lose_first_race(monkeypatch, Collector, "delete")
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not model.objects.exists()
    assert LogEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_people_are_deleted_though_the_database_ends_the_transaction_for_another_one(
    admin_client, monkeypatch
):
    movie = make_film("Film", 1990, cast=["A", "B", "C"])
    ids = list(Person.objects.filter(name__in="AB").values_list("pk", flat=True))
    lose_first_race(monkeypatch, Collector, "delete")
    data = {"action": "delete_selected", "_selected_action": ids, "post": "yes"}
    assert admin_client.post(changelist("person"), data).status_code == 302
    assert cast_of(movie) == ["C"]


def test_figures_follow_an_edited_and_a_deleted_rating(admin_client):
    one, two = film(1), film(2)
    rating = Rating.objects.get(movie=one)
    url = reverse("admin:catalogue_rating_change", args=[rating.pk])
    data = {
        "visitor": rating.visitor,
        "movie": one.pk,
        "value": "2.0",
        "rated_at_0": "2020-01-01",
        "rated_at_1": "00:00",
    }
    assert admin_client.post(url, data).status_code == 302
    one.refresh_from_db()
    assert (one.rating_count, one.rating_average) == (1, 2.0)
    admin_client.post(url, {**data, "movie": two.pk})
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.rating_count, two.rating_count, two.rating_average) == (0, 2, 3.0)
    admin_client.post(reverse("admin:catalogue_rating_delete", args=[rating.pk]), {"post": "yes"})
    two.refresh_from_db()
    assert (two.rating_count, two.rating_average) == (1, 4.0)
    rest = list(Rating.objects.values_list("pk", flat=True))
    data = {"action": "delete_selected", "_selected_action": rest, "post": "yes"}
    admin_client.post(changelist("rating"), data)
    two.refresh_from_db()
    assert (two.rating_count, two.rating_average) == (0, None)


def test_a_rating_deleted_here_is_gone_from_its_visitors_history(admin_client):
    movie = film(1)
    record(Interaction(new_event_id(), "guest:x", "rating", movie.pk, NOW, 5.0))
    rating = Rating.objects.get(visitor="guest:x")
    admin_client.post(reverse("admin:catalogue_rating_delete", args=[rating.pk]), {"post": "yes"})
    assert get_history("guest:x").ratings == {}
    assert not Rating.objects.filter(visitor="guest:x").exists()


def test_an_edited_rating_is_in_its_visitors_history(admin_client):
    one, two = film(1), film(2)
    record(Interaction(new_event_id(), "guest:x", "rating", one.pk, NOW, 5.0))
    rating = Rating.objects.get(visitor="guest:x")
    data = {"visitor": "guest:x", "movie": one.pk, "value": "2.0"}
    data |= {"rated_at_0": "2020-01-01", "rated_at_1": "00:00"}
    url = reverse("admin:catalogue_rating_change", args=[rating.pk])
    assert admin_client.post(url, data).status_code == 302
    assert get_history("guest:x").ratings == {one.pk: 2.0}
    assert Rating.objects.get(visitor="guest:x").value == 2.0
    assert admin_client.post(url, {**data, "movie": two.pk}).status_code == 302
    assert get_history("guest:x").ratings == {two.pk: 2.0}
    assert Rating.objects.get(visitor="guest:x").movie == two
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.rating_count, two.rating_count, two.unweighed_average) == (1, 2, 3.0)
    record(Interaction(new_event_id(), "guest:x", "undo", two.pk, NOW))
    assert get_history("guest:x").ratings == {} and not Rating.objects.filter(visitor="guest:x").exists()


def test_an_added_rating_is_in_its_visitors_history(admin_client):
    one = film(1)
    data = {"visitor": "guest:x", "movie": one.pk, "value": "2.0"}
    data |= {"rated_at_0": "2020-01-01", "rated_at_1": "00:00"}
    assert admin_client.post(reverse("admin:catalogue_rating_add"), data).status_code == 302
    assert get_history("guest:x").ratings == {one.pk: 2.0}
    assert Rating.objects.get(visitor="guest:x").rated_at == NOW


def test_what_the_site_did_can_only_be_looked_at(admin_client):
    movie = film(1)
    record(Interaction(new_event_id(), "guest:x", "click", movie.pk, NOW))
    TrainingRun.objects.create(model="popular")
    for model in (Event, TrainingRun):
        name = model._meta.model_name
        pk = model.objects.get().pk
        assert (
            admin_client.get(
                reverse(f"admin:{APP_OF.get(name, 'catalogue')}_{name}_change", args=[pk])
            ).status_code
            == 200
        )
        assert (
            admin_client.post(
                reverse(f"admin:{APP_OF.get(name, 'catalogue')}_{name}_change", args=[pk]), {}
            ).status_code
            == 403
        )
        assert (
            admin_client.get(reverse(f"admin:{APP_OF.get(name, 'catalogue')}_{name}_add")).status_code == 403
        )
        assert (
            admin_client.get(
                reverse(f"admin:{APP_OF.get(name, 'catalogue')}_{name}_delete", args=[pk])
            ).status_code
            == 403
        )


def test_films_and_ratings_are_exported_as_they_are_imported(admin_client):
    movie = film(1)
    ExternalId.objects.create(movie=movie, source="imdb", value="tt0113277")
    data = {
        "format": "0",
        "movieresource_id": "on",
        "movieresource_title": "on",
        "movieresource_imdb": "on",
        "movieresource_genres": "on",
        "movieresource_external_ids": "on",
    }
    ExternalId.objects.create(movie=movie, source="shop", value="sku-1")
    text = admin_client.post(reverse("admin:catalogue_movie_export"), data).content.decode()
    assert "Film 1" in text
    assert "Genre 1" in text
    assert "imdb:tt0113277|shop:sku-1" in text
    Rating.objects.create(visitor="shop:1", movie=movie, value=4, rated_at=NOW)
    data = {"format": "0", "ratingresource_visitor": "on", "ratingresource_external_ids": "on"}
    text = admin_client.post(reverse("admin:catalogue_rating_export"), data).content.decode()
    assert "shop:1,imdb:tt0113277|shop:sku-1" in text


def test_an_export_of_films_is_imported_without_a_change(db):
    movie = film(1)
    ExternalId.objects.create(movie=movie, source="shop", value="sku-1")
    exported = MovieResource().export()
    again = check_rows(MovieResource, exported)
    assert (again.n_unchanged, again.n_importable, again.rejected) == (1, 0, [])


def test_the_admin_is_for_staff(client):
    assert client.get(changelist("movie")).status_code == 302
