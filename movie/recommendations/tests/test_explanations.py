"""Explanations are true: whatever a history is and however the catalogue has changed since the paths were
found, every sentence holds, and the shares sum to 1."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest
from django.core.cache import cache
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.interactions import Interactions
from evaluation.trainer import FROM_SITE, train
from movie.catalogue.models import Credit, Movie, Person, Rating
from movie.catalogue.tests.films import make_film
from movie.recommendations.explanations.explain import IMPERSONAL_MODELS, history_about
from movie.recommendations.explanations.explanation import Explanation, ShownReason, whole_percents
from movie.recommendations.ranked_list import RankedMovie, load_movies, mean_sentence
from movie.recommendations.ranking import rank_one, recommend
from movie.recommendations.tests.paths import CataloguePaths, explain
from movie.training.model_info import MODEL_INFO
from movie.training.registry import registry
from predictors.history import History, Interaction

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 1, tzinfo=UTC)
N_FILMS = 28
EXAMPLES = 100
KINDS = (
    *(("rating", stars / 2) for stars in range(1, 11)),
    ("click", None),
    ("watchlist", None),
    ("dismiss", None),
)


@pytest.fixture(autouse=True)
def _no_models(settings, tmp_path):
    settings.MODEL_DIR = tmp_path
    cache.clear()


@pytest.fixture
def films() -> list[Movie]:
    """Films of few people, genres and countries, so that much leads from each to each; rated by 30 people."""
    chance = Random(5)
    people = [f"Person {n}" for n in range(12)]
    made = [
        make_film(
            f"Film {n}",
            chance.choice([None, *range(1970, 2000, 4)]),
            genres=chance.sample(["Crime", "Drama", "War", "Western"], chance.randint(0, 2)),
            countries=chance.sample(["France", "Japan", "Mexico"], chance.randint(0, 1)),
            directors=chance.sample(people, chance.randint(0, 2)),
            writers=chance.sample(people, chance.randint(0, 2)),
            cast=chance.sample(people, chance.randint(0, 3)),
        )
        for n in range(N_FILMS)
    ]
    Rating.objects.bulk_create(
        Rating(visitor=f"test:{visitor}", movie=film, value=chance.randint(1, 10) / 2, rated_at=NOW)
        for visitor in range(30)
        for film in chance.sample(made, 12)
    )
    Movie.objects.refresh_aggregates()
    return made


def history_of(events: list[tuple[int, tuple[str, float | None]]], films: list[Movie]) -> History:
    return History(
        Interaction(f"{n:03}", "guest:1", kind, films[film].pk, NOW + timedelta(minutes=n), value)
        for n, (film, (kind, value)) in enumerate(events)
    )


HISTORIES = st.lists(st.tuples(st.integers(0, N_FILMS - 1), st.sampled_from(KINDS)), min_size=1, max_size=12)


# -- an independent reading of the sentences ------------------------------------------------------------

DONE = {
    "Directed by": "d", "Written by": "w", "With": "c", "Written and directed by": "dw",
    "Directed by and with": "dc", "Written by and with": "wc", "Written and directed by, and with,": "dwc",
    "made": "d", "directed": "d", "wrote": "w", "also wrote": "w", "is in": "c", "is also in": "c",
    "wrote and directed": "dw", "also wrote and directed": "dw", "directed and is in": "dc",
    "also directed and is in": "dc", "wrote and is in": "wc", "also wrote and is in": "wc",
    "wrote, directed and is in": "dwc", "also wrote, directed and is in": "dwc",
}  # fmt: skip
FILM, PERSON = r"Film \d+", r"Person \d+"


class Reader:
    """Reads an English sentence about `film` and asks the database about every claim in it."""

    def __init__(self, film: Movie, history: History) -> None:
        self.film, self.history = film, history
        self.by_title = {movie.title: movie for movie in Movie.objects.visible()}
        self.claims: Counter[str] = Counter()

    def check(self, text: str) -> None:
        for pattern, follow in (
            (rf"(.+?) ({PERSON}), who (.+?) (?={FILM})(.+)", self._person),
            (r"Filed under ([\w-]+), like (.+)", self._genre),
            (r"Made in the same country \((\w+)\) as (.+)", self._country),
            (r"From the (\d{4})s, like (.+)", self._decade),
            (r"(?:People who liked|Liked by people who liked) (.+?)(?:, also liked this)?", self._people),
        ):
            found = re.fullmatch(pattern, text)
            if found and (follow != self._person or found[1] in DONE):
                follow(self.film, *found.groups())
                return
        raise AssertionError(f"cannot be read: {text}")

    def _person(self, film: Movie, made: str, name: str, did: str, rest: str) -> None:
        self.claims["person"] += 1
        for before in self._films(rest):
            assert _roles(film, name) == set(DONE[made]), (film, name, made)
            assert _roles(before, name) == set(DONE[did]), (before, name, did)

    def _genre(self, film: Movie, name: str, rest: str) -> None:
        self.claims["genre"] += 1
        assert all(each.genres.filter(name=name).exists() for each in (film, *self._films(rest)))

    def _country(self, film: Movie, name: str, rest: str) -> None:
        self.claims["country"] += 1
        assert all(each.countries.filter(name=name).exists() for each in (film, *self._films(rest)))

    def _decade(self, film: Movie, name: str, rest: str) -> None:
        self.claims["decade"] += 1
        assert {each.year // 10 * 10 for each in (film, *self._films(rest))} == {int(name)}

    def _people(self, film: Movie, rest: str) -> None:
        self.claims["people"] += 1
        for before in self._films(rest):
            assert len(_likers(film) & _likers(before)) >= 2

    def _films(self, text: str) -> list[Movie]:
        """The films that the end of a sentence names, each with what is said of it checked."""
        title = re.match(FILM, text)[0]
        film, rest = self.by_title[title], text[len(title) :]
        for pattern, follow in (
            (rf", which shares ({PERSON}) with (.+)", self._shares),
            (r", itself filed under ([\w-]+) like (.+)", self._genre),
            (r", itself made in the same country \((\w+)\) as (.+)", self._country),
            (r", itself from the (\d{4})s like (.+)", self._decade),
            (r", itself liked by people who liked (.+)", self._people),
        ):
            if longer := re.fullmatch(pattern, rest):
                self.claims["long"] += 1
                follow(film, *longer.groups())
                return [film]
        clause = re.match(r", which (you rated [\d½]+|is on your watchlist|you looked at)", rest)
        assert clause, text
        self._standing(film, clause[1])
        more = rest[clause.end() :]
        if found := re.fullmatch(rf", (?:and|or) ({FILM}, which .+)", more):
            return [film, *self._films(found[1])]
        if found := re.fullmatch(r", (?:and|or one of) (\d+) others of yours", more):
            assert int(found[1]) <= len(self.history.liked) - 1
        else:
            assert more == ""
        return [film]

    def _shares(self, film: Movie, name: str, rest: str) -> None:
        assert all(_roles(each, name) for each in (film, *self._films(rest)))

    def _standing(self, film: Movie, clause: str) -> None:
        assert film.pk in self.history.liked
        assert film.pk not in self.history.disliked
        if clause.startswith("you rated"):
            stars = clause.removeprefix("you rated ").replace("½", ".5")
            assert self.history.ratings[film.pk] == float(stars) >= 3
        elif clause == "is on your watchlist":
            assert film.pk in self.history.watchlist
        else:
            assert film.pk in self.history.clicked


def _roles(film: Movie, name: str) -> set[str]:
    roles = Credit.objects.filter(movie=film, person__name=name).values_list("role", flat=True)
    return {role[0] for role in roles}


def _likers(film: Movie) -> set[str]:
    return set(Rating.objects.filter(movie=film, value__gte=3).values_list("visitor", flat=True))


def check_shares(why: Explanation) -> None:
    shares = [reason.share for reason in why.reasons]
    assert sum(shares) + why.rest == pytest.approx(1.0, abs=1e-9)
    assert all(0 < share <= 1 for share in shares)
    assert shares == sorted(shares, reverse=True)
    assert sum(reason.percent for reason in why.reasons) + why.weighted.rest_percent == 100


def check_paths(why: Explanation, history: History) -> None:
    """A drawn path begins with the visitor, goes on over a liked film, and ends with the film explained."""
    for reason in why.reasons:
        for chain in reason.paths:
            kinds = [stop.node.kind for stop in chain]
            assert kinds[0] == "you"
            assert kinds[1::2] == ["movie"] * (len(kinds) // 2)
            assert chain[1].node.pk in history.liked
            assert chain[-1].node.pk == why.movie.pk
            assert all(stop.node.url for stop in chain if stop.node.kind != "people")


def change_the_catalogue(chance: Random) -> None:
    """What can happen between the building of a graph and a page: edges go, films are hidden."""
    for model in (Credit, Movie.genres.through, Movie.countries.through, Rating):
        rows = list(model.objects.order_by("pk").values_list("pk", flat=True))
        model.objects.filter(pk__in=chance.sample(rows, len(rows) // 3)).delete()
    Movie.objects.filter(pk__in=chance.sample(list(Movie.objects.values_list("pk", flat=True)), 3)).update(
        is_visible=False
    )
    Movie.objects.filter(year__lt=1980).update(year=2005)


PLAIN = ("from_country", "of_decade")  # what is told only where there is nothing else


@pytest.mark.parametrize("changed", [False, True], ids=["as it was", "changed since"])
@pytest.mark.parametrize(
    ("walked", "kinds"),
    [((), ("person", "genre", "people", "long")), (PLAIN, ("country", "decade", "long"))],
    ids=["everything", "countries and decades"],
)
def test_every_sentence_is_true_and_shares_sum_to_one(films, walked, kinds, changed):
    explainer = CataloguePaths(kinds=walked)
    if changed:
        change_the_catalogue(Random(3))
    read, told = Counter(), Counter()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True)
    @given(HISTORIES, st.integers(0, N_FILMS - 1))
    def check(events, start):
        history = history_of(events, films)
        asked = [films[(start + step) % N_FILMS].pk for step in range(4)]
        for pk, why in explain(asked, history, explainer=explainer).items():
            assert why.movie.pk == pk
            assert why.movie.is_visible
            if not why.reasons:
                told["nothing"] += 1
                assert why.fallback_text
                continue
            told["reasons"] += 1
            check_shares(why)
            check_paths(why, history)
            reader = Reader(why.movie, history)
            for reason in why.reasons:
                reader.check(reason.phrase.text)
            read.update(reader.claims)

    check()
    # Of everything that can be said, something was said and read.
    assert min(read[kind] for kind in kinds) >= 5, read
    assert told["reasons"] >= EXAMPLES / 2
    if changed:
        stale = explainer.explain(history_of([(0, ("rating", 5.0))], films), [film.pk for film in films[1:]])
        assert any(found.reasons for found in stale)


def test_what_is_no_longer_true_is_dropped_and_the_shares_of_the_rest_grow():
    heat = make_film("Heat", 1995, genres=["Crime", "Drama"], directors=["Ann"])
    film = make_film("Ronin", 1998, genres=["Crime", "Drama"], directors=["Ann"])
    history = history_of([(0, ("rating", 5.0))], [heat])
    explainer = CataloguePaths()
    before = explain([film.pk], history, explainer=explainer)[film.pk]
    assert [*map(_kind, before.reasons)].count("genre") == 2
    assert [*map(_kind, before.reasons)].count("person") == 1
    Credit.objects.all().delete()
    after = explain([film.pk], history, explainer=explainer)[film.pk]
    assert [*map(_kind, after.reasons)] == ["genre", "genre"]
    check_shares(after)
    kept = {reason.phrase.text: reason.share for reason in before.reasons}
    one, other = (reason.share / kept[reason.phrase.text] for reason in after.reasons)
    assert one == pytest.approx(other)
    assert one > 1


def test_decades_and_countries_are_told_where_nothing_else_is():
    heat = make_film("Heat", 1995, genres=["Crime"], countries=["France"])
    films = [make_film("Ronin", 1998, genres=["Crime"], countries=["France"]), make_film("Ran", 1996)]
    history = history_of([(0, ("rating", 5.0))], [heat])
    found = explain([film.pk for film in films], history, explainer=CataloguePaths())
    assert [*map(_kind, found[films[0].pk].reasons)] == ["genre"]
    assert 0 < found[films[0].pk].weight_share < 1
    assert [*map(_kind, found[films[1].pk].reasons)] == ["decade"]
    assert found[films[1].pk].weight_share > 0.5


def _kind(reason: ShownReason) -> str:
    return reason.kind


def test_credits_moved_to_another_role_are_not_claimed():
    heat, film = make_film("Heat", directors=["Ann"]), make_film("Ronin", directors=["Ann"])
    history = history_of([(0, ("rating", 5.0))], [heat])
    explainer = CataloguePaths()
    Credit.objects.filter(movie=film).update(role="writer")
    assert explain([film.pk], history, explainer=explainer)[film.pk].reasons == ()
    Person.objects.all().delete()
    assert explain([film.pk], history, explainer=explainer)[film.pk].reasons == ()


def test_a_film_of_the_history_is_no_reason_for_itself(films):
    history = history_of([(0, ("click", None)), (1, ("rating", 5.0))], films)
    why = explain([films[0].pk], history, explainer=CataloguePaths())[films[0].pk]
    starts = {chain[1].node.pk for reason in why.reasons for chain in reason.paths}
    assert starts <= {films[1].pk}


def test_hidden_and_unknown_films_are_left_out(films):
    Movie.objects.filter(pk=films[1].pk).update(is_visible=False)
    history = history_of([(0, ("rating", 5.0))], films)
    told = explain([films[1].pk, 987654, films[2].pk], history, explainer=CataloguePaths())
    assert list(told) == [films[2].pk]


def test_only_what_the_history_says_of_one_film(films):
    history = history_of([(0, ("rating", 5.0)), (1, ("rating", 4.0))], films)
    assert history_about(history, films[1].pk).liked == (films[1].pk,)


def test_as_dict_is_plain_and_complete(films):
    import json

    history = history_of([(0, ("rating", 5.0)), (1, ("watchlist", None))], films)
    found = explain([film.pk for film in films[2:]], history, model="for_you", explainer=CataloguePaths())
    why = next(why for why in found.values() if len(why.reasons) > 1)
    told = json.loads(json.dumps(why.as_dict()))
    assert told["movie_id"] == why.movie.pk
    assert sum(reason["share"] for reason in told["reasons"]) + told["rest"] == pytest.approx(1, abs=1e-3)
    first = told["reasons"][0]["paths"][0]
    assert [stop["kind"] for stop in first[:2]] == ["you", "movie"]
    assert first[-1]["id"] == why.movie.pk


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=8))
def test_whole_percents_sum_to_100_and_are_near(weights):
    shares = [weight / sum(weights) for weight in weights]
    percents = whole_percents(shares)
    assert sum(percents) == 100
    assert all(abs(percent - 100 * share) < 1 for percent, share in zip(percents, shares, strict=True))


# -- without KPRN, and what moved the score ------------------------------------------------------------


def trained(films: list[Movie], *names: str) -> None:
    rows = list(
        Rating.objects.filter(value__gte=3).order_by("visitor", "pk").values_list("visitor", "movie_id")
    )
    visitors = {visitor: n for n, visitor in enumerate(dict.fromkeys(visitor for visitor, _film in rows))}
    place = {film.pk: n for n, film in enumerate(films)}
    data = Interactions.from_columns(
        np.array([visitors[visitor] for visitor, _film in rows]),
        np.array([place[film] for _visitor, film in rows]),
        user_ids=np.arange(len(visitors)),
        item_ids=np.array([film.pk for film in films]),
    )
    for name in names:
        train(name, data, registry().store, id_space=FROM_SITE, activate=True)


def test_without_kprn_item_neighbours_give_the_reasons_and_they_are_checked(films):
    trained(films, "neighbours")
    history = history_of([(n, ("rating", 5.0)) for n in range(6)], films)
    found = explain([film.pk for film in films[6:]], history, model="neighbours")
    by_people = [why for why in found.values() if why.reasons]
    assert len(by_people) >= 5
    for why in by_people:
        assert why.source == "neighbours"
        check_shares(why)
        for reason in why.reasons:
            Reader(why.movie, history).check(reason.phrase.text)
    Rating.objects.all().delete()
    gone = explain([film.pk for film in films[6:]], history, model="neighbours")
    assert not any(why.reasons for why in gone.values())


def test_what_moved_the_score_of_the_model_that_answered(films):
    trained(films, "popular", "ease")
    history = history_of([(n, ("rating", 4.0)) for n in range(5)], films)
    asked = [film.pk for film in films[5:]]
    found = explain(asked, history, model="ease", detailed=True, explainer=CataloguePaths())
    moved = [why.influences for why in found.values() if why.influences]
    assert moved
    for shares in moved:
        assert sum(film.share for film in shares.reasons) + shares.rest == pytest.approx(1.0)
        assert sum(film.percent for film in shares.reasons) + shares.rest_percent == 100
        assert all("which you rated 4" in film.phrase.text for film in shares.reasons)
    assert not any(
        why.influences
        for why in explain(
            asked, history, model="popular", detailed=True, explainer=CataloguePaths()
        ).values()
    )


@pytest.mark.parametrize("model", sorted(MODEL_INFO))
def test_a_film_without_a_path_says_what_its_score_came_from(films, model):
    history = history_of([(0, ("rating", 5.0))], films)
    why = explain([films[1].pk], history, model=model)[films[1].pk]
    assert why.reasons == ()
    assert str(MODEL_INFO[model].summary) in why.fallback_text
    assert ("is the same for everyone" in why.fallback_text) == (model in IMPERSONAL_MODELS)


def test_without_a_history_nothing_is_said_about_taste(films):
    why = explain([films[0].pk], History.EMPTY, model="for_you", explainer=CataloguePaths())[films[0].pk]
    assert why.reasons == ()
    assert "not liked a film yet" in why.fallback_text


@pytest.mark.parametrize(("model", "kind"), [("neighbours", "yours"), ("popular", "mean")])
def test_the_line_on_a_card_is_true(films, model, kind):
    trained(films, "neighbours", model)
    chance, told = Random(7), Counter()
    for _ in range(25):
        events = [
            (film, chance.choice(KINDS)) for film in chance.sample(range(N_FILMS), chance.randint(1, 8))
        ]
        history = history_of(events, films)
        cache.clear()  # lists are kept by event ids, which are made up here
        on_its_page = rank_one(chance.choice(films).pk, history)
        ranked = recommend(history, k=12, model=model)
        load_movies(on_its_page, ranked)
        for entry in (*ranked.entries, *on_its_page.entries):
            told[_check_line(entry, history)] += 1
    assert told[kind] >= 50
    assert told["together"] >= 5


def _check_line(entry: RankedMovie, history: History) -> str:
    """Which kind of line it is; fails when it is not true."""
    if found := re.fullmatch(rf"People who liked ({FILM}) liked this too", entry.reason):
        source = Movie.objects.get(title=found[1])
        assert source.pk in history.liked
        assert _likers(source) & _likers(entry.movie)
        return "together"
    if found := re.fullmatch(
        rf"Because (?:you rated |you looked at )?({FILM})( is on your watchlist| [\d½]+)?", entry.reason
    ):
        pk = Movie.objects.get(title=found[1]).pk
        said = found[2] or ""
        if "watchlist" in said:
            assert pk in history.watchlist
        elif said:
            assert history.ratings[pk] == float(said.replace("½", ".5"))
        else:
            assert pk in history.clicked
        return "yours"
    assert entry.reason == mean_sentence(entry.movie)
    return "mean"
