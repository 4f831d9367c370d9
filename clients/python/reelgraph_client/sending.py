"""Retries, refusals and answers of a call under way; the same for both clients."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from reelgraph_client.calls import Call
from reelgraph_client.errors import (
    _BY_STATUS,
    ConnectionFailed,
    FieldProblem,
    Problem,
    ReelgraphError,
    ServerFailed,
    UnexpectedAnswer,
)
from reelgraph_client.reading import read_value

T = TypeVar("T")

TIMEOUT = 10.0  # seconds
USER_AGENT = "reelgraph-client/0.2.0"


@dataclass(frozen=True, slots=True)
class Retries:
    """The policy for sending a failed request again.

    After 429 and 503 the client waits as long as `Retry-After` says, or else `first_wait` seconds, twice as
    long each time and a random part of that again. It does not wait longer than `longest_wait`: then
    the refusal is raised at once, with `retry_after`. Broken connections are tried again too.
    """

    attempts: int = 4  # in all; 1 = never again
    first_wait: float = 0.25
    longest_wait: float = 30.0

    def wait(self, attempt: int, asked: float | None) -> float | None:
        """Return the seconds before the next attempt; None = give up."""
        if attempt >= self.attempts:
            return None
        seconds = self.first_wait * 2 ** (attempt - 1) * (1 + random.random()) if asked is None else asked  # noqa: S311
        return seconds if seconds <= self.longest_wait else None


_TRY_AGAIN = (429, 502, 503, 504)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def _problem(response: httpx.Response) -> ReelgraphError:
    retry_after = _seconds(response.headers.get("Retry-After"))
    kind = _BY_STATUS.get(response.status_code, ServerFailed if response.status_code >= 500 else Problem)
    try:
        content = response.json()
    except ValueError:
        content = None
    if isinstance(content, dict) and "detail" in content:
        errors = read_value(tuple[FieldProblem, ...], content.get("errors", []), "errors")
        title = str(content.get("title", response.reason_phrase))
        return kind(response.status_code, title, str(content["detail"]), errors, retry_after)
    if response.status_code >= 500 or response.status_code == 429:
        said = response.text[:200] or "without a word"
        return kind(response.status_code, response.reason_phrase, said, (), retry_after)
    where = response.headers.get("Location")
    told = f"led to {where}" if where else f"answered {response.status_code} {response.reason_phrase}"
    return UnexpectedAnswer(f"{response.request.url} {told}; is this the address of a Reelgraph site?")


def read_answer(call: Call[T], response: httpx.Response) -> T:
    try:
        content = response.json()
    except ValueError as error:
        raise UnexpectedAnswer(f"{response.request.url} answered with something else than JSON") from error
    return call.read(content)


class Attempt:
    """A call under way: builds the request, reads the answer, decides about retries for both clients."""

    def __init__(self, call: Call[Any], retries: Retries) -> None:
        self._call, self._retries = call, retries
        self._number = 0

    def wait_after(self, response: httpx.Response) -> float | None:
        """Return the seconds until a retry; None if this is the answer. Raises the refusal."""
        self._number += 1
        if response.is_success:
            return None
        problem = _problem(response)
        # 429 and 503 changed nothing; after a gateway's 502 or 504 nobody knows.
        if response.status_code in _TRY_AGAIN and (
            response.status_code in (429, 503) or self._call.repeatable
        ):
            asked = problem.retry_after if isinstance(problem, Problem) else None
            wait = self._retries.wait(self._number, asked)
            if wait is not None:
                return wait
        raise problem

    def wait_after_failure(self, error: httpx.HTTPError) -> float:
        self._number += 1
        wait = self._retries.wait(self._number, None)
        if wait is None or not (self._call.repeatable or isinstance(error, _NOT_SENT)):
            raise ConnectionFailed(
                f"{self._call.method} {self._call.path}: {error or type(error).__name__}"
            ) from error
        return wait


def http_settings(base_url: str, key: str | None, timeout: float | httpx.Timeout) -> dict[str, Any]:
    headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return {"base_url": f"{base_url.rstrip('/')}/api/v1/", "headers": headers, "timeout": timeout}


def request_arguments(call: Call[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"method": call.method, "url": call.path, "params": call.params}
    if call.json is not None:
        found["json"] = call.json
    return found
