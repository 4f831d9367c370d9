"""What a client's own visitors did: one interaction, or many at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Body, Query, Router
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from movie.api.authentication import Caller, caller_of, needs, throttle
from movie.api.json import json_response
from movie.api.models import WRITE_INTERACTIONS
from movie.api.problems import FieldProblem, Problem, field_problems
from movie.api.schemas import MovieId, RequestModel
from movie.api.visitor_access import own_visitor
from movie.catalogue.models import Movie
from movie.events.models import Event
from movie.events.recording import (
    LONGEST,
    InvalidInteraction,
    idempotency_key,
    new_event_id,
    record_all,
    validate,
)
from predictors.history import EVENT_KINDS, Interaction

router = Router(tags=["interactions"])

AT_ONCE = 500
LONGEST_EVENT_ID = 200
EVENT_IDS = uuid.UUID("5f0f2a52-6a0c-5d3c-9a53-8f3f8d4b6f0e")  # the name space of the clients' event ids
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
ONE, MANY = "an interaction", "a list"
CLOCKS_DIFFER = timedelta(minutes=5)  # a client's clock may be so far ahead


class InteractionIn(RequestModel):
    """Something that one of the client's own visitors did."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"visitor": "42", "movie_id": 1, "kind": "rating", "value": 4.5}],
        }
    )

    visitor: str = Field(description="The client's own id of the visitor.", examples=["42"])
    movie_id: MovieId
    kind: str = Field(json_schema_extra={"enum": list(EVENT_KINDS)})
    value: float | None = Field(
        default=None,
        strict=True,
        description="Stars of a rating, 0.5 to 5 in halves; null takes it away. 0 ends a dismissal or a "
        "place on the watchlist. Nothing for the other kinds.",
    )
    at: AwareDatetime | None = Field(default=None, description="When it happened; now, if left out.")
    client_event_id: Annotated[str, Field(min_length=1, max_length=LONGEST_EVENT_ID)] | None = Field(
        default=None, description="The client's id of this event: sent again, it has no second effect."
    )
    surface: str = Field(
        default="", max_length=LONGEST["surface"], pattern=r"^[\w .:/-]*$", description="Where it happened."
    )
    recommendation_id: str = Field(
        default="", max_length=LONGEST["recommendation_id"], pattern=r"^[\w-]*$", description="Of which list."
    )


class Refused(BaseModel):
    """An entry of which nothing was stored."""

    index: int = Field(description="Its place in the list that was sent, from 0.")
    errors: list[FieldProblem]


class Recorded(BaseModel):
    """What became of the entries. All that is counted in `stored` is safe when this answer is sent."""

    stored: int
    repeated: int = Field(description="Known already by their client_event_id; without a second effect.")
    refused: list[Refused]


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """An entry of a list that is no interaction, kept in its place."""

    errors: list[dict[str, str]]


