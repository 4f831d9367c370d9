"""Histories: to read, page by page, and to delete."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from django.http import HttpRequest, HttpResponse
from django.utils.timezone import is_naive
from ninja import Path, Query, Router
from pydantic import BaseModel, Field

from movie.api.cursors import LONGEST, NO_CURSOR, cursor_of, place_of
from movie.api.json import json_response
from movie.api.keys import caller_of, needs
from movie.api.problems import field_problem
from movie.api.schemas import LARGEST_ID
from movie.api.visitor_ids import readable_visitor, shown, writable_visitor
from movie.api_clients import WRITE_VISITORS
from movie.history import get_history
from movie.interactions import forget
from predictors.history import Interaction

router = Router(tags=["visitors"])

MOST = 200

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
    """Something the visitor did. `event_id` is null for a rating that came with a data set."""

    event_id: str | None
    kind: str
    movie_id: int
    value: float | None
    at: datetime
    surface: str
    recommendation_id: str


class HistoryOut(BaseModel):
    visitor: str
    events: list[EventOut] = Field(description="Newest first.")
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


class ForgottenOut(BaseModel):
    deleted: int = Field(description="How many interactions there were.")


@router.get(
    "/visitors/{visitor}/history",
    operation_id="read_history",
    response=HistoryOut,
    summary="A history",
)
def read_history(
    request: HttpRequest,
    visitor: VisitorId,
    limit: int = Query(default=50, ge=1, le=MOST),
    cursor: str = Query(default="", max_length=LONGEST),
) -> HttpResponse:
    """What a visitor did, newest first, as far as it was not forgotten.

    With the scope `read` those of the client's own visitors and of users of data sets, with
    `read:visitors` those of guests and members of the site.
    """
    caller = caller_of(request)
    key = readable_visitor(caller, visitor)
    events = get_history(key, limit=None).interactions
    if cursor:
        before = _place(cursor)
        events = tuple(event for event in events if (event.at, event.event_id) < before)
    page = events[-limit:][::-1]
    more = len(events) > limit
    answer = {
        "visitor": shown(key, caller),
        "events": [_event(each) for each in page],
        "next": cursor_of(page[-1].at.isoformat(), page[-1].event_id) if more else None,
    }
    return json_response(answer)


@router.delete(
    "/visitors/{visitor}/history",
    auth=needs(WRITE_VISITORS),
    response=ForgottenOut,
    operation_id="forget_history",
    summary="Forget a history",
)
def forget_history(
    request: HttpRequest,
    visitor: VisitorId,
    movie_id: int | None = Query(
        default=None, ge=1, le=LARGEST_ID, description="Only what is about this film."
    ),
) -> HttpResponse:
    """Delete everything that one of the client's own visitors did, everywhere the data went.

    `deleted` counts the interactions in the database; archived clicks follow uncounted.
    """
    return json_response({"deleted": forget(writable_visitor(caller_of(request), visitor), movie_id)})


def _place(cursor: str) -> tuple[datetime, str]:
    at, event_id = place_of(cursor, parts=2)
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        moment = None
    if moment is None or is_naive(moment):
        raise field_problem("query", "cursor", NO_CURSOR)
    return moment, event_id


def _event(event: Interaction) -> dict[str, object]:
    return {
        "event_id": None if " " in event.event_id else event.event_id,
        "kind": event.kind,
        "movie_id": event.movie_id,
        "value": event.value,
        "at": event.at,
        "surface": event.surface,
        "recommendation_id": event.recommendation_id,
    }
