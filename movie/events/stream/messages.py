"""Messages of the stream and their JSON form; docs/events.md describes it for other programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from typing import Any

from movie.core.times import is_possible
from predictors.history import EVENT_KINDS, Interaction

SCHEMA = 1


class InvalidMessage(ValueError):
    """Refuses a message that cannot be decoded."""


@dataclass(frozen=True, slots=True)
class InteractionRecorded:
    """Says that a visitor's interaction was recorded."""

    interaction: Interaction
    recorded_at: datetime

    @property
    def event_id(self) -> str:
        return self.interaction.event_id

    @property
    def visitor(self) -> str:
        return self.interaction.visitor


@dataclass(frozen=True, slots=True)
class HistoryForgotten:
    """Deletes a visitor's events up to `recorded_at`, all or those with one movie."""

    event_id: str
    visitor: str
    movie_id: int | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class GuestMerged:
    """Moves a guest's events up to `recorded_at` to the account `into`."""

    event_id: str
    visitor: str
    into: str
    recorded_at: datetime


Message = InteractionRecorded | HistoryForgotten | GuestMerged
_CHANGES: dict[str, type[HistoryForgotten] | type[GuestMerged]] = {
    "forget": HistoryForgotten,
    "merge": GuestMerged,
}
_MAY_BE_LEFT_OUT = ("watched_on", "progress", "weight")  # later fields, which older messages have not
_INTERACTION = tuple(name for name in Interaction._fields if name not in _MAY_BE_LEFT_OUT)


def encode(message: Message) -> bytes:
    if isinstance(message, InteractionRecorded):
        interaction = {name: getattr(message.interaction, name) for name in _INTERACTION}
        details = {name: getattr(message.interaction, name) for name in _MAY_BE_LEFT_OUT}
        interaction |= {name: value for name, value in details.items() if value is not None}
        content = {"type": "interaction", **interaction, "recorded_at": message.recorded_at}
    else:
        content = {"type": "forget" if isinstance(message, HistoryForgotten) else "merge", **asdict(message)}
    return json.dumps({"schema": SCHEMA, **content}, default=_format_time, separators=(",", ":")).encode()


def decode(raw: bytes | str | None) -> Message | None:
    """Decode a message; return None for an unknown type. Raises InvalidMessage.

    Fields that are not known are passed over, so that later versions may add some.
    """
    try:
        content = json.loads(raw or b"")
    except ValueError as error:
        raise InvalidMessage(f"no JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("schema"), int):
        raise InvalidMessage("no object with a schema number")
    if not 1 <= content["schema"] <= SCHEMA:
        raise InvalidMessage(f"schema {content['schema']} is not known here, only up to {SCHEMA}")
    try:
        if content["type"] == "interaction":
            return _decode_interaction(content)
        change = _CHANGES.get(content["type"])
        if change is None:
            return None
        known = {field.name: content[field.name] for field in fields(change)}
        return change(**{**known, "recorded_at": _parse_time(content["recorded_at"])})
    except KeyError as missing:
        raise InvalidMessage(f"there is no {missing}") from missing
    except (TypeError, AttributeError) as error:
        raise InvalidMessage(f"a value is of the wrong type: {error}") from error


def _decode_interaction(content: dict[str, Any]) -> InteractionRecorded:
    values = {name: content[name] for name in _INTERACTION}
    if values["kind"] not in EVENT_KINDS:
        raise InvalidMessage(f"the kind {values['kind']!r} is not known here")
    if type(values["movie_id"]) is not int or not isinstance(values["visitor"], str):
        raise InvalidMessage("movie_id is no number or visitor is no text")
    values["at"], values["watched_on"] = _parse_time(values["at"]), _parse_day(content.get("watched_on"))
    values |= {name: _parse_number(content.get(name)) for name in ("progress", "weight")}
    return InteractionRecorded(Interaction(**values), _parse_time(content["recorded_at"]))


def _parse_number(value: Any) -> float | None:
    if value is not None and type(value) not in (int, float):
        raise InvalidMessage(f"{value!r} is no number")
    return value


def _parse_day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise InvalidMessage(f"{text!r} is no day") from error


def _parse_time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text).astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise InvalidMessage(f"{text!r} is no time") from error
    if not is_possible(at):
        raise InvalidMessage(f"{text!r} is not between 1970 and 2100")
    return at


def _format_time(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{value!r} cannot be written")
