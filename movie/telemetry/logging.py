"""Format of log lines: one JSON object, or text for a terminal (LOG_FORMAT).

`logging` and `structlog` both end here, through the handler in settings.LOGGING. Lines that somebody else
worded are cleared of people: keys of visitors, addresses, what the request of the moment says about its
sender.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from functools import cache
from typing import Any

import structlog
from django.http import HttpRequest
from structlog.stdlib import ProcessorFormatter

from movie.telemetry.requests import AccessLine, current, route_of

Line = MutableMapping[str, Any]

LEFT_OUT = "…"
OURS = ("at", "level", "logger", "request_id")
FROM_THE_SENDER = (
    "REMOTE_ADDR",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_REAL_IP",
    "HTTP_FORWARDED",
    "HTTP_AUTHORIZATION",
    "HTTP_COOKIE",
    "HTTP_REFERER",
    "HTTP_USER_AGENT",
)
_VISITOR = re.compile(r"\b(guest|user|api):[^\s'\",)\]}]+")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]|:\d)")  # with a port it is one of our servers
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_QUERY = re.compile(r"\?[^\s'\"<>]+=[^\s'\"<>]*")
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?")
REPEAT_SECONDS = 30.0
LONGEST_KEY, MOST_KEYS = 300, 500
SHORTEST = 4  # letters; what a form says in less cannot be told from the words of a message


def formatter(style: str) -> logging.Formatter:
    """Return the formatter of settings.LOGGING, "json" or "readable", and send structlog through it too."""
    everywhere: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _with_request,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_processor,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *everywhere, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return LineFormatter(
        foreign_pre_chain=everywhere,
        processors=[ProcessorFormatter.remove_processors_meta, _as_json if style == "json" else _readable()],
    )


class RepeatFilter(logging.Filter):
    """Passes a line of a library once in half a minute, then with the number of those held back.

    Lines are the same when they differ in numbers alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        key = record.name, _NUMBERS.sub("0", text)[:LONGEST_KEY]
        at, held = self._last.get(key, (0.0, 0))
        if at and time.monotonic() - at < REPEAT_SECONDS:
            self._last[key] = at, held + 1
            return False
        if len(self._last) > MOST_KEYS:
            self._last.clear()
        self._last[key] = time.monotonic(), 0
        if held:
            record.msg, record.args = f"{text} (and {held} more like it since)", ()
        return True


class LineFormatter(ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, AccessLine):
            return self.processors[-1](None, "info", dict(record.msg))  # type: ignore[return-value]
        return super().format(record)


def redact_processor(logger: object, name: str, line: Line) -> Line:
    """Remove from a log line what identifies the sender of the request or says what they asked for."""
    for part, value in line.items():
        if isinstance(value, str) and part not in OURS:
            line[part] = redact(value)
    return line


def redact(text: str) -> str:
    """Return the text without data of people. Frames of a traceback stay as they are."""
    request = current()
    secrets = _request_secrets(request.request) if request else []
    return "\n".join(
        line if line.startswith("  ") else _redact_line(line, secrets) for line in text.split("\n")
    )


def _redact_line(text: str, secrets: list[tuple[str, str]]) -> str:
    for private, instead in secrets:
        text = text.replace(private, instead)
    text = _QUERY.sub("?" + LEFT_OUT, text)
    text = _VISITOR.sub(rf"\1:{LEFT_OUT}", text)
    text = _MAIL.sub(LEFT_OUT, text)
    text = _IPV6.sub(_unless_no_address, text)
    return _IPV4.sub(LEFT_OUT, text)


def _request_secrets(request: HttpRequest) -> list[tuple[str, str]]:
    """Return what this request says about its sender with the replacement of each, the longest first."""
    match = request.resolver_match
    private = [
        request.META.get("QUERY_STRING", ""),
        *(request.META.get(name, "") for name in FROM_THE_SENDER),
        *request.COOKIES.values(),
        *_values(request.GET),
        # Only a form that was read already: reading it here could fail in its turn.
        *(_values(request._post) if hasattr(request, "_post") else ()),
        *(() if match is None else (value for value in match.kwargs.values() if isinstance(value, str))),
    ]
    secrets = {text: LEFT_OUT for text in private if len(text) >= SHORTEST}
    if len(request.path) >= SHORTEST:
        secrets[request.path] = f"<{route_of(request)}>"
    return sorted(secrets.items(), key=lambda each: -len(each[0]))


def _values(form: Any) -> list[str]:
    return [value for _name, values in form.lists() for value in values if isinstance(value, str)]


def _unless_no_address(found: re.Match[str]) -> str:
    try:
        ipaddress.IPv6Address(found[0].rstrip(".:") if not found[0].endswith("::") else found[0])
    except ValueError:  # a time of day, or a name with colons
        return found[0]
    return LEFT_OUT


def _with_request(logger: object, name: str, line: Line) -> Line:
    request = current()
    if request is not None:
        line["request_id"] = request.id
        if request.recommendations and "recommendations" not in line:
            line["recommendations"] = request.recommendations
    return line


def _as_json(logger: object, name: str, line: Line) -> str:
    first = {"at": line["at"], "level": line["level"], "event": line["event"]}
    return _json_writer()({**first, **line}, fallback=str, inf_nan_mode="null").decode()


@cache
def _json_writer() -> Callable[..., bytes]:
    from pydantic_core import to_json

    return to_json


def _readable() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="at")
