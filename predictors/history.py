"""Histories and recommendations: Interaction, History, Reason, Recommendation.

The module imports the standard library alone, so that settings, views and commands can import it.
"""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from operator import attrgetter, itemgetter
from typing import Any, ClassVar, NamedTuple

MovieId = int | str

EVENT_KINDS = ("click", "rating", "dismiss", "watchlist", "watch", "undo", "impression")
UNDOABLE = ("rating", "dismiss", "watchlist", "watch")
REWATCHED = 1.0  # value of a watch of a movie that had been seen before
LIKED_FROM = 3.0  # stars; below it a rating says "not for me"
HIGHEST_RATING = 5.0
TIMELESS_START = datetime(2000, 1, 1, tzinfo=UTC)  # first time in a history that was sent without times
IMPLICIT_STRENGTH = 0.5  # of a click, a watch or a watchlist entry; five stars have 1.0
MOST_WEIGHT = 10.0  # of a click


@dataclass(frozen=True, slots=True)
class Counting:
    """Says how much each kind of event without stars counts, from 0, not at all, to 1, as five stars do.

    click           a click of weight 1
    watch           a watch, or a play of at least `least_progress`
    unfinished      a play of less, which is no viewing: the movie is not in the diary and can come again
    watchlist       an entry of the watchlist
    least_progress  share of a movie, 0 to 1, from which on a play counts as a watch
    """

    click: float = IMPLICIT_STRENGTH
    watch: float = IMPLICIT_STRENGTH
    unfinished: float = 0.0
    watchlist: float = IMPLICIT_STRENGTH
    least_progress: float = 0.7

    @classmethod
    def parse(cls, text: str) -> Counting:
        """Read "click=0.5,watch=0.8"; what is not named keeps its default. Raises ValueError."""
        values = {}
        for part in filter(None, map(str.strip, text.split(","))):
            name, _equals, value = part.partition("=")
            if name.strip() not in {each.name for each in fields(cls)}:
                raise ValueError(f"{name} is none of: {', '.join(each.name for each in fields(cls))}")
            values[name.strip()] = float(value)
        return cls(**values)

    def __post_init__(self) -> None:
        for each in fields(self):
            if not 0 <= getattr(self, each.name) <= 1:
                raise ValueError(f"{each.name} must be from 0 to 1, not {getattr(self, each.name)}")


class Interaction(NamedTuple):
    """Records one action of a visitor on a movie. A tuple is made in a sixth of the time of a dataclass.

    event_id    UUIDv7 string, so that ids sort by time
    kind        one of EVENT_KINDS; a watch is an entry of the visitor's diary
    at          UTC
    value       of a rating 0.5 to 5 stars in halves, None clears the rating before it; of a dismissal, a
                watchlist entry or a watch 0 withdraws it; of a watch REWATCHED
    watched_on  of a watch the day on which the movie was seen, None where nobody knows
    progress    of a watch the share of the movie that was played, 0 to 1; None stands for all of it
    weight      of a click how much it counts, above 0 and up to MOST_WEIGHT; None stands for 1
    """

    event_id: str
    visitor: str
    kind: str
    movie_id: MovieId
    at: datetime
    value: float | None = None
    surface: str = ""
    recommendation_id: str = ""
    watched_on: date | None = None
    progress: float | None = None
    weight: float | None = None


# The fields of an interaction that rankings read, and their values. The order of the rows stands for times.
RANKING_FIELDS = ("kind", "movie_id", "value", "watched_on", "progress", "weight")
RankingRow = tuple[str, MovieId, float | None, date | None, float | None, float | None]
_ranking_row = attrgetter(*RANKING_FIELDS)


