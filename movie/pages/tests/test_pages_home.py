"""Home, recommendations, the remembered choices, the line about training, and the pages for errors."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from django.core.cache import cache
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.interactions import Interactions
from movie.catalogue.models import Movie
from movie.catalogue.posters.inks import contrast
from movie.catalogue.tests.films import make_film
from movie.pages.views.pages import ROWS_AT_ONCE
from movie.recommendations import movie_index as index_module
from movie.recommendations.movie_index import recheck
from movie.training.models import TrainingRun
from predictors.models.for_you.model import ForYouPredictor
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.next_item import NextItemPredictor
from predictors.models.popular import PopularPredictor
from predictors.serving.registry import ModelStore
from predictors.testing import fit_model

pytestmark = pytest.mark.django_db
MOST_QUERIES = 8
SHARED_BY_ALL = 2  # what experiment runs, and the default: every 15 s, not for every page
STATIC = Path(__file__).resolve().parents[3] / "static"
GENRES = ("Action", "Comedy", "Drama", "War")


@pytest.fixture(autouse=True)
def _nothing_cached(settings, tmp_path):
    settings.MODEL_DIR = tmp_path / "models"
    cache.clear()


@pytest.fixture
def films():
    """Forty films, the first ones rated most."""
    films = [
        Movie.objects.create(title=f"Film {n}", year=1960 + n, rating_count=100 - n, rating_average=4.0)
        for n in range(40)
    ]
    for genre in GENRES:
        make_film(f"A {genre} film", 2000, genres=[genre])
    return films


@pytest.fixture
def watched(films):
    """Ratings of viewers who watch even or odd films only."""
    ids = np.array([film.pk for film in films])
    pairs = [(user, item) for user in range(60) for item in range(user % 2, 40, 2) if (user + item) % 7]
    users, items = (np.array(column, dtype=np.int32) for column in zip(*pairs, strict=True))
    return Interactions.from_columns(
        users,
        items,
        np.full(len(users), 4.0, np.float32),
        np.arange(len(users)),
        user_ids=np.arange(60),
        item_ids=ids,
    )


@pytest.fixture
def trained(films, watched, settings):
    """Popular and neighbours."""
    store = ModelStore(settings.MODEL_DIR)
    for kind in (PopularPredictor, NeighboursPredictor):
        store.publish(kind.fit(watched), activate=True)
    settings.DEFAULT_MODELS = ("neighbours", "popular")
    return films


def rate(client, film, value):
    response = client.post(reverse("pages:rate", args=[film.pk]), {"value": value})
    assert response.status_code == 303


def page(client, name="home"):
    response = client.get(reverse(f"pages:{name}"))
    assert response.status_code == 200
    return response.content.decode()


def headings(markup):
    return [re.sub(r"<[^>]+>", "", found) for found in re.findall(r"<h2>(.*?)</h2>", markup)]


def shown(markup):
    """Ids of the films with a card, in order."""
    return [int(pk) for pk in re.findall(r'<article class="card" data-movie="(\d+)"', markup)]


# -- home ------------------------------------------------------------------------------------------


def test_a_newcomer_gets_popular_films_and_some_to_rate(client, trained):
    markup = page(client)
    assert headings(markup) == ["Popular", "Rate a few"]
    assert "Rate two films you know" in markup
    assert len(shown(markup)) == len(set(shown(markup))) == 24


def test_films_to_rate_are_of_many_kinds(client, films):
    for film in films:
        film.genres.set(Movie.objects.get(title="A War film").genres.all())
    markup = page(client)
    to_rate = shown(markup.split("Rate a few</h2>")[1])
    kinds = {genre.name for film in Movie.objects.filter(pk__in=to_rate) for genre in film.genres.all()}
    assert kinds == set(GENRES)


def test_two_ratings_change_the_next_page(client, trained):
    rate(client, trained[2], "5")
    rate(client, trained[4], "4.5")
    markup = page(client)
    assert headings(markup)[:2] == ["For you", "Because you rated Film 2 5★"]
    for_you = shown(markup.split("For you</h2>")[1].split("</section>")[0])
    even = {film.pk for film in trained[::2]}
    assert set(for_you) <= even
    assert "Because you rated Film 2 5★" in markup


def test_a_row_of_few_films_is_not_shown(client, trained, monkeypatch):
    unpopular = list(Movie.objects.filter(title__startswith="A ").values_list("pk", flat=True))
    for number, expected in ((3, 0), (4, 1)):
        monkeypatch.setattr("movie.pages.views.pages.trending_ids", lambda n=number: unpopular[:n])
        assert headings(page(client)).count("Trending") == expected


def test_recommendations_say_what_comes_next_where_a_model_of_it_is_active(
    client, trained, watched, settings
):
    """Beside what fits a taste, with a sentence each, and without a film of the list above."""
    settings.DEFAULT_MODELS = ("for_you", "popular")
    rate(client, trained[2], "5")
    assert headings(page(client, "recommend")) == ["How it works"]
    store = ModelStore(settings.MODEL_DIR)
    options = {"sasrec": {"epochs": 1, "dim": 8, "max_length": 12, "threads": 1}}
    store.publish(fit_model(NextItemPredictor, watched, options=options), activate=True)
    of_taste = {"members": ("popular", "neighbours"), "tries": 8}
    store.publish(fit_model(ForYouPredictor, watched, options=of_taste), activate=True)
    markup = page(client, "recommend")
    assert headings(markup) == ["Watch next", "How it works"]
    assert "films that go with yours" in markup
    above, below = markup.split("Watch next</h2>")
    assert "films that people watched after" in below
    assert len(shown(below)) == 12
    assert not set(shown(above)) & set(shown(below))
    assert trained[2].pk not in shown(markup)
    opened = shown(below)[0]
    client.post(reverse("pages:click", args=[opened]))
    assert opened not in shown(page(client, "recommend").split("Watch next</h2>")[1])
    client.post(reverse("pages:choose_model"), {"model": "next_item"})
    assert headings(page(client, "recommend")) == ["How it works"]
    client.post(reverse("pages:choose_model"), {"model": ""})
    client.cookies.clear()
    assert headings(page(client, "recommend")) == ["How it works"]


@pytest.fixture
def taste(trained, watched, settings):
    """For you as the default."""
    settings.DEFAULT_MODELS = ("for_you", "popular")
    options = {"members": ("popular", "cosine", "counts_90"), "tries": 60, "kept": 30}
    ModelStore(settings.MODEL_DIR).publish(
        fit_model(ForYouPredictor, watched, options=options), activate=True
    )
    return trained


def row(markup, heading):
    return markup.split(f"{heading}</h2>")[1].split("</section>")[0]


def dial(markup):
    """Return the values of the dial's buttons, and the one that is pressed."""
    form = markup.split('class="dial"')[1].split("</form>")[0]
    steps = re.findall(r'name="familiarity" value="([^"]+)"[^>]*aria-pressed="(\w+)"', form)
    return [value for value, _ in steps], [value for value, pressed in steps if pressed == "true"]


