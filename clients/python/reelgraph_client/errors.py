"""What can go wrong with a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ReelgraphError(Exception):
    """The base of all errors that this client raises about a request."""


class ConnectionFailed(ReelgraphError):
    """The site could not be reached, or did not answer in time. A request that changes something may have
    arrived all the same."""


class UnexpectedAnswer(ReelgraphError):
    """The answer is not of this API; the address may belong to another program."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A field that was refused, with the reason; `where` is body, query, path or header."""

    where: str
    field: str
    detail: str


class Problem(ReelgraphError):
    """The site refused (a problem document, RFC 9457). `errors` name the fields, if any are to blame."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        retry_after: float | None = None,
    ) -> None:
        fields = "".join(f"\n  {each.field or each.where}: {each.detail}" for each in errors)
        super().__init__(f"{status} {title}: {detail}{fields}")
        self.status, self.title, self.detail = status, title, detail
        self.errors = tuple(errors)
        self.retry_after = retry_after  # seconds, where the site said


class BadRequest(Problem):
    """400: the request cannot be read."""


class Unauthorized(Problem):
    """401: a key is needed, or this one is not valid."""


class Forbidden(Problem):
    """403: the key lacks a scope, or the visitor belongs to somebody else."""


class NotFound(Problem):
    """404: the site has nothing by this id."""


class Conflict(Problem):
    """409: the state of the site does not allow it."""


class TooLarge(Problem):
    """413: send fewer entries at once."""


class Invalid(Problem):
    """422: `errors` name the invalid fields."""


class TooManyRequests(Problem):
    """429, after all retries: ask again in `retry_after` seconds."""


class Unavailable(Problem):
    """503, after all retries: a part of the site is away."""


class ServerFailed(Problem):
    """Another status from 500 up: the site failed."""


_BY_STATUS: dict[int, type[Problem]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: Invalid,
    429: TooManyRequests,
    503: Unavailable,
}