class Watch(NamedTuple):
    """Says when a movie was seen; `day` is None where nobody knows, and `is_again` of a rewatch."""

    day: date | None
    is_again: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """Explains why a movie is in a list.

    kind      code of the argument, such as `similar_to`
    movie_id  movie of the history that the argument refers to, if any
    weight    share of the score, 0 to 1
    """

    kind: str
    movie_id: MovieId | None = None
    weight: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Holds a recommended movie, its score by the model, and the reasons."""

    movie_id: MovieId
    score: float
    reasons: tuple[Reason, ...] = ()


class _MovieState(NamedTuple):
    """Holds the state of one movie after all events so far."""

    rating: float | None = None
    dismissed: bool = False
    watchlist: bool = False
    clicked: float = 0.0  # the largest weight of a click
    watches: tuple[Watch, ...] = ()
    is_begun: bool = False  # was played, but not far enough for a watch


UNTOUCHED = _MovieState()


class _Facts(NamedTuple):
    """Holds the facts that follow from the states of all movies; see the properties of `History`."""

    ratings: dict[MovieId, float]
    dismissed: set[MovieId]
    watchlist: set[MovieId]
    clicked: set[MovieId]
    watches: dict[MovieId, tuple[Watch, ...]]
    disliked: dict[MovieId, None]
    strength: dict[MovieId, float]


@cache
def _state_of(stars: float | None) -> _MovieState:
    return _MovieState(rating=stars, clicked=float(stars is None))


def _state_after(state: _MovieState, row: RankingRow, counting: Counting) -> _MovieState:
    """Return the state of a movie after an interaction; itself after an impression, or an undo."""
    kind, _movie, value, watched_on, progress, weight = row
    rating, is_dismissed, on_watchlist, clicked, watches, is_begun = state
    match kind:
        case "click":
            clicked = max(clicked, 1.0 if weight is None else weight)
        case "rating":
            rating = value
        case "dismiss":
            is_dismissed = value != 0
        case "watchlist":
            on_watchlist = value != 0
        case "watch" if progress is None or progress >= counting.least_progress:
            watches = _watches_after(watches, watched_on, value)
        case "watch":
            is_begun = True
        case _:
            return state
    # _replace takes six times as long
    return _MovieState(rating, is_dismissed, on_watchlist, clicked, watches, is_begun)


def _implicit_strength(state: _MovieState, counting: Counting) -> float:
    """Return the strength of a movie without stars: that of what says most."""
    return max(
        min(1.0, counting.click * state.clicked),
        counting.watchlist if state.watchlist else 0.0,
        counting.watch if state.watches else 0.0,
        counting.unfinished if state.is_begun else 0.0,
    )


def _watches_after(watches: tuple[Watch, ...], day: date | None, value: float | None) -> tuple[Watch, ...]:
    """Return the diary of a movie after a watch: one entry a day, earliest first."""
    others = [each for each in watches if each.day != day]
    if value != 0:
        others.append(Watch(day, value == REWATCHED))
    return tuple(sorted(others, key=lambda each: each.day or date.min))


class History:
    """Holds a visitor's interactions, oldest first, and derives liked, disliked and seen movies. Immutable.

    A rating, a dismissal, a watchlist entry or a watch holds until it is changed; `undo` reverts the latest
    of them for its movie. Clicks cannot be undone, only deleted.
    """

    EMPTY: ClassVar[History]
    counting: ClassVar[Counting] = Counting()  # of this site: the settings replace it when it starts
    has_times: bool = True  # whether interactions say when they were, not in which order alone

    def __init__(self, interactions: Iterable[Interaction] = ()) -> None:
        self.__dict__["interactions"] = tuple(sorted(interactions, key=attrgetter("at", "event_id")))

    @classmethod
    def from_rows(cls, rows: Iterable[RankingRow]) -> History:
        """Build a history from values of RANKING_FIELDS, oldest first.

        It ranks as the same interactions do. The times of its own express the order alone.
        """
        history = cls.__new__(cls)
        history.__dict__ |= {"_rows": list(rows), "has_times": False}
        return history

    @classmethod
    def from_stars(cls, stars: Mapping[Any, float | None]) -> History:
        """Build a history from stars by movie, oldest first; None counts as a click.

        All its movies are `known`. Rankings do not read the interactions, so they are built when they are
        read: for 200 movies that takes longer than ranking.
        """
        history = cls.__new__(cls)
        history.__dict__["_states"] = {movie: _state_of(value) for movie, value in stars.items()}
        history.__dict__ |= {"known": stars.keys(), "has_times": False}
        return history

    @cached_property
    def interactions(self) -> tuple[Interaction, ...]:
        """Return the interactions in order. Of a history without times these express the order alone."""
        return tuple(
            Interaction(
                event_id=f"sent {position:05}",
                visitor="",
                kind=kind,
                movie_id=movie,
                at=TIMELESS_START + timedelta(minutes=position),
                value=value,
                watched_on=watched_on,
                progress=progress,
                weight=weight,
            )
            for position, (kind, movie, value, watched_on, progress, weight) in enumerate(self._rows)
        )

    @cached_property
    def _rows(self) -> list[RankingRow]:
        """Return RANKING_FIELDS of every interaction, oldest first; one for each movie of `from_stars`."""
        if "interactions" in self.__dict__:
            return [_ranking_row(each) for each in self.interactions]
        return [
            ("click" if state.rating is None else "rating", movie, state.rating, None, None, None)
            for movie, state in self._states.items()
        ]

    def movies_of(self, kinds: Container[str]) -> list[MovieId]:
        """Return the movie of each interaction of these kinds, oldest first."""
        return [row[1] for row in self._rows if row[0] in kinds]

    def filtered(self, keeps: Callable[[MovieId], bool]) -> History:
        """Return the interactions whose movie `keeps` accepts, without times."""
        return History.from_rows(row for row in self._rows if keeps(row[1]))

    @cached_property
    def digest(self) -> bytes:
        """Return 16 bytes that another interaction, or another value of one, would change, but not a time."""
        columns = [*zip(*self._rows, strict=True)]
        if columns:
            columns[3] = tuple([day and day.isoformat() for day in columns[3]])
        # In half the time of text. Later versions write equal values in several ways, this one in one.
        return hashlib.blake2b(marshal.dumps(columns, 2), digest_size=16).digest()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Interaction]:
        return iter(self.interactions)

    def __repr__(self) -> str:
        return f"History({len(self)} interactions, {len(self.liked)} liked)"

    @cached_property
    def _states(self) -> dict[MovieId, _MovieState]:
        """Return the state of every movie of the history, in order of its latest event."""
        before: dict[MovieId, list[_MovieState]] = {}
        now: dict[MovieId, _MovieState] = {}
        can_go_back = "undo" in map(itemgetter(0), self._rows)
        for row in self._rows:
            kind, movie, value, _day, _progress, weight = row
            state = now.get(movie, UNTOUCHED)
            if can_go_back and kind in UNDOABLE:
                before.setdefault(movie, []).append(state)
            if state is UNTOUCHED and kind == "rating" and value is not None:
                now[movie] = _state_of(value)  # as most are, in a fifth of the time of the rest
            elif state is UNTOUCHED and kind == "click" and weight is None:
                now[movie] = _state_of(None)
            elif kind == "undo":
                if before.get(movie):  # an undo is no new interest: the movie keeps its position
                    now[movie] = before[movie].pop()._replace(clicked=state.clicked)
            elif (changed := _state_after(state, row, self.counting)) is not state:
                now.pop(movie, None)
                now[movie] = changed
        return now

    @cached_property
    def taken_back(self) -> frozenset[str]:
        """Event ids of every undo that had an effect, and of the event that it reverted."""
        live: dict[MovieId, list[str]] = {}
        gone: set[str] = set()
        for each in self.interactions:
            if each.kind in UNDOABLE:
                live.setdefault(each.movie_id, []).append(each.event_id)
            elif each.kind == "undo" and live.get(each.movie_id):
                gone |= {each.event_id, live[each.movie_id].pop()}
        return frozenset(gone)

    @cached_property
    def _facts(self) -> _Facts:
        """Return all facts that follow from the states, computed in one pass."""
        facts = _Facts({}, set(), set(), set(), {}, {}, {})
        ratings, dismissed, watchlist, clicked, watches, disliked, strengths = facts
        implicit: dict[_MovieState, float] = {}  # by state: most movies of a history share a few
        for movie, state in self._states.items():
            rating, is_dismissed, on_watchlist, weight, entries, _is_begun = state
            if is_dismissed:
                dismissed.add(movie)
            if on_watchlist:
                watchlist.add(movie)
            if weight:
                clicked.add(movie)
            if entries:
                watches[movie] = entries
            if rating is not None:
                ratings[movie] = rating
                strength = rating / HIGHEST_RATING if rating >= LIKED_FROM else 0.0
            else:
                if state not in implicit:
                    implicit[state] = _implicit_strength(state, self.counting)
                strength = implicit[state]
            if is_dismissed or (rating is not None and not strength):
                disliked[movie] = None
            elif strength:
                strengths[movie] = strength
        return facts

    @property
    def ratings(self) -> dict[MovieId, float]:
        """Current stars by movie, 0.5 to 5."""
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
    def watches(self) -> dict[MovieId, tuple[Watch, ...]]:
        """Entries of the diary by movie, earliest day first; one without a day comes first."""
        return self._facts.watches

    @property
    def disliked(self) -> Set[MovieId]:
        """Movies that were dismissed, or rated below `LIKED_FROM`, oldest first."""
        return self._facts.disliked.keys()

    @cached_property
    def seen(self) -> Set[MovieId]:
        """Movies that were rated, watched or dismissed, which are not recommended again; a click is no
        viewing.
        """
        return self.dismissed | self.ratings.keys() | self.watches.keys()

    @cached_property
    def known(self) -> Collection[MovieId]:
        """Movies that a list for this history leaves out: those that were seen."""
        return self.seen

    @property
    def strength(self) -> dict[MovieId, float]:
        """Weight of each liked movie, in (0, 1], in time order."""
        return self._facts.strength

    @cached_property
    def liked(self) -> tuple[MovieId, ...]:
        """Liked movies, oldest first, each once and at its latest position."""
        return tuple(self.strength)


History.EMPTY = History()
