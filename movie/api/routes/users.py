"""Who is known: the users of data sets, and a client's own visitors."""

from __future__ import annotations

from django.core.cache import cache
from django.db.models import Count
from django.http import HttpRequest
from ninja import Router
from ninja.pagination import paginate
from pydantic import BaseModel, Field

from movie.api.authentication import Caller, caller_of
from movie.api.models import READ
from movie.api.pagination import PositionPagination, ReadRows
from movie.api.visitor_access import OF_CLIENTS, OF_SITE, namespace_of, shown
from movie.catalogue.models import Rating
from movie.events.models import Event

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
    """Users of data sets and, for a key with the scope `read`, the client's own visitors.

    Each kind in order of its ids as text. Members and guests of the site are in no list.
    """
    caller = caller_of(request)

    def read(after: tuple[str] | None, n: int) -> list[tuple[tuple[str], dict[str, object]]]:
        keys = users_after(caller, after, n)
        counts = dict(
            Rating.objects.filter(visitor__in=keys).order_by().values_list("visitor").annotate(Count("pk"))
        )
        return [((key,), {"id": shown(key, caller), "ratings": counts.get(key, 0)}) for key in keys]

    return read


def users_after(caller: Caller, position: tuple[str] | None, limit: int) -> list[str]:
    """Return the next keys after a position, in the order of the list; None is its beginning."""
    after = position[0] if position else ""
    namespaces = [f"{name}:" for name in data_sets()]
    if caller.client and caller.may(READ):
        namespaces.append(namespace_of(caller.client))
    found: list[str] = []
    begin = next((place for place, each in enumerate(namespaces) if after.startswith(each)), 0)
    for place in range(begin, len(namespaces)):
        found += _known(namespaces[place], after if place == begin else "", limit - len(found))
        if len(found) == limit:
            break
    return found


def data_sets() -> list[str]:
    """The data sets whose users have ratings here; at most a minute old."""
    return cache.get_or_set("api-data-sets", _data_sets, CACHED_SECONDS) or []


def _data_sets() -> list[str]:
    """One query for each kind of visitor, whatever their number: each looks for the next kind."""
    names: list[str] = []
    after = ""
    while True:
        visitor = (
            Rating.objects.filter(visitor__gt=after)
            .order_by("visitor")
            .values_list("visitor", flat=True)
            .first()
        )
        if visitor is None:
            return names
        name, colon, _ = visitor.partition(":")
        if colon and name not in (*OF_SITE, OF_CLIENTS):
            names.append(name)
        after = name + AFTER_COLON if colon else visitor


def _known(namespace: str, after: str, limit: int) -> list[str]:
    """Visitors of a name space with a rating or another interaction in the database."""
    bounds = {"visitor__gt": after or namespace, "visitor__lt": namespace[:-1] + AFTER_COLON}
    found: set[str] = set()
    for model in (Rating, Event):
        rows = model.objects.filter(**bounds).order_by("visitor").values_list("visitor", flat=True).distinct()
        found.update(rows[:limit])
    return sorted(found)[:limit]
