"""Interactions of a client's own visitors: one, or many at once."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
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
    WrapValidator,
)

from movie.api.authentication import Caller, get_caller, require_scopes, throttle
from movie.api.base import json_response
from movie.api.entries import InvalidEntry, keep_invalid, nothing_stored
from movie.api.models import WRITE_INTERACTIONS
from movie.api.movie_ids import MovieLookup, MovieRef
from movie.api.problems import FieldProblem, Problem
from movie.api.schemas import RequestModel
from movie.api.visitor_access import parse_own_visitor
from movie.catalogue.models import Movie
from movie.core.batches import write_in_turn
from movie.core.times import EARLIEST
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

MAX_INTERACTIONS = 500
BULK = 50  # entries of a list from which on it is bulk work: some 10 ms under the lock
MAX_EVENT_ID_LENGTH = 200
EVENT_IDS = uuid.UUID("5f0f2a52-6a0c-5d3c-9a53-8f3f8d4b6f0e")  # the namespace of the clients' event ids
SHOWN = "impression"  # the kind of a list that was shown
ONE, MANY = "an interaction", "a list"  # tags, which messages of pydantic name
MAX_CLOCK_SKEW = timedelta(minutes=5)  # a client's clock may be so far ahead


class InteractionIn(RequestModel):
    """An interaction of one of the client's own visitors."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"visitor": "42", "movie_id": 1, "kind": "rating", "value": 4.5}],
        }
    )

    visitor: str = Field(description="The client's own id of the visitor.", examples=["42"])
    movie_id: MovieRef
    kind: str = Field(json_schema_extra={"enum": list(EVENT_KINDS)})
    value: float | None = Field(
        default=None,
        strict=True,
        description="Stars of a rating, 0.5 to 5 in halves; null takes it away. 0 ends a dismissal or a "
        "place on the watchlist, and takes a watch back; 1 says that the film was watched again. Nothing for "
        "the other kinds.",
    )
    watched_on: date | None = Field(default=None, description="Of a watch: the day on which it was seen.")
    progress: float | None = Field(
        default=None,
        strict=True,
        description="Of a watch: the share of the film that was played, 0 to 1; all of it, if left out. "
        "Below the site's least progress it is no viewing: the film can be recommended again.",
    )
    weight: float | None = Field(
        default=None,
        strict=True,
        description="Of a click: how much it counts, above 0 and up to 10; 1, if left out.",
    )
    at: AwareDatetime | None = Field(default=None, description="When it happened; now, if left out.")
    client_event_id: Annotated[str, Field(min_length=1, max_length=MAX_EVENT_ID_LENGTH)] | None = Field(
        default=None, description="The client's id of this event: sent again, it has no second effect."
    )
    surface: str = Field(
        default="", max_length=LONGEST["surface"], pattern=r"^[\w .:/-]*$", description="Where it happened."
    )
    recommendation_id: str = Field(
        default="",
        max_length=LONGEST["recommendation_id"],
        pattern=r"^[\w-]*$",
        description="Of which list. An `impression` says that the list was shown, and counts once.",
    )


class Refused(BaseModel):
    """An entry that was not stored, with its errors."""

    index: int = Field(description="Its index in the list of the request, from 0.")
    errors: list[FieldProblem]


class Recorded(BaseModel):
    """Counts of the entries by outcome. Entries in `stored` are committed before this answer is sent."""

    stored: int
    repeated: int = Field(description="Known already by their client_event_id; without a second effect.")
    refused: list[Refused]


Entry = Annotated[InteractionIn, WrapValidator(keep_invalid)]
Interactions = Annotated[
    Annotated[InteractionIn, Tag(ONE)]
    | Annotated[list[Entry], Field(min_length=1, max_length=MAX_INTERACTIONS), Tag(MANY)],
    Discriminator(lambda sent: MANY if isinstance(sent, list) else ONE),
]


@router.post(
    "/interactions",
    auth=require_scopes(WRITE_INTERACTIONS),
    response={200: Recorded, 207: Recorded},
    operation_id="record_interactions",
    summary="Record interactions",
)
def record_interactions(
    request: HttpRequest,
    interactions: Annotated[Interactions, Body()],
    atomic: bool = Query(default=False, description="Store all entries or none."),
) -> HttpResponse:
    """Stores one interaction, or a list of up to 500, before it answers.

    Valid entries of a list are stored and the others reported: 207. If no entry is valid, or with
    `atomic=true` one is invalid, nothing is stored: 422.
    """
    entries = interactions if isinstance(interactions, list) else [interactions]
    throttle.count_entries(request, len(entries))
    valid, refused = _validate_entries(get_caller(request), entries)
    if refused and (atomic or not valid):
        raise nothing_stored(refused, len(entries), is_list=isinstance(interactions, list))
    new = _without_repeats([each for _, each in valid])
    live_ids = {each.event_id for index, each in valid if entries[index].at is None}
    live = [each for each in new if each.event_id in live_ids]
    reported = [each for each in new if each.event_id not in live_ids]
    try:
        stored = _store(reported, live)
    except InvalidInteraction as error:  # a movie was deleted after it was looked up
        raise Problem(409, f"Nothing was stored: {error}") from error
    answer = {
        "stored": stored,
        "repeated": len(valid) - stored,
        "refused": [{"index": index, "errors": errors} for index, errors in refused],
    }
    return json_response(answer, 207 if refused else 200)


