"""One true reason a film, for random histories of 1 to 200 films and every model: the card, the sheet and the
film's page name the same film of the history, the one that moved the score most; every sentence holds.

The suite asks for a few histories a model; `pytest --histories 300` asks for as many as one likes.
"""

from __future__ import annotations

import html
import re
from io import StringIO
from random import Random
from typing import NamedTuple

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.management import call_command
from django.db.models import Avg
from django.test import Client

from movie.catalogue.models import Credit, Movie, Person, Rating
from movie.events.models import Event
from movie.recommendations.explanations.explain import IMPERSONAL_MODELS, explain, history_about
from movie.recommendations.explanations.explanation import Explanation
from movie.recommendations.ranked_list import RankedList, load_movies, mean_sentence
from movie.recommendations.ranking import recommend
from movie.recommendations.similar import SIMILAR_MODELS, rank_similar
from movie.recommendations.tests.histories import NOW, check_influences, random_history, trained
from movie.recommendations.tests.sentences import Reader
from predictors.history import History
from predictors.plugins import MODELS

pytestmark = pytest.mark.django_db
N_FILMS, N_PEOPLE, LONGEST, LISTED = 230, 60, 200, 6
HIDDEN = 20  # films that were hidden after the models learned them
ON_PAGES = 6  # one history of so many is looked at on pages, too, ...
MOST_ON_PAGES = 20  # ... but no more than so many of a model
CARDS = 3  # of each page
ROW = r'<section class="row" aria-label="([^"]+)">(.*?)</section>'
IN_SHEET = {"HX-Request": "true", "HX-Target": "why-sheet", "HX-Boosted": "true"}


@pytest.fixture
def films(settings, tmp_path) -> list[Movie]:
    """Films in 12 circles of taste by 30 directors, with three of 60 actors each, rated by 60 people."""
    settings.MODEL_DIR = tmp_path / "models"
    settings.KNOWLEDGE_GRAPH_DIR = tmp_path / "graph"
    cache.clear()
    chance = Random(6)
    made = Movie.objects.bulk_create(Movie(title=f"Film {n}", sort_title=f"film {n}") for n in range(N_FILMS))
    people = Person.objects.bulk_create(
        Person(name=f"Person {n}", search_key=f"person {n}") for n in range(90)
    )
    directors, actors = people[:30], people[30:]
    credits = [Credit(movie=film, person=chance.choice(directors), role="director") for film in made]
    for film in made:
        for order, person in enumerate(chance.sample(actors, 3)):
            credits.append(Credit(movie=film, person=person, role="cast", order=order))
    Credit.objects.bulk_create(credits)
    ratings = []
    for visitor in range(N_PEOPLE):
        near = [film for n, film in enumerate(made) if n % 12 in (visitor % 12, (visitor + 1) % 12)]
        for film in {*chance.sample(near, 16), *chance.sample(made, 8)}:
            stars = chance.choice((3.0, 4.0, 4.5, 5.0))
            ratings.append(Rating(visitor=f"test:{visitor}", movie=film, value=stars, rated_at=NOW))
    Rating.objects.bulk_create(ratings)
    Movie.objects.refresh_aggregates()
    return made


class Counts:
    """What was seen, so that a test that looked at nothing fails."""

    def __init__(self) -> None:
        self.named = self.connected = self.cards = self.in_rows = 0


