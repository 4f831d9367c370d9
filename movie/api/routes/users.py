"""The users that a client may rank for: those of data sets, and the client's own visitors."""

from __future__ import annotations

from django.core.cache import cache
from django.db.models import Count
from django.http import HttpRequest
from ninja import Router
from ninja.pagination import paginate
from pydantic import BaseModel, Field

from movie.api.authentication import Caller, get_caller
from movie.api.models import READ
from movie.api.pagination import PositionPagination, ReadRows
from movie.api.visitor_access import id_for_caller, is_dataset_user
from movie.catalogue.models import Rating
from movie.events.models import Event
from movie.visitors.client_ids import namespace_of

router = Router(tags=["users"])

CACHED_SECONDS = 60
AFTER_COLON = ";"  # the next character: every id that begins with `ml-100k:` is below `ml-100k;`


class UserOut(BaseModel):
    id: str = Field(description="As other routes take it.")
    ratings: int


class UserPageOut(BaseModel):
    users: list[UserOut]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


class UserPagination(PositionPagination):
    """Pages of users; a position is the stored id of a visitor."""

    items_attribute = "users"

    class Input(PositionPagination.Input):
        limit: int = Field(100, ge=1, le=1000)


@router.get("/users", response=UserPageOut, operation_id="list_users", summary="Known users")
@paginate(UserPagination)
def list_users(request: HttpRequest) -> ReadRows:
    """Lists users of data sets and, for a key with the scope `read`, the client's own visitors.

    Each namespace is in order of its ids as text. Members and guests of the site are in no list.
    """
    caller = get_caller(request)
    return lambda after, n: [
        ((visitor,), {"id": id_for_caller(visitor, caller), "ratings": n_ratings})
        for visitor, n_ratings in list_visitors_after(caller, after, n)
    ]


def list_visitors_after(caller: Caller, position: tuple[str] | None, limit: int) -> list[tuple[str, int]]:
    """Return the visitors after a position with their numbers of ratings; None is the list's beginning."""
    after = position[0] if position else ""
    namespaces = [f"{name}:" for name in data_sets()]
    if caller.client and caller.has_scope(READ):
        namespaces.append(namespace_of(caller.client))
    first = next((index for index, name in enumerate(namespaces) if after.startswith(name)), 0)
    found: list[tuple[str, int]] = []
    for namespace in namespaces[first:]:
        found += _visitors_of(namespace, after if after.startswith(namespace) else "", limit - len(found))
        if len(found) == limit:
            break
    return found


def data_sets() -> list[str]:
    """Return the names of the data sets whose users have ratings here; at most a minute old."""
    return cache.get_or_set("api-data-sets", _data_sets, CACHED_SECONDS) or []


def _data_sets() -> list[str]:
    """Return the names with one query for each namespace, which finds the next one by the index."""
    names: list[str] = []
    after = ""
    while True:
        rows = Rating.objects.filter(visitor__gt=after).order_by("visitor")
        visitor = rows.values_list("visitor", flat=True).first()
        if visitor is None:
            return names
        name, colon, _ = visitor.partition(":")
        if is_dataset_user(visitor):
            names.append(name)
        after = name + AFTER_COLON if colon else visitor


def _visitors_of(namespace: str, after: str, limit: int) -> list[tuple[str, int]]:
    """Return visitors of a namespace with their numbers of ratings; a client's also without any."""
    bounds = {"visitor__gt": after or namespace, "visitor__lt": namespace[:-1] + AFTER_COLON}
    rated = Rating.objects.filter(**bounds).order_by("visitor").values_list("visitor")
    n_ratings: dict[str, int] = dict(rated.annotate(Count("pk"))[:limit])
    if not is_dataset_user(namespace):
        acted = Event.objects.filter(**bounds).order_by("visitor").values_list("visitor", flat=True)
        n_ratings = dict.fromkeys(acted.distinct()[:limit], 0) | n_ratings
    return sorted(n_ratings.items())[:limit]