def _or_unreadable(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError as error:
        return _Unreadable(
            field_problems({**each, "loc": ("body", "entry", *each["loc"])} for each in error.errors())
        )


Entry = Annotated[InteractionIn, WrapValidator(_or_unreadable)]
Interactions = Annotated[
    Annotated[InteractionIn, Tag(ONE)]
    | Annotated[list[Entry], Field(min_length=1, max_length=AT_ONCE), Tag(MANY)],
    Discriminator(lambda sent: MANY if isinstance(sent, list) else ONE),
]


@router.post(
    "/interactions",
    auth=needs(WRITE_INTERACTIONS),
    response={200: Recorded, 207: Recorded},
    operation_id="record_interactions",
    summary="Record interactions",
)
def record_interactions(
    request: HttpRequest,
    interactions: Annotated[Interactions, Body()],
    atomic: bool = Query(default=False, description="Store all entries or none."),
) -> HttpResponse:
    """Store one interaction, or a list of up to 500; the answer comes after the commit.

    Of a list the entries that are right are stored and the others reported: 207. Where none is right, or
    with `atomic=true` one is wrong, nothing is stored: 422.
    """
    entries = interactions if isinstance(interactions, list) else [interactions]
    throttle.count_entries(request, len(entries))
    told, refused = _checked(caller_of(request), entries)
    if refused and (atomic or not told):
        raise _nothing_stored(refused, len(entries), is_list=isinstance(interactions, list))
    new = _without_repeats([each for _, each in told])
    happening = {each.event_id for index, each in told if entries[index].at is None}
    live = [each for each in new if each.event_id in happening]
    reported = [each for each in new if each.event_id not in happening]
    try:
        stored = record_all(reported, live=live) if new else 0
    except InvalidInteraction as gone:  # a film deleted since it was looked up
        raise Problem(409, f"Nothing was stored: {gone}") from gone
    answer = {
        "stored": stored,
        "repeated": len(told) - stored,
        "refused": [{"index": index, "errors": errors} for index, errors in refused],
    }
    return json_response(answer, 207 if refused else 200)


def _checked(
    caller: Caller, entries: list[Any]
) -> tuple[list[tuple[int, Interaction]], list[tuple[int, list[dict[str, str]]]]]:
    """The entries that can have happened, and for each of the others what is wrong; by their places."""
    wanted = {entry.movie_id for entry in entries if isinstance(entry, InteractionIn)}
    films = set(Movie.objects.visible().filter(pk__in=wanted).values_list("pk", flat=True))
    now = timezone.now()
    told, refused = [], []
    for index, entry in enumerate(entries):
        if isinstance(entry, _Unreadable):
            refused.append((index, entry.errors))
            continue
        try:
            told.append((index, _interaction(caller, entry, films, now)))
        except InvalidInteraction as wrong:
            refused.append((index, [_error(wrong.field, str(wrong))]))
    return told, refused


def _interaction(caller: Caller, entry: InteractionIn, films: set[int], now: datetime) -> Interaction:
    """Raises InvalidInteraction."""
    try:
        visitor = own_visitor(caller, entry.visitor)
    except ValueError as error:
        raise InvalidInteraction("visitor", str(error)) from error
    if entry.movie_id not in films:
        raise InvalidInteraction("movie_id", f"There is no film {entry.movie_id}.")
    at = now if entry.at is None else entry.at
    if not EARLIEST <= at <= now + CLOCKS_DIFFER:
        raise InvalidInteraction("at", "It is not between 1970 and now.")
    interaction = Interaction(
        event_id=_event_id(caller, entry.client_event_id),
        visitor=visitor,
        kind=entry.kind,
        movie_id=entry.movie_id,
        at=min(at, now).astimezone(UTC),
        value=entry.value,
        surface=entry.surface,
        recommendation_id=entry.recommendation_id,
    )
    validate(interaction)
    return interaction


def _event_id(caller: Caller, client_event_id: str | None) -> str:
    """The same id whenever the client sends the same one, and never another client's."""
    if client_event_id is None:
        return new_event_id()
    return str(uuid.uuid5(EVENT_IDS, f"{caller.client}/{client_event_id}"))


def _without_repeats(told: list[Interaction]) -> list[Interaction]:
    """Without what is stored already, found in one query. A repeat at the same time finds `record_all`."""
    rows = Event.objects.filter(event_id__in=[each.event_id for each in told])
    known: set[tuple[Any, ...]] = {
        (row["event_id"], row["visitor"], row["kind"], row["movie_id"], row["value"])
        for row in rows.values("event_id", "visitor", "kind", "movie_id", "value")
    }
    new = []
    for each in told:
        content = (each.event_id, *idempotency_key(each))
        if content not in known:
            known.add(content)
            new.append(each)
    return new


def _nothing_stored(refused: list[tuple[int, list[dict[str, str]]]], sent: int, *, is_list: bool) -> Problem:
    errors = list(_with_places(refused)) if is_list else refused[0][1]
    detail = (
        f"{len(refused)} of {sent} entries are wrong; nothing was stored." if is_list else errors[0]["detail"]
    )
    return Problem(422, detail, errors=errors)


def _with_places(refused: list[tuple[int, list[dict[str, str]]]]) -> Iterator[dict[str, str]]:
    for index, errors in refused:
        for error in errors:
            yield {**error, "field": f"[{index}].{error['field']}" if error["field"] else f"[{index}]"}


def _error(field: str, detail: str) -> dict[str, str]:
    return {"in": "body", "field": field, "detail": detail}