@pytest.mark.parametrize("model", MODELS)
def test_the_card_the_sheet_and_the_page_say_one_true_thing(films, model, request, settings):
    """The card's film is the first influence, liked, not below the visitor's own mean, and in the history."""
    n_histories = request.config.getoption("--histories")
    trained(films, "popular")
    if model == "kprn":
        call_command("build_knowledge_graph", no_progress=True, stdout=StringIO())
        trained(films, model, graph=str(settings.KNOWLEDGE_GRAPH_DIR))
    elif model != "popular":
        trained(films, model)
    chance, counts = Random(7), Counts()
    Movie.objects.filter(pk__in=[film.pk for film in chance.sample(films, HIDDEN)]).update(is_visible=False)
    member = get_user_model().objects.create_user("ann")
    client = Client()
    client.force_login(member)
    client.post("/recommend/model/", {"model": model})
    for number in range(n_histories):
        history = random_history(films, chance, LONGEST, f"user:{member.pk}")
        cache.clear()  # lists are kept by event ids, which are made up here
        ranked = recommend(history, k=LISTED, model=model)
        if ranked.model == model:  # else nothing was liked, or too little
            check_list(ranked, history, counts)
        if history.liked and model in SIMILAR_MODELS:
            check_row(history, chance)
        if number % max(ON_PAGES, n_histories // MOST_ON_PAGES) == 0:
            check_pages(client, history, chance, counts)
    if model in IMPERSONAL_MODELS:
        assert counts.named == 0
    else:
        assert counts.named > n_histories
    assert (counts.in_rows >= CARDS) == (model in SIMILAR_MODELS)
    assert counts.cards >= CARDS * min(MOST_ON_PAGES, n_histories // ON_PAGES)
    assert (counts.connected > n_histories) == (model == "kprn")


# -- what the functions say ---------------------------------------------------------------------------


def check_list(ranked: RankedList, history: History, counts: Counts) -> None:
    load_movies(ranked)
    found = explain([entry.movie.pk for entry in ranked.entries], history, model=ranked.model)
    assert list(found) == [entry.movie.pk for entry in ranked.entries]
    for entry in ranked.entries:
        why = found[entry.movie.pk]
        check_connections(why, history, counts)
        if not why.influences:
            assert entry.reason == mean_sentence(entry.movie)
            check_mean(entry.movie)
            assert why.fallback_text
            continue
        counts.named += 1
        assert why.headline is not None
        assert entry.reason == why.headline.text == why.influences[0].sentence.text
        check_influences(why, history)
        assert why.as_dict()["reasons"][0]["sentence"] == entry.reason
    for entry in ranked.entries[:2]:  # asked for alone, as the film's page does
        (alone,) = explain([entry.movie.pk], history, model=ranked.model).values()
        assert alone.headline == found[entry.movie.pk].headline


def check_connections(why: Explanation, history: History, counts: Counts) -> None:
    assert len(why.connections) <= 3
    reader = Reader(why.movie, history)
    for connection in why.connections:
        counts.connected += 1
        reader.check(connection.phrase.text)
        stops = [stop.node for stop in connection.path]
        assert stops[1].pk in history.liked and stops[-1].pk == why.movie.pk


def check_row(history: History, chance: Random) -> None:
    """Every card of a row of films like one film of the history names that film, as its only influence."""
    about = int(chance.choice(history.liked))
    if not Movie.objects.visible().filter(pk=about).exists():
        return  # pages have no row about it
    ranked = rank_similar(about, history, LISTED)
    ranked.seed_movie_id = about
    load_movies(ranked)
    known = history_about(history, about)
    found = explain([entry.movie.pk for entry in ranked.entries], known, model=ranked.model, about=about)
    for entry in ranked.entries:
        why = found[entry.movie.pk]
        (influence,) = why.influences
        assert (influence.movie.pk, influence.percent) == (about, 100)
        assert entry.movie.pk not in history.seen
        assert why.headline is not None and entry.reason == why.headline.text
        check_influences(why, known)


def check_mean(movie: Movie) -> None:
    """The count and the mean of a sentence are those of the ratings in the database."""
    ratings = Rating.objects.filter(movie=movie)
    mean = ratings.aggregate(mean=Avg("value"))["mean"]
    noun = "rating" if len(ratings) == 1 else "ratings"
    said = f"{round(mean, 1):.1f} from {len(ratings)} {noun}" if ratings else ""
    assert mean_sentence(movie) == said


# -- what the pages say -------------------------------------------------------------------------------


class Card(NamedTuple):
    """What a card shows of a film and where it leads."""

    movie_id: int
    reason: str
    why: str
    page: str


def check_pages(client: Client, history: History, chance: Random, counts: Counts) -> None:
    """Follow cards of two pages to their sheets and to their films' pages."""
    Event.objects.all().delete()
    Event.objects.bulk_create(
        Event(
            event_id=each.event_id,
            visitor=each.visitor,
            kind=each.kind,
            movie_id=each.movie_id,
            at=each.at,
            value=each.value,
        )
        for each in history
    )
    for address in ("/", "/recommend/"):
        page = client.get(address).content.decode()
        for heading, row in re.findall(ROW, page, re.DOTALL):
            check_cards_of_row(client, html.unescape(heading), cards_of(row), history, counts)
        offered = cards_of(page)
        assert offered, address
        for card in chance.sample(offered, min(CARDS, len(offered))):
            counts.cards += 1
            if card.why:
                check_card(client, card)


def check_cards_of_row(
    client: Client, heading: str, cards: list[Card], history: History, counts: Counts
) -> None:
    """A row that names a film of the history says the same on each of its cards, and behind the first."""
    if not heading.startswith("Because"):
        return
    counts.in_rows += len(cards)
    assert cards and all(card.reason == heading for card in cards if card.why), (heading, cards)
    if stars := re.search(r" ([\d½]+)★$", heading):
        mean = sum(history.ratings.values()) / len(history.ratings)
        assert float(stars[1].replace("½", ".5")) >= mean - 1e-6
    if cards[0].why:
        check_card(client, cards[0])


def check_card(client: Client, card: Card) -> None:
    sheet = client.get(card.why, headers=IN_SHEET).content.decode()
    whole = client.get(card.why).content.decode()
    film = client.get(card.page).content.decode()
    section = re.search(r'<section class="film-why.*?</section>', film, re.DOTALL)
    headline = said(sheet, "why-headline")
    assert said(whole, "why-headline") == headline
    if not headline:
        assert card.reason == mean_sentence(Movie.objects.get(pk=card.movie_id))
        assert said(sheet, "why-instead")
        return
    assert headline == card.reason
    assert section and said(section[0], "why-headline") == headline, (card, section and section[0])
    for part in (sheet, section[0]):
        linked = re.findall(r'href="(/movies/\d+/)"', part.partition('class="why-headline"')[2])
        if 'class="reasons"' in part:
            assert linked[0] == linked[1]  # the first bar is the film of the sentence


def cards_of(page: str) -> list[Card]:
    found = []
    for pk, card in re.findall(r'<article class="card" data-movie="(\d+)">(.*?)</article>', page, re.DOTALL):
        reason = re.search(r'<p class="reason">(.*?)(?:<a class="why-link" href="([^"]+)"|</p>)', card)
        page_address = re.search(r'data-href="([^"]+)"', card)
        assert reason and page_address
        texts = (reason[1], reason[2] or "", page_address[1])
        found.append(Card(int(pk), *(html.unescape(text).strip() for text in texts)))
    return found


def said(part: str, name: str) -> str:
    """Return the text of the paragraph of a class, or nothing."""
    paragraph = re.search(rf'<p class="{name}">(.*?)</p>', part, re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", paragraph[1])).strip() if paragraph else ""
