"""Histories of visitors: reading page by page, and deletion."""

from datetime import date, datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query, Router
from ninja.pagination import paginate
from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter

from movie.api.answer_schemas import WITH_ID_SPACE
from movie.api.authentication import get_caller, require_scopes
from movie.api.base import json_response
from movie.api.models import WRITE_VISITORS
from movie.api.movie_ids import IdSpace, external_ids_in, movie_id_of
from movie.api.pagination import PositionPagination, ReadRows
from movie.api.visitor_access import id_for_caller, require_readable, require_writable
from movie.events.history import get_history
from movie.events.recording import forget
from predictors.history import Interaction

router = Router(tags=["visitors"])

VisitorId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=128,
        description="The client's own id of a visitor, or the long form of another: `ml-100k:196`, "
        "`user:7`, `guest:...`.",
        examples=["42"],
    ),
]


class EventOut(BaseModel):
    """An interaction of the visitor. `event_id` is null for a rating that came with a data set."""

    event_id: str | None
    kind: str
    movie_id: int
    external_id: str | None = Field(default=None, description=WITH_ID_SPACE)
    value: float | None
    at: datetime
    surface: str
    recommendation_id: str
    watched_on: date | None = Field(description="Of a watch, where the day is known.")
    progress: float | None = Field(description="Of a watch: the share that was played, where it is known.")
    weight: float | None = Field(description="Of a click that was given one.")


class HistoryOut(BaseModel):
    visitor: str
    events: list[EventOut] = Field(description="Newest first.")
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


class ForgottenOut(BaseModel):
    deleted: int = Field(description="How many interactions there were.")


class HistoryPagination(PositionPagination):
    """Pages of a history; a position is the time and the id of an event."""

    items_attribute = "events"
    position = TypeAdapter(tuple[AwareDatetime, str])

    class Input(PositionPagination.Input):
        limit: int = Field(50, ge=1, le=200)

    def paginate_queryset(
        self, queryset: Any, pagination: Any, request: HttpRequest, **params: Any
    ) -> dict[str, Any]:
        caller = get_caller(request)
        page = super().paginate_queryset(queryset, pagination, request, **params)
        if (space := params.get("id_space")) is not None:
            ids = external_ids_in(space, [event["movie_id"] for event in page["events"]])
            for event in page["events"]:
                event["external_id"] = ids.get(event["movie_id"])
        return {"visitor": id_for_caller(require_readable(caller, params["visitor"]), caller), **page}


@router.get(
    "/visitors/{visitor}/history",
    operation_id="read_history",
    response=HistoryOut,
    summary="A history",
)
@paginate(HistoryPagination)
def read_history(request: HttpRequest, visitor: VisitorId, id_space: IdSpace = None) -> ReadRows:
    """Lists the interactions of a visitor, newest first.

    The scope `read` allows it for the client's own visitors and for users of data sets, the scope
    `read:visitors` for guests and members of the site.
    """
    key = require_readable(get_caller(request), visitor)

    def read(before: tuple[datetime, str] | None, n: int) -> list[tuple[tuple[datetime, str], Any]]:
        events = get_history(key, limit=None).interactions
        if before:
            events = tuple(event for event in events if (event.at, event.event_id) < before)
        return [((each.at, each.event_id), _render_event(each)) for each in events[-n:][::-1]]

    return read


@router.delete(
    "/visitors/{visitor}/history",
    auth=require_scopes(WRITE_VISITORS),
    response=ForgottenOut,
    operation_id="forget_history",
    summary="Forget a history",
)
def forget_history(
    request: HttpRequest,
    visitor: VisitorId,
    movie_id: str | None = Query(
        default=None,
        min_length=1,
        max_length=200,
        description="Only what is about this film: a number, or `source:id`.",
    ),
) -> HttpResponse:
    """Deletes the history of one of the client's own visitors from the site and from all copies.

    `deleted` counts the interactions in the database; archived clicks follow uncounted.
    """
    key = require_writable(get_caller(request), visitor)
    film = None if movie_id is None else movie_id_of(movie_id, "movie_id", "query")
    return json_response({"deleted": forget(key, film)})


def _render_event(event: Interaction) -> dict[str, object]:
    return {
        "event_id": None if " " in event.event_id else event.event_id,
        "kind": event.kind,
        "movie_id": event.movie_id,
        "value": event.value,
        "at": event.at,
        "surface": event.surface,
        "recommendation_id": event.recommendation_id,
        "watched_on": event.watched_on,
        "progress": event.progress,
        "weight": event.weight,
    }
