"""A film that gets another title: its sort title, its other titles and what searches find follow."""

import pytest
from django.urls import reverse

from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film

pytestmark = pytest.mark.django_db


def titles(film):
    return sorted(film.titles.values_list("title", "language"))


def test_the_sort_title_and_the_titles_follow(client):
    film = make_film("The Mistake", 1995)
    film.title = "The Usual Suspects"
    film.save()
    film.refresh_from_db()
    assert film.sort_title == "Usual Suspects, The"
    assert titles(film) == [("The Usual Suspects", "")]
    page = client.get(film.get_absolute_url()).content.decode()
    assert "Mistake" not in page
    assert "Usual Suspects" in client.get("/search/?q=suspects").content.decode()


def test_a_sort_title_that_is_changed_too_is_taken():
    film = make_film("Mistake", 1995)
    film.title, film.sort_title = "8½", "Eight and a half"
    film.save()
    assert Movie.objects.get().sort_title == "Eight and a half"


def test_titles_in_other_languages_stay_and_a_known_one_is_taken_once():
    film = make_film("Parasite", 2019, titles={"ko": "기생충", "en": "Parasite!"})
    film.title = "기생충"
    film.save()
    assert titles(film) == [("Parasite!", "en"), ("기생충", "ko")]
    film = make_film("Leon", 1994, titles={"fr": "Léon: the professional"})
    film.title = "Léon"
    film.save(update_fields=["title"])
    assert titles(film) == [("Léon", ""), ("Léon: the professional", "fr")], "the spelling follows"
    assert Movie.objects.get(pk=film.pk).sort_title == "Léon"


def test_a_film_is_renamed_in_the_admin(admin_client):
    film = make_film("Hart", 1995)
    address = reverse("admin:catalogue_movie_change", args=[film.pk])
    form = admin_client.get(address).context["adminform"].form
    sent = {name: value for name in form.fields if (value := form[name].value())} | {
        "title": "Heat",
        "is_visible": "on",
    }
    own = film.titles.get()
    sent |= {
        "titles-TOTAL_FORMS": 1, "titles-INITIAL_FORMS": 1, "titles-0-id": own.pk, "titles-0-movie": film.pk,
        "titles-0-title": "Heat", "titles-0-language": "", "credits-TOTAL_FORMS": 0,
        "credits-INITIAL_FORMS": 0, "external_ids-TOTAL_FORMS": 0, "external_ids-INITIAL_FORMS": 0,
    }  # fmt: skip
    response = admin_client.post(address, sent)
    assert response.status_code == 302, response.context["errors"]
    film.refresh_from_db()
    assert (film.title, film.sort_title, titles(film)) == ("Heat", "Heat", [("Heat", "")])