@pytest.mark.parametrize("name", ["home", "recommend"])
def test_the_dial_is_in_the_address_and_remembered(client, taste, monkeypatch, name):
    """A plain form of five buttons: it needs no script."""
    asked = []
    at = ForYouPredictor.with_familiarity
    monkeypatch.setattr(ForYouPredictor, "with_familiarity", lambda self, f: asked.append(f) or at(self, f))
    rate(client, taste[2], "5")
    assert dial(page(client, name)) == (["1", "0.5", "0", "-0.5", "-1"], ["0"])
    assert 'method="get"' in page(client, name).split('class="dial"')[1][:40]
    asked.clear()
    address = reverse(f"pages:{name}")
    moved = client.get(address, {"familiarity": "1"})
    assert dial(moved.content.decode())[1] == ["1"]
    assert 1.0 in asked
    assert "familiarity=1" in moved.content.decode().split("Why?")[0]  # the reasons are those of this list
    for again in ("home", "recommend"):
        assert dial(page(client, again))[1] == ["1"]
    client.get(address, {"familiarity": "0"})
    assert dial(page(client, name))[1] == ["0"]
    assert client.get(address, {"familiarity": "7"}).status_code == 200
    assert dial(page(client, name))[1] == ["0"]


def test_a_model_without_a_dial_and_a_newcomer_have_none(client, taste):
    assert 'class="dial"' not in page(client) + page(client, "recommend")
    rate(client, taste[2], "5")
    assert 'class="dial"' in page(client)
    client.post(reverse("pages:choose_model"), {"model": "neighbours"})
    assert 'class="dial"' not in page(client) + page(client, "recommend")
    assert "Less seen" not in page(client)


