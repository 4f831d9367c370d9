"""Resolve a request's user id or history into the history to rank for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from django.contrib.auth import get_user_model

from movie.api.authentication import Caller
from movie.api.movie_ids import MovieLookup, Ref
from movie.api.problems import Problem
from movie.api.schemas import MAX_CANDIDATES, MAX_K, HistoryEntry, HistorySource, RankingRequest
from movie.api.visitor_access import is_dataset_user, require_rankable
from movie.catalogue.models import Rating
from movie.core.converters import MAX_ID
from movie.events.history import get_history
from predictors.history import History, MovieId

MEMBER = "user:"
T = TypeVar("T", bound=RankingRequest)


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


def refs_of(options: RankingRequest, *sources: HistorySource) -> Iterator[Ref]:
    """Yield the ids of all films that a request names."""
    for source in sources:
        for entry in source.history or ():
            yield entry.movie_id if isinstance(entry, HistoryEntry) else entry
    yield from options.exclude
    yield from options.candidates or ()


def with_site_ids(source: HistorySource, lookup: MovieLookup, unknown: list[str]) -> HistorySource:
    """Return a source whose films are numbers of this site; ids that no film has are left out and listed.

    Raises Problem (422) for an id of a source that nobody here knows.
    """
    if source.history is None or all(isinstance(each, int) for each in source.history):
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


def options_with_site_ids(options: T, lookup: MovieLookup, unknown: list[str]) -> T:
    """Return options whose films are numbers of this site, as `with_site_ids`; all candidates where no `k`
    is given."""
    changes: dict[str, Any] = {"exclude": lookup.known(options.exclude, "exclude", unknown)}
    if options.candidates is not None:
        changes["candidates"] = lookup.known(options.candidates, "candidates", unknown)
        if "k" not in options.model_fields_set:
            most = MAX_K if getattr(options, "explain", False) else MAX_CANDIDATES
            changes["k"] = min(len(options.candidates), most)
    return options.model_copy(update=changes)


def request_history(entries: Sequence[int | HistoryEntry]) -> History:
    """Build a history from movies with or without stars, oldest first.

    Where every entry has a time, the times decide. A movie that occurs again stands where it was last, and
    its latest stars count.
    """
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
