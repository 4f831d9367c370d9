"""The words that every part of the site shares: Interaction, History, Reason, Recommendation.

Nothing heavy is imported here, so that settings, views and commands can use them freely.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import ClassVar, NamedTuple

MovieId = int | str

EVENT_KINDS = ("click", "rating", "dismiss", "watchlist", "undo", "impression")
UNDOABLE = ("rating", "dismiss", "watchlist")
LIKED_FROM = 3.0  # stars; below it a rating says "not for me"
HIGHEST_RATING = 5.0
IMPLICIT_STRENGTH = 0.5  # a click or a place on the watchlist, against 1.0 for five stars


@dataclass(frozen=True, slots=True)
class Interaction:
    """One thing a visitor did.

    `event_id` is a UUIDv7 string, so ids sort by time. `value` is 0.5 to 5 stars in halves for
    a rating; a rating without a value clears the earlier one. A dismissal or a place on the
    watchlist is given up by another one with the value 0.
    """

    event_id: str
    visitor: str
    kind: str
    movie_id: MovieId
    at: datetime
    value: float | None = None
    surface: str = ""
    recommendation_id: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a film is in a list. `kind` names the argument, `movie_id` the film it points to."""

    kind: str
    movie_id: MovieId | None = None
    weight: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recommendation:
    movie_id: MovieId
    score: float
    reasons: tuple[Reason, ...] = ()


class _Standing(NamedTuple):
    """What holds for one film after all events so far."""

    rating: float | None = None
    dismissed: bool = False
    watchlist: bool = False
    clicked: bool = False


class History:
    """A visitor's interactions, oldest first, and what follows from them. Immutable.

    A rating, a dismissal or a place on the watchlist stands until it is changed; `undo` takes
    back the latest of them for that film. Clicks cannot be undone, only deleted.
    """

    EMPTY: ClassVar[History]

    def __init__(self, interactions: Iterable[Interaction] = ()) -> None:
        self.interactions: tuple[Interaction, ...] = tuple(
            sorted(interactions, key=lambda interaction: (interaction.at, interaction.event_id))
        )

    def __len__(self) -> int:
        return len(self.interactions)

    def __iter__(self) -> Iterator[Interaction]:
        return iter(self.interactions)

    def __repr__(self) -> str:
        return f"History({len(self.interactions)} interactions, {len(self.liked)} liked)"

    @cached_property
    def _standings(self) -> dict[MovieId, _Standing]:
        """The state of every film that was touched, in order of its latest positive event."""
        before: dict[MovieId, list[_Standing]] = {}
        now: dict[MovieId, _Standing] = {}
        for event in self.interactions:
            film = event.movie_id
            state = now.get(film, _Standing())
            match event.kind:
                case "click":
                    changed = state._replace(clicked=True)
                case "rating":
                    before.setdefault(film, []).append(state)
                    changed = state._replace(rating=event.value)
                case "dismiss":
                    before.setdefault(film, []).append(state)
                    changed = state._replace(dismissed=event.value != 0)
                case "watchlist":
                    before.setdefault(film, []).append(state)
                    changed = state._replace(watchlist=event.value != 0)
                case "undo":
                    if not before.get(film):
                        continue
                    changed = before[film].pop()._replace(clicked=state.clicked)
                    now[film] = changed  # an undo is no new interest: the film keeps its place
                    continue
                case _:
                    continue
            now.pop(film, None)
            now[film] = changed
        return now

    @cached_property
    def taken_back(self) -> frozenset[str]:
        """Event ids of every undo that had an effect, and of what it took back."""
        live: dict[MovieId, list[str]] = {}
        gone: set[str] = set()
        for event in self.interactions:
            if event.kind in UNDOABLE:
                live.setdefault(event.movie_id, []).append(event.event_id)
            elif event.kind == "undo" and live.get(event.movie_id):
                gone |= {event.event_id, live[event.movie_id].pop()}
        return frozenset(gone)

    @cached_property
    def ratings(self) -> dict[MovieId, float]:
        """Current stars by film."""
        return {film: s.rating for film, s in self._standings.items() if s.rating is not None}

    @cached_property
    def dismissed(self) -> frozenset[MovieId]:
        return frozenset(film for film, s in self._standings.items() if s.dismissed)

    @cached_property
    def watchlist(self) -> frozenset[MovieId]:
        return frozenset(film for film, s in self._standings.items() if s.watchlist)

    @cached_property
    def clicked(self) -> frozenset[MovieId]:
        return frozenset(film for film, s in self._standings.items() if s.clicked)

    @cached_property
    def disliked(self) -> frozenset[MovieId]:
        """Dismissed, or rated below `LIKED_FROM`."""
        return self.dismissed | {film for film, value in self.ratings.items() if value < LIKED_FROM}

    @cached_property
    def seen(self) -> frozenset[MovieId]:
        """Rated or dismissed: not to be recommended again. A click alone is interest, not a viewing."""
        return self.dismissed | self.ratings.keys()

    @cached_property
    def strength(self) -> dict[MovieId, float]:
        """How much each liked film counts, in (0, 1], in time order."""
        strength: dict[MovieId, float] = {}
        for film, state in self._standings.items():
            if film in self.disliked:
                continue
            if state.rating is not None:
                strength[film] = state.rating / HIGHEST_RATING
            elif state.watchlist or state.clicked:
                strength[film] = IMPLICIT_STRENGTH
        return strength

    @cached_property
    def liked(self) -> tuple[MovieId, ...]:
        """Positive films, oldest first, each once and at its latest place."""
        return tuple(self.strength)


History.EMPTY = History()
