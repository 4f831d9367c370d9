"""The words that every part of the site shares: Interaction, History, Reason, Recommendation.

Nothing heavy is imported here, so that settings, views and commands can use them freely.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

MovieId = int | str

EVENT_KINDS = ("click", "rating", "dismiss", "watchlist", "undo", "impression")
UNDOABLE = ("rating", "dismiss", "watchlist")
LIKED_FROM = 3.0  # stars; below it a rating says "not for me"
HIGHEST_RATING = 5.0
UNTOLD_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # of the first movie of a history that came without times
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


class _Facts(NamedTuple):
    """What follows from the standings of all films; see the properties of `History`."""

    ratings: dict[MovieId, float]
    dismissed: set[MovieId]
    watchlist: set[MovieId]
    clicked: set[MovieId]
    disliked: set[MovieId]
    strength: dict[MovieId, float]


@cache
def _standing_of(stars: float | None) -> _Standing:
    return _Standing(rating=stars, clicked=stars is None)


class History:
    """A visitor's interactions, oldest first, and what follows from them. Immutable.

    A rating, a dismissal or a place on the watchlist stands until it is changed; `undo` takes
    back the latest of them for that film. Clicks cannot be undone, only deleted.
    """

    EMPTY: ClassVar[History]

    def __init__(self, interactions: Iterable[Interaction] = ()) -> None:
        self.__dict__["interactions"] = tuple(sorted(interactions, key=attrgetter("at", "event_id")))

    @classmethod
    def from_stars(cls, stars: Mapping[Any, float | None]) -> History:
        """Build the history of a program that sends stars by movie, oldest first; None counts as a click.

        Everything in it is `known`. The interactions, which rankings need not, are made when they are read:
        for 200 movies that takes longer than ranking them.
        """
        history = cls.__new__(cls)
        history.__dict__["_standings"] = {film: _standing_of(value) for film, value in stars.items()}
        history.__dict__["known"] = stars.keys()
        return history

    @cached_property
    def interactions(self) -> tuple[Interaction, ...]:
        """One for each movie, in order; their times keep the order and say nothing else."""
        return tuple(
            Interaction(
                event_id=f"sent {position:05}",
                visitor="",
                kind="rating" if state.rating is not None else "click",
                movie_id=film,
                at=UNTOLD_TIME + timedelta(minutes=position),
                value=state.rating,
            )
            for position, (film, state) in enumerate(self._standings.items())
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
    def _facts(self) -> _Facts:
        """Everything that follows from the standings, in one pass."""
        facts = _Facts({}, set(), set(), set(), set(), {})
        for film, (rating, is_dismissed, on_watchlist, is_clicked) in self._standings.items():
            if is_dismissed:
                facts.dismissed.add(film)
            if on_watchlist:
                facts.watchlist.add(film)
            if is_clicked:
                facts.clicked.add(film)
            if rating is not None:
                facts.ratings[film] = rating
                strength = rating / HIGHEST_RATING if rating >= LIKED_FROM else 0.0
            else:
                strength = IMPLICIT_STRENGTH if on_watchlist or is_clicked else 0.0
            if is_dismissed or (rating is not None and not strength):
                facts.disliked.add(film)
            elif strength:
                facts.strength[film] = strength
        return facts

    @property
    def ratings(self) -> dict[MovieId, float]:
        """Current stars by film."""
        return self._facts.ratings

    @property
    def dismissed(self) -> Set[MovieId]:
        return self._facts.dismissed

    @property
    def watchlist(self) -> Set[MovieId]:
        return self._facts.watchlist

    @property
    def clicked(self) -> Set[MovieId]:
        return self._facts.clicked

    @property
    def disliked(self) -> Set[MovieId]:
        """Dismissed, or rated below `LIKED_FROM`."""
        return self._facts.disliked

    @cached_property
    def seen(self) -> Set[MovieId]:
        """Rated or dismissed: not to be recommended again. A click alone is interest, not a viewing."""
        return self.dismissed | self.ratings.keys()

    @cached_property
    def known(self) -> Collection[MovieId]:
        """The movies that a list for this history leaves out: what was seen."""
        return self.seen

    @property
    def strength(self) -> dict[MovieId, float]:
        """How much each liked film counts, in (0, 1], in time order."""
        return self._facts.strength

    @cached_property
    def liked(self) -> tuple[MovieId, ...]:
        """Positive films, oldest first, each once and at its latest place."""
        return tuple(self.strength)


History.EMPTY = History()
