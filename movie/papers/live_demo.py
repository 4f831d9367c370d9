"""The live demo of a review: its model ranks for the reader's own history, or for an example.

An example is made by rule from the catalogue: the most rated films of one genre, five stars each. The
genres are those whose films are rated most.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.core.cache import cache
from django.utils.translation import gettext as _

from movie.catalogue.models import Movie
from movie.recommendations.ranked_list import RankedList, load_movies
from movie.recommendations.ranking import recommend, visitor_history
from movie.telemetry.requests import count_shown
from movie.visitors.visitor import Visitor
from predictors.history import HIGHEST_RATING, History

FILMS_SHOWN = 6
EXAMPLES, EXAMPLE_FILMS = 4, 5
WELL_KNOWN = 200  # an example is made of the most rated films only: a reader should know some
EXAMPLE_SECONDS = 600
MINE = "mine"


@dataclass(frozen=True, slots=True)
class Example:
    """An example history: much-rated movies of one genre."""

    genre: str
    films: tuple[tuple[int, str], ...]  # (id, title), most rated first

    def history(self) -> History:
        """Return five stars for each, the most rated movie last."""
        return History.from_stars({pk: HIGHEST_RATING for pk, _title in reversed(self.films)})


@dataclass(frozen=True, slots=True)
class Demo:
    """A list, or the reason why there is none. `chosen` is `mine` or the genre of the example."""

    chosen: str
    has_own: bool
    examples: tuple[Example, ...]
    example: Example | None
    history: History
    ranked: RankedList | None
    refused: str = ""

    @property
    def why(self) -> str:
        """Return the query of the "Why?" links; "" for an example, which that page does not explain."""
        return self.ranked.why if self.ranked and not self.example else ""


def run_demo(visitor: Visitor, model: str, asked: str = "") -> Demo:
    """Rank by `model` for the requested history: `mine`, the genre of an example, or the first there is."""
    own = visitor_history(visitor)
    offered = examples()
    by_genre = {example.genre: example for example in offered}
    example = by_genre.get(asked)
    if example is None and (not own.liked or asked not in ("", MINE)):
        example = offered[0] if offered else None
    history = example.history() if example else own
    ranked = recommend(history, k=FILMS_SHOWN, model=model)
    answered = ranked.model == model
    if answered:
        load_movies(ranked)
        count_shown([ranked])
        if example:
            _say_example(ranked, example)
    return Demo(
        chosen=example.genre if example else MINE,
        has_own=bool(own.liked),
        examples=offered,
        example=example,
        history=own,
        ranked=ranked if answered else None,
        refused="" if answered else ranked.fallback_text,
    )


def _say_example(ranked: RankedList, example: Example) -> None:
    """Replace reasons that say the reader rated a movie of the example."""
    titles = dict(example.films)
    reasons = {found.movie_id: found.reasons for found in ranked.recommendations}
    for entry in ranked.entries:
        given = next((each for each in reasons[entry.movie.pk] if each.movie_id in titles), None)
        if given is not None and given.kind != "liked_together":
            entry.reason = _("Because %(title)s is in the example") % {
                "title": titles[int(given.movie_id or 0)]
            }


def examples() -> tuple[Example, ...]:
    """Return up to four genres with five movies each; no movie is in two of them."""
    rows = cache.get_or_set("paper-examples", _example_rows, EXAMPLE_SECONDS) or []
    return tuple(Example(genre, tuple((pk, title) for pk, title in films)) for genre, films in rows)


def _example_rows() -> list[tuple[str, list[tuple[int, str]]]]:
    """Return genres with (id, title) of their movies, as plain lists for the cache."""
    rated = Movie.objects.visible().filter(rating_count__gt=0).most_rated()
    films = list(rated.only("title", "rating_count").prefetch_related("genres")[:WELL_KNOWN])
    weight: dict[str, int] = defaultdict(int)
    for film in films:
        for genre in film.genre_names:
            weight[genre] += film.rating_count
    made: list[tuple[str, list[tuple[int, str]]]] = []
    taken: set[int] = set()
    for genre in sorted(weight, key=lambda name: (-weight[name], name)):
        free = [film for film in films if genre in film.genre_names and film.pk not in taken]
        if len(free) >= EXAMPLE_FILMS and len(made) < EXAMPLES:
            chosen = free[:EXAMPLE_FILMS]
            taken |= {film.pk for film in chosen}
            made.append((genre, [(film.pk, film.title) for film in chosen]))
    return made
