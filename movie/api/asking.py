"""Whom a list is for: from a user id or a sent history to what is told of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from django.contrib.auth import get_user_model

from movie.api.keys import Caller
from movie.api.problems import Problem
from movie.api.schemas import LARGEST_ID, Asker
from movie.api.told import KnownHistory, SentHistory, Told
from movie.api.visitor_ids import OF_CLIENTS, OF_SITE, askable_visitor
from movie.history import get_history
from movie.models import Rating

MEMBER = "user:"


def told_of(asker: Asker, caller: Caller, where: str = "body") -> Told:
    """Raises Problem: 404 for somebody unknown, 401 and 403 for whom the caller may not ask about."""
    if asker.history is not None:
        return SentHistory(asker.history)
    visitor = askable_visitor(caller, asker.user_id, where)
    history = get_history(visitor)
    if not history and not _is_member(visitor):
        raise unknown_user(asker.user_id)
    return KnownHistory(history)


def told_of_all(askers: Mapping[int, Asker], caller: Caller) -> dict[int, Told | Problem]:
    """`told_of` for many, with what stands in the way of each; users of data sets in one query."""
    from_data_sets = {
        asker.user_id
        for asker in askers.values()
        if asker.history is None and _has_ratings_only(asker.user_id)
    }
    ratings = _ratings_of(from_data_sets)
    found: dict[int, Told | Problem] = {}
    for place, asker in askers.items():
        if asker.history is None and asker.user_id in ratings:
            found[place] = SentHistory.of_ratings(ratings[asker.user_id])
            continue
        try:
            found[place] = told_of(asker, caller)
        except Problem as problem:
            found[place] = problem
    return found


def _has_ratings_only(user_id: str) -> bool:
    """Whether this is somebody out of a data set: public, and without interactions."""
    kind, colon, _ = user_id.partition(":")
    return bool(colon) and kind not in (*OF_SITE, OF_CLIENTS)


def unknown_user(user_id: str) -> Problem:
    return Problem(404, f"There is no user {user_id!r}.")


def _is_member(user_id: str) -> bool:
    """Whether this is a member, who may have no history yet."""
    pk = user_id.removeprefix(MEMBER)
    if pk == user_id or not (pk.isascii() and pk.isdecimal()) or int(pk) > LARGEST_ID:
        return False
    return get_user_model().objects.filter(pk=pk).exists()


def _ratings_of(users: Iterable[str]) -> dict[str, list[tuple[int, float]]]:
    """(film, stars) of each, oldest first; of the same time in the order that `History` has."""
    rows = Rating.objects.filter(visitor__in=users).values_list("visitor", "movie_id", "value", "rated_at")
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for visitor, film, value, _at in sorted(rows, key=lambda row: (row[3], str(row[1]))):
        found[visitor].append((film, value))
    return dict(found)
