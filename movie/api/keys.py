"""Who calls the API, what they may do, and how often.

A client shows its key as `Authorization: Bearer rg_...`. Without that header a caller is anonymous and may
read what every visitor of the site can, within `API_ANONYMOUS_RATE_LIMIT`. A wrong key is never taken for
no key. What is refused counts towards the limits too, so that keys cannot be tried out quickly.

A route is open to everybody unless it names scopes: `@router.post(..., auth=needs(WRITE_INTERACTIONS))`.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest
from django.utils import timezone
from ninja.errors import Throttled
from ninja.security import HttpBearer
from ninja.throttling import BaseThrottle

from movie.api.problems import Problem
from movie.api_clients import MARK, SCOPES, USED_EVERY, ApiKey, hash_of
from movie.client_address import client_address
from movie.rate_limit import WINDOW, seconds_until

logger = logging.getLogger(__name__)

LONGEST_KEY = 100
STORED = ("pk", "client__slug", "client__rate_limit", "scopes", "expires_at", "revoked_at", "last_used_at")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: a client, or somebody at an address. `limit` is requests a minute."""

    counted_as: str
    limit: int
    client: str = ""
    scopes: frozenset[str] = frozenset()

    def may(self, scope: str) -> bool:
        return scope in self.scopes


class ApiKeyAuth(HttpBearer):
    """Finds out who calls. With scopes, only clients that have all of them get in."""

    openapi_description = "A key of a client: rg_..."

    def __init__(self, *scopes: str) -> None:
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown:
            raise ValueError(f"there is no scope {unknown[0]!r}")
        self.scopes = scopes
        super().__init__()

    def __call__(self, request: HttpRequest) -> Caller:
        """Raises Problem (401, 403) and Throttled."""
        header = request.META.get("HTTP_AUTHORIZATION")
        caller = _anonymous(request) if header is None else self.authenticate(request, header)
        if self.scopes and not caller.client:
            raise _refused(caller, 401, "This needs an API key: send Authorization: Bearer rg_...")
        for scope in self.scopes:
            require(caller, scope)
        return caller

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        """Whose key this is. `token` is the whole header."""
        scheme, _, key = token.strip().partition(" ")
        row = _stored(key.strip()) if scheme.lower() == "bearer" else None
        if row is None:
            raise _refused(_anonymous(request), 401, "This is no valid API key.")
        pk, client, limit, scopes, expires_at, revoked_at, last_used_at = row
        now = timezone.now()
        if revoked_at is not None:
            raise _refused(_anonymous(request), 401, "This API key was revoked.")
        if expires_at is not None and expires_at <= now:
            raise _refused(_anonymous(request), 401, f"This API key expired at {expires_at:%Y-%m-%dT%H:%MZ}.")
        if last_used_at is None or now - last_used_at >= USED_EVERY:
            _note_use(pk, last_used_at, now)
        return Caller(f"api:{client}", limit or settings.API_RATE_LIMIT, client, frozenset(scopes))


class ClientThrottle(BaseThrottle):
    """Counts requests by client, or by address for those without a key, in windows of a minute."""

    def allow_request(self, request: HttpRequest) -> bool:
        return not _seconds_to_wait(caller_of(request))

    def wait(self) -> float:
        """Until the next window; the same for everybody."""
        return WINDOW - time.time() % WINDOW


authenticate = ApiKeyAuth()
throttle = ClientThrottle()


@lru_cache
def needs(*scopes: str) -> ApiKeyAuth:
    """For `auth=` of a route: only clients with all of these scopes."""
    return ApiKeyAuth(*scopes)


def caller_of(request: HttpRequest) -> Caller:
    """Who sent this request; for routes."""
    caller: Caller | None = getattr(request, "auth", None)
    return caller or authenticate(request)


def require(caller: Caller, scope: str) -> None:
    """Raise Problem unless this caller has the scope: 401 for want of a key, 403 where the key lacks it."""
    if not caller.client:
        raise _refused(caller, 401, "This needs an API key: send Authorization: Bearer rg_...")
    if not caller.may(scope):
        raise _refused(caller, 403, f"This API key lacks the scope {scope}.")


def _anonymous(request: HttpRequest) -> Caller:
    return Caller(f"address:{client_address(request)}", settings.API_ANONYMOUS_RATE_LIMIT)


def _stored(key: str) -> tuple[Any, ...] | None:
    """What the database has of this key now. The statement is prepared and the row understood once each:
    otherwise they take twenty times as long as the query itself."""
    if not key.startswith(MARK) or len(key) > LONGEST_KEY:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_statement(), [hash_of(key)])
        row = cursor.fetchone()
    return row and _understood(row)


@lru_cache
def _statement() -> str:
    return ApiKey.objects.filter(key_hash="").order_by().values_list(*STORED).query.sql_with_params()[0]


@lru_cache(maxsize=1024)
def _understood(row: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A row with its times and its list in Python's types; at least as new as what was given."""
    return ApiKey.objects.filter(pk=row[0]).values_list(*STORED).first()


def _note_use(pk: int, before: datetime | None, now: datetime) -> None:
    """Of requests at the same time one writes it. One that cannot be written is no reason to refuse."""
    try:
        ApiKey.objects.filter(pk=pk, last_used_at=before).update(last_used_at=now)
    except DatabaseError as error:
        logger.warning("the use of an API key was not noted: %s", error)


def _refused(caller: Caller, status: int, detail: str) -> Exception:
    """The refusal to raise: of too many requests if it is one too many."""
    wait = _seconds_to_wait(caller)
    return Throttled(wait) if wait else Problem(status, detail)


def _seconds_to_wait(caller: Caller) -> int:
    return seconds_until(caller.counted_as, caller.limit, WINDOW)