def test_less_seen_films_are_a_row_of_their_own_and_stand_in_no_other(client, taste):
    rate(client, taste[2], "5")
    markup = page(client)
    less_seen = shown(row(markup, "Less seen, for you"))
    assert 4 <= len(less_seen) <= 6
    assert not set(less_seen) & {film.pk for film in taste[:11]}  # the best-known quarter of 44
    others = [pk for pk in shown(markup) if pk not in less_seen]
    assert len(others) + len(less_seen) == len(set(shown(markup)))
    assert "familiarity=-1" in row(markup, "Less seen, for you")
    # With the dial at that end the row For you says it all.
    assert "Less seen" not in client.get(reverse("pages:home"), {"familiarity": "-1"}).content.decode()


def test_cards_of_rows_further_down_wait_for_the_script_or_for_a_browser_without(client, taste):
    rate(client, taste[2], "5")
    rows = page(client).split('<section class="row"')[1:]
    assert len(rows) > ROWS_AT_ONCE
    waiting = ["<noscript>" in each for each in rows]
    assert waiting == [number >= ROWS_AT_ONCE for number in range(len(rows))]
    assert rows[0].count('fetchpriority="high"') == 2
    assert "fetchpriority" not in "".join(rows[1:])


def test_rows_after_the_last_one_that_is_shown_are_not_ranked(client, taste, monkeypatch):
    rankings = []
    monkeypatch.setattr("movie.pages.views.pages.trending_ids", lambda: rankings.append("Trending") or [])
    rate(client, taste[2], "5")
    every = headings(page(client))
    assert every[3:] == ["Rate a few more", "Popular"]
    assert rankings == ["Trending"]
    monkeypatch.setattr("movie.pages.views.pages.MOST_ROWS", 4)
    assert headings(page(client)) == every[:4]
    assert rankings == ["Trending"], "the page was full before"


def test_nothing_comes_twice_and_nothing_rated_comes_again(client, trained):
    for film in trained[:6]:
        rate(client, film, "4")
    ids = shown(page(client))
    assert len(ids) == len(set(ids))
    assert not set(ids) & {film.pk for film in trained[:6]}


def test_a_dismissed_film_is_gone_from_every_row(client, trained):
    target = shown(page(client))[0]
    client.post(reverse("pages:dismiss", args=[target]))
    assert target not in shown(page(client))
    assert target not in shown(page(client, "recommend"))


def test_a_disliked_film_starts_no_row(client, trained):
    rate(client, trained[2], "1")
    assert headings(page(client)) == ["Popular", "Rate a few"]


def test_every_list_names_who_answered(client, trained):
    rate(client, trained[2], "5")
    for markup in (page(client), page(client, "recommend")):
        lists = markup.count('class="row-cards"') + markup.count('class="grid"')
        assert markup.count("Answered by") == lists > 0


def test_without_a_trained_model_the_page_says_so(client, films):
    markup = page(client)
    assert "Answered by Most rated." in markup
    assert "Popular is not trained yet." in markup


