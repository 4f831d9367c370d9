"""The "try it" panel: what the model of a review makes of the reader's own history, or of an example.

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
    """A taste anyone can imagine: much-rated films of one genre."""

    genre: str
    films: tuple[tuple[int, str], ...]  # (id, title), most rated first

    def history(self) -> History:
        """Return five stars for each, the most rated movie last."""
        return History.from_stars({pk: HIGHEST_RATING for pk, _title in reversed(self.films)})


@dataclass(frozen=True, slots=True)
class Trial:
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
        """What "Why?" asks of each film; that page explains the reader's own history, not an example."""
        return self.ranked.why if self.ranked and not self.example else ""


def trial(visitor: Visitor, model: str, asked: str = "") -> Trial:
    """Let `model` rank for the history that was asked for: `mine`, a genre, or whatever there is."""
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
    return Trial(
        chosen=example.genre if example else MINE,
        has_own=bool(own.liked),
        examples=offered,
        example=example,
        history=own,
        ranked=ranked if answered else None,
        refused="" if answered else ranked.fallback_text,
    )


def _say_example(ranked: RankedList, example: Example) -> None:
    """The reader rated none of these films, so no reason may say so."""
    titles = dict(example.films)
    reasons = {found.movie_id: found.reasons for found in ranked.recommendations}
    for entry in ranked.entries:
        given = next((each for each in reasons[entry.movie.pk] if each.movie_id in titles), None)
        if given is not None and given.kind != "liked_together":
            entry.reason = _("Because %(title)s is in the example") % {
                "title": titles[int(given.movie_id or 0)]
            }


def examples() -> tuple[Example, ...]:
    """Up to four genres with five films each; no film stands in two of them."""
    rows = cache.get_or_set("paper-examples", _example_rows, EXAMPLE_SECONDS) or []
    return tuple(Example(genre, tuple((pk, title) for pk, title in films)) for genre, films in rows)


def _example_rows() -> list[tuple[str, list[tuple[int, str]]]]:
    """Genres with (id, title) of their films, as every cache can keep them."""
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
