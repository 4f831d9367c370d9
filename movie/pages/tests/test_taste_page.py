"""The taste page: its figures are right and lead to their films; the card says nothing of who."""

from xml.etree import ElementTree

import pytest
from django.test import Client
from django.urls import reverse

from movie.catalogue.models import Movie, Rating
from movie.catalogue.tests.films import LONG_AGO, make_film
from movie.events.history import get_history
from movie.pages.taste import MIN_OTHERS, everybodys_counts, taste_of

PAGE, CARD = reverse("pages:taste"), reverse("pages:taste_card")


@pytest.fixture
def films(db):
    others = [4.0] * MIN_OTHERS
    return [
        make_film("Heat", 1995, directors=["Michael Mann"], genres=["Crime", "Drama"], stars=others),
        make_film("Ali", 2001, directors=["Michael Mann"], genres=["Drama"], stars=others),
        make_film("Fargo", 1996, directors=["Joel Coen"], genres=["Crime"], stars=[3.0] * MIN_OTHERS),
        make_film("Alone", 1999, genres=["Comedy"], stars=[5.0]),
    ]


@pytest.fixture
def visitor(films):
    client = Client()
    client.get("/")
    for film, value in zip(films, ("5", "1.5", "3", "1"), strict=True):
        client.post(reverse("pages:rate", args=[film.pk]), {"value": value})
    return client


def test_without_ratings_it_says_what_to_do(client, db):
    html = client.get(PAGE).content.decode()
    assert "Nothing here yet" in html and f'href="{reverse("pages:browse")}"' in html
    assert b"No film rated yet" in client.get(CARD).content


def test_the_figures(visitor, films):
    taste = visitor.get(PAGE).context["taste"]
    assert (taste.n_films, taste.mean) == (4, 2.625)
    assert {row.value: row.count for row in taste.rows if row.count} == {5.0: 1, 3.0: 1, 1.5: 1, 1.0: 1}
    assert [(g.name, g.count, g.mean, g.others) for g in taste.directors] == [("Michael Mann", 2, 3.25, 4.0)]
    genres = {g.name: (g.count, g.mean, g.others) for g in taste.genres}
    assert genres == {"Crime": (2, 4.0, 3.5), "Drama": (2, 3.25, 4.0), "Comedy": (1, 1.0, None)}
    assert [(g.value, g.count) for g in taste.decades] == [(1990, 3), (2000, 1)]


def test_differences_are_from_the_others_alone_and_need_some(visitor, films):
    """The visitor's own stars are no part of the mean that they are compared with; one other is too few."""
    found = visitor.get(PAGE).context["taste"].differences
    assert [(each.movie.title, each.stars, each.others) for each in found] == [
        ("Ali", 1.5, 4.0),
        ("Heat", 5.0, 4.0),
    ]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ({"stars": "5"}, {"Heat"}),
        ({"stars": "1.5"}, {"Ali"}),
        ({"genre": "Crime"}, {"Heat", "Fargo"}),
        ({"director": "Michael Mann"}, {"Heat", "Ali"}),
        ({"decade": "1990"}, {"Heat", "Fargo", "Alone"}),
        ({"stars": "7"}, {"Heat", "Ali", "Fargo", "Alone"}),
        ({"genre": "9" * 30}, {"Heat", "Ali", "Fargo", "Alone"}),
    ],
)
def test_each_number_leads_to_its_films(visitor, query, titles):
    taste = visitor.get(PAGE).context["taste"]
    keys = {g.name: g.value for g in [*taste.genres, *taste.directors]}
    query = {name: keys.get(value, value) for name, value in query.items()}
    response = visitor.get(reverse("pages:history"), {"show": "rated", **query})
    assert {row.movie.title for row in response.context["rows"]} == titles


def test_the_addresses_on_the_page_are_those(visitor):
    html = visitor.get(PAGE).content.decode()
    taste = visitor.get(PAGE).context["taste"]
    for group in [*taste.genres, *taste.directors, *taste.decades]:
        address = f"{reverse('pages:history')}?show=rated&amp;{group.parameter}={group.value}"
        assert f'href="{address}"' in html and f'href="{group.address}"' in html
        listed = visitor.get(address.replace("&amp;", "&")).context["page_obj"].paginator.count
        assert listed == group.count


def test_everybodys_stars_are_counted_once_an_hour(visitor, django_assert_num_queries):
    everybodys_counts()
    Rating.objects.create(visitor="ml-100k:9", movie=Movie.objects.first(), value=0.5, rated_at=LONG_AGO)
    total = Rating.objects.count()
    with django_assert_num_queries(0):
        assert sum(everybodys_counts()) == total - 1


def test_a_page_costs_the_same_for_any_number_of_ratings(visitor, django_assert_max_num_queries):
    for number in range(12):
        film = make_film(f"Film {number}", 1970 + number, directors=[f"D {number}"], genres=["Drama"])
        visitor.post(reverse("pages:rate", args=[film.pk]), {"value": "4"})
    with django_assert_max_num_queries(7):
        assert visitor.get(PAGE).context["taste"].n_films == 16


def test_the_card_is_a_drawing_without_a_name_and_private(visitor):
    response = visitor.get(CARD)
    text = "".join(ElementTree.fromstring(response.content).itertext())  # noqa: S314 - our own
    assert response["Content-Type"] == "image/svg+xml"
    assert "4 films rated, 2.6★" in text and "Michael Mann" in text and "guest" not in text
    for address in (PAGE, CARD):
        assert {"private", "no-store"} <= set(visitor.get(address)["Cache-Control"].split(", "))
    assert "sandbox" in response["Content-Security-Policy"]


def test_titles_are_text_on_the_card(visitor, films):
    Movie.objects.filter(pk=films[1].pk).update(title='<b>"Ali" & Co')
    ElementTree.fromstring(visitor.get(CARD).content)  # noqa: S314


def test_somebody_elses_ratings_are_nobodys_business(visitor, client):
    assert client.get(PAGE).context["taste"] is None
    assert taste_of(get_history("guest:nobody")) is None