def test_an_empty_catalogue_says_what_to_do(client):
    markup = page(client)
    assert "No films yet" in markup
    assert "import_movies" in markup
    assert "Nothing left to recommend" in page(client, "recommend")


def test_home_of_a_guest_with_twenty_interactions_needs_few_queries(client, trained, monkeypatch):
    for film in trained[:20]:
        rate(client, film, "4")
    recheck()
    page(client)  # it reads the films, which each process does once and after a change
    monkeypatch.setattr(index_module, "CHECK_SECONDS", math.inf)
    cache.clear()
    # One for the genres by which neighbours get different motifs, one for which trending films are shown.
    cold = MOST_QUERIES + SHARED_BY_ALL + 2
    for most in (cold, MOST_QUERIES - SHARED_BY_ALL):
        with CaptureQueriesContext(connection) as captured:
            page(client)
        assert len(captured) <= most, [query["sql"] for query in captured]


def test_a_newcomers_home_writes_nothing(client, trained):
    with CaptureQueriesContext(connection) as captured:
        page(client)
    reads = ("SELECT", "DECLARE")  # PostgreSQL reads in parts by a cursor that it declares
    assert not [query for query in captured if not query["sql"].startswith(reads)]


@pytest.mark.parametrize("name", ["home", "recommend"])
def test_pages_hold_no_inline_code(client, trained, name):
    rate(client, trained[0], "4")
    markup = page(client, name)
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", markup)
    assert not re.search(r'(src|href)="(https?:)?//', markup)


# -- recommendations -------------------------------------------------------------------------------


def test_recommendations_are_ranked(client, trained):
    rate(client, trained[2], "5")
    markup = page(client, "recommend")
    ranks = re.findall(r'card-rank">(\d+)<', markup)
    assert ranks == [str(rank) for rank in range(1, len(ranks) + 1)]
    assert len(ranks) > 10


def test_the_chosen_model_is_remembered(client, trained):
    rate(client, trained[2], "5")
    assert "Answered by Item neighbours" in page(client, "recommend")
    response = client.post(reverse("pages:choose_model"), {"model": "popular"})
    assert (response.status_code, response["Location"]) == (303, reverse("pages:recommend"))
    assert "Answered by Popular" in page(client, "recommend")
    client.post(reverse("pages:choose_model"), {"model": ""})
    assert "Answered by Item neighbours" in page(client, "recommend")


@pytest.mark.parametrize("name", ["no-such-model", "most_rated", "../../etc"])
def test_only_models_of_the_site_can_be_chosen(client, trained, name):
    client.post(reverse("pages:choose_model"), {"model": name})
    assert "model" not in client.cookies or not client.cookies["model"].value


def test_a_forged_choice_counts_for_nothing(client, trained):
    client.cookies["model"] = "popular:forged"
    rate(client, trained[2], "5")
    assert "Answered by Item neighbours" in page(client, "recommend")


def test_a_model_that_cannot_answer_is_named_with_the_one_that_did(client, trained):
    client.post(reverse("pages:choose_model"), {"model": "neighbours"})
    markup = page(client, "recommend")
    assert "Item neighbours needs a film you liked first." in markup
    assert "Answered by Popular" in markup


def test_a_chosen_model_in_training_shows_how_far_it_is(client, trained):
    TrainingRun.objects.create(model="sasrec", state="running", progress=0.42)
    client.post(reverse("pages:choose_model"), {"model": "sasrec"})
    markup = page(client, "recommend")
    assert "SASRec is still in training (42 %)" in markup
    assert "Answered by" in markup


# -- training --------------------------------------------------------------------------------------


def test_pages_poll_while_a_model_is_trained_and_then_stop(client, films):
    run = TrainingRun.objects.create(model="sasrec", state="running", progress=0.5)
    assert 'hx-trigger="every 3s"' in page(client)
    htmx = {"HX-Request": "true", "HX-Current-URL": "http://testserver/browse/"}
    status = client.get(reverse("pages:training_status"), headers=htmx).content.decode()
    assert "SASRec" in status
    assert "50 %" in status
    assert 'hx-trigger="every 3s"' in status
    TrainingRun.objects.filter(pk=run.pk).update(state="done")
    cache.clear()
    status = client.get(reverse("pages:training_status"), headers=htmx).content.decode()
    assert "Training is over" in status
    assert 'href="/browse/"' in status
    assert "hx-get" not in status
    assert "every 3s" not in page(client)