def _store(reported: list[Interaction], live: list[Interaction]) -> int:
    """Store interactions in one transaction; many of them take turns with other bulk work."""
    if len(reported) + len(live) < BULK:
        return record_all(reported, live=live)
    return write_in_turn(lambda: record_all(reported, live=live))


def _validate_entries(
    caller: Caller, entries: list[Any]
) -> tuple[list[tuple[int, Interaction]], list[tuple[int, list[dict[str, str]]]]]:
    """Return the valid interactions and the errors of the others, each with its index in the list."""
    lookup = MovieLookup(entry.movie_id for entry in entries if isinstance(entry, InteractionIn))
    entries = [
        _with_site_id(entry, lookup) if isinstance(entry, InteractionIn) else entry for entry in entries
    ]
    named = [entry.movie_id for entry in entries if isinstance(entry, InteractionIn)]
    sent = {movie_id for movie_id in named if isinstance(movie_id, int)}
    movie_ids = set(Movie.objects.visible().filter(pk__in=sent).values_list("pk", flat=True))
    now = timezone.now()
    valid, refused = [], []
    for index, entry in enumerate(entries):
        if isinstance(entry, InvalidEntry):
            refused.append((index, entry.errors))
            continue
        try:
            valid.append((index, _interaction(caller, entry, movie_ids, now)))
        except InvalidInteraction as error:
            refused.append((index, [{"in": "body", "field": error.field, "detail": str(error)}]))
    return valid, refused


def _with_site_id(entry: InteractionIn, lookup: MovieLookup) -> InteractionIn | InvalidEntry:
    """Return the entry with the number of its film, or the error of its id."""
    if isinstance(entry.movie_id, int):
        return entry
    try:
        return entry.model_copy(update={"movie_id": lookup.require(entry.movie_id, "movie_id")})
    except Problem as problem:
        return InvalidEntry([dict(error) for error in problem.errors])


def _interaction(caller: Caller, entry: InteractionIn, movie_ids: set[int], now: datetime) -> Interaction:
    """Return the interaction of an entry. Raises InvalidInteraction."""
    try:
        visitor = parse_own_visitor(caller, entry.visitor)
    except ValueError as error:
        raise InvalidInteraction("visitor", str(error)) from error
    if entry.movie_id not in movie_ids:
        raise InvalidInteraction("movie_id", f"There is no film {entry.movie_id}.")
    at = now if entry.at is None else entry.at
    if not EARLIEST <= at <= now + MAX_CLOCK_SKEW:
        raise InvalidInteraction("at", "It is not between 1970 and now.")
    interaction = Interaction(
        event_id=_event_id(caller, entry, visitor),
        visitor=visitor,
        kind=entry.kind,
        movie_id=entry.movie_id,
        at=min(at, now).astimezone(UTC),
        value=entry.value,
        surface=entry.surface,
        recommendation_id=entry.recommendation_id,
        watched_on=entry.watched_on,
        progress=entry.progress,
        weight=entry.weight,
    )
    validate(interaction)
    return interaction


def _event_id(caller: Caller, entry: InteractionIn, visitor: str) -> str:
    """Return the same event id for the same id of this client, and never one of another client's.

    Without one, a list that was shown to a visitor has one id, so that it counts once, whichever form of the
    visitor's id was sent.
    """
    own_id = entry.client_event_id
    if own_id is None and entry.kind == SHOWN and entry.recommendation_id:
        own_id = "\n".join((SHOWN, visitor, entry.recommendation_id))
    return new_event_id() if own_id is None else str(uuid.uuid5(EVENT_IDS, f"{caller.client}/{own_id}"))


def _without_repeats(interactions: list[Interaction]) -> list[Interaction]:
    """Drop interactions that are stored already. `record_all` drops those that are sent twice at once."""
    rows = Event.objects.filter(event_id__in=[each.event_id for each in interactions])
    known = {_content(row) for row in rows.interactions()}
    new = []
    for each in interactions:
        content = _content(each)
        if content not in known:
            known.add(content)
            new.append(each)
    return new


def _content(each: Interaction) -> tuple[Any, ...]:
    """Return the values by which a repeat is recognised; a list is shown once, whichever film is named."""
    visitor, kind, *rest = idempotency_key(each)
    return (each.event_id, visitor, kind) if kind == SHOWN else (each.event_id, visitor, kind, *rest)
