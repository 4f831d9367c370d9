"""Resolve a request's user id or history into the history to rank for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.contrib.auth import get_user_model

from movie.api.authentication import Caller
from movie.api.movie_ids import MovieLookup, are_numbers
from movie.api.problems import Problem
from movie.api.schemas import HistoryEntry, HistorySource
from movie.api.visitor_access import is_dataset_user, require_rankable
from movie.catalogue.models import Rating
from movie.core.converters import MAX_ID
from movie.events.history import get_history
from movie.experiments.assignment import Arm, assign_arm
from movie.recommendations.ranking import RankingOptions
from predictors.history import History, MovieId

MEMBER = "user:"


def resolve_history(source: HistorySource, caller: Caller, where: str = "body") -> History:
    """Return the history to rank for; the films of a sent one are numbers of this site (`with_site_ids`).

    Raises Problem: 404 for an unknown user, 401 and 403 for a user that the caller may not rank for.
    """
    if source.history is not None:
        return request_history(source.history)  # type: ignore[arg-type]
    visitor = require_rankable(caller, source.user_id, where)
    history = get_history(visitor)
    if not history and not _is_member(visitor):
        raise unknown_user(source.user_id)
    return history


def resolve_histories(sources: Mapping[int, HistorySource], caller: Caller) -> dict[int, History | Problem]:
    """Return the history of each source, or the problem with it; users of data sets take one query."""
    from_data_sets = {
        source.user_id
        for source in sources.values()
        if source.history is None and is_dataset_user(source.user_id)
    }
    stored = _histories_of(from_data_sets)
    found: dict[int, History | Problem] = {}
    for position, source in sources.items():
        if source.history is None and source.user_id in stored:
            found[position] = stored[source.user_id]
            continue
        try:
            found[position] = resolve_history(source, caller)
        except Problem as problem:
            found[position] = problem
    return found


def arm_of(source: HistorySource, options: RankingOptions, caller: Caller, where: str = "body") -> Arm | None:
    """Return the arm of the running experiment that a visitor is in.

    None for a history that was sent, for users of data sets, and where a model was named.
    """
    if source.user_id is None or options.model is not None or is_dataset_user(source.user_id):
        return None
    return assign_arm(require_rankable(caller, source.user_id, where))


def with_site_ids(source: HistorySource, lookup: MovieLookup, unknown: list[str]) -> HistorySource:
    """Return a source whose films are numbers of this site; ids that no film has are left out and listed.

    Raises Problem (422) for an id of a source that nobody here knows.
    """
    if source.history is None or are_numbers(source.history):
        return source
    history: list[int | HistoryEntry] = []
    for position, entry in enumerate(source.history):
        ref = entry.movie_id if isinstance(entry, HistoryEntry) else entry
        field = f"history[{position}]" + (".movie_id" if isinstance(entry, HistoryEntry) else "")
        found = lookup.get(ref, field)
        if found is None:
            unknown.append(str(ref))
        elif isinstance(entry, HistoryEntry):
            history.append(entry.model_copy(update={"movie_id": found}))
        else:
            history.append(found)
    return source.model_copy(update={"history": history})


def request_history(entries: Sequence[int | HistoryEntry]) -> History:
    """Build a history from movies with or without stars, oldest first.

    Where every entry has a time, the times decide. A movie that occurs again stands where it was last, and
    its latest stars count.
    """
    if are_numbers(entries):
        latest_first: dict[Any, None] = dict.fromkeys(reversed(entries))
        return History.from_stars(dict.fromkeys(reversed(latest_first)))
    stars: dict[MovieId, float | None] = {}  # in the order of each movie's last entry
    for entry in _in_order(entries):
        movie_id: Any
        movie_id, rating = (entry, None) if isinstance(entry, int) else (entry.movie_id, entry.rating)
        earlier = stars.pop(movie_id, None)
        stars[movie_id] = earlier if rating is None else rating
    return History.from_stars(stars)


def unknown_user(user_id: str) -> Problem:
    return Problem(404, f"There is no user {user_id!r}.")


def _in_order(entries: Sequence[int | HistoryEntry]) -> Sequence[int | HistoryEntry]:
    timed = [entry for entry in entries if isinstance(entry, HistoryEntry) and entry.at is not None]
    if len(timed) < len(entries):
        return entries
    timed.sort(key=lambda entry: entry.at)
    return list(timed)


def _is_member(user_id: str) -> bool:
    """Return whether this id is an account's, which may have no history yet."""
    pk = user_id.removeprefix(MEMBER)
    if pk == user_id or not (pk.isascii() and pk.isdecimal()) or int(pk) > MAX_ID:
        return False
    return get_user_model().objects.filter(pk=pk).exists()


def _histories_of(users: Iterable[str]) -> dict[str, History]:
    """Return histories of users of data sets; ratings of the same time are in order of their movie ids."""
    rows = Rating.objects.filter(visitor__in=users).values_list("visitor", "movie_id", "value", "rated_at")
    stars: dict[str, dict[MovieId, float | None]] = defaultdict(dict)
    for visitor, movie_id, value, _at in sorted(rows, key=lambda row: (row[3], str(row[1]))):
        stars[visitor][movie_id] = value
    return {visitor: History.from_stars(ratings) for visitor, ratings in stars.items()}