# -- theme and language ----------------------------------------------------------------------------


def test_the_theme_is_remembered_without_a_script(client, films):
    assert "data-theme" not in page(client)
    response = client.post(reverse("pages:choose_theme"), {"theme": "dark", "next": "/recommend/"})
    assert (response.status_code, response["Location"]) == (303, "/recommend/")
    assert 'data-theme="dark"' in page(client)
    client.post(reverse("pages:choose_theme"), {"theme": "auto"})
    assert "data-theme" not in page(client)


def test_a_theme_nobody_offers_and_a_foreign_address_are_refused(client, films):
    response = client.post(reverse("pages:choose_theme"), {"theme": "x", "next": "https://evil.example/"})
    assert response["Location"] == reverse("pages:home")
    client.cookies["theme"] = '"><script>'
    assert "data-theme" not in page(client)


def test_choices_need_a_token_and_a_post(films):
    strict = Client(enforce_csrf_checks=True)
    for name in ("choose_theme", "choose_model"):
        assert strict.post(reverse(f"pages:{name}"), {}).status_code == 403
        assert strict.get(reverse(f"pages:{name}")).status_code == 405


def test_the_language_switch_offers_each_language_in_its_own_words(client, films):
    markup = page(client)
    assert all(name in markup for name in ("English", "한국어", "简体中文"))
    client.post(reverse("set_language"), {"language": "ko", "next": "/"})
    assert '<html lang="ko"' in page(client)


# -- errors ----------------------------------------------------------------------------------------


def test_an_unknown_page_offers_ways_on(client, films):
    response = client.get("/no/such/page/")
    assert response.status_code == 404
    assert "not on the programme" in response.content.decode()
    assert reverse("pages:browse") in response.content.decode()


def test_the_page_for_our_own_errors_needs_no_database(django_assert_num_queries):
    with django_assert_num_queries(0):
        markup = render_to_string("500.html")
    assert "The projector stopped" in markup


def test_a_form_without_a_token_is_explained(films):
    response = Client(enforce_csrf_checks=True).post(reverse("pages:choose_theme"), {})
    assert "could not be checked" in response.content.decode()


# -- colours ---------------------------------------------------------------------------------------

WORDS = ("ink", "ink-soft", "accent", "rated", "good", "bad")
SURFACES = ("paper", "paper-raised", "paper-sunk")
PAIRS = [(word, surface) for word in WORDS for surface in SURFACES] + [
    ("accent-ink", "accent"),
    ("paper", "ink"),
    ("paper", "ink-soft"),
    ("ink", "accent-wash"),
    ("ink", "rated-wash"),
    ("accent", "accent-wash"),
    ("rated", "rated-wash"),
]


@pytest.mark.parametrize("scheme", [0, 1], ids=["paper", "projector"])
def test_every_pair_of_colours_is_readable(scheme):
    css = (STATIC / "pages" / "tokens.css").read_text()
    found = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", css)
    tokens = {name: pair[scheme] for name, *pair in found}
    weak = {
        (word, surface): round(contrast(tokens[word], tokens[surface]), 2)
        for word, surface in PAIRS
        if contrast(tokens[word], tokens[surface]) < 4.5
    }
    assert not weak
    # What is drawn and not read: edges of fields and stars.
    assert all(contrast(tokens["rule-strong"], tokens[surface]) >= 3 for surface in SURFACES)


def test_style_sheets_load_nothing_from_elsewhere():
    for sheet in ("tokens.css", "reelgraph.css"):
        assert not re.search(r"@import|url\(", (STATIC / "pages" / sheet).read_text())
