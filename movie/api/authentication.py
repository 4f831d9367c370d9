"""Authenticate API clients by their keys, and throttle requests by client or by address.

A client shows its key as `Authorization: Bearer rg_...`. Without that header a caller is anonymous and may
read what every visitor of the site can, within `API_ANONYMOUS_RATE_LIMIT`. A wrong key is never treated as
no key. Refused requests count towards the limits too, so that keys cannot be tried out quickly.

A route is open to everybody unless it names scopes: `@router.post(..., auth=require_scopes(READ))`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja.errors import Throttled
from ninja.security import HttpBearer
from ninja.throttling import BaseThrottle

from movie.api.models import SCOPES, ApiKey
from movie.api.problems import Problem, field_problem
from movie.visitors.networks import client_address
from movie.visitors.throttling import WINDOW, add_cost, seconds_until


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request: a client, or somebody at an address.

    limit  requests a minute
    rules  business rules of its lists, as the operator stored them
    """

    counted_as: str
    limit: int
    client: str = ""
    scopes: frozenset[str] = frozenset()
    rules: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def has_scope(self, scope: str) -> bool:
        return scope in self.scopes


class ClientThrottle(BaseThrottle):
    """Limits the requests a minute of a client, or of an address for callers without a key.

    It keeps one number for each caller and minute. ninja's SimpleRateThrottle stores the time of every
    request and keeps the request at hand on the throttle, which all threads share.
    """

    def allow_request(self, request: HttpRequest) -> bool:
        return self.allow(get_caller(request))

    def allow(self, caller: Caller) -> bool:
        return not seconds_until(caller.counted_as, caller.limit, WINDOW)

    def wait(self) -> float:
        """Return the seconds until the next minute; the same for everybody."""
        return WINDOW - time.time() % WINDOW

    def count_entries(self, request: HttpRequest, n_entries: int, field: str = "entries") -> None:
        """Count a batch as one request for each entry. It is answered if its first entry was allowed.

        Raises Problem (422) for a batch of more than `API_ANONYMOUS_BATCH` entries without a key.
        """
        most = settings.API_ANONYMOUS_BATCH
        if not get_caller(request).client and n_entries > most:
            raise field_problem("body", field, f"Without an API key a batch has at most {most} entries.")
        add_cost(get_caller(request).counted_as, n_entries - 1, WINDOW)


throttle = ClientThrottle()


class ApiKeyAuth(HttpBearer):
    """Finds the caller of a request. With scopes, it admits only clients that have all of them."""

    openapi_description = "A key of a client: rg_..."

    def __init__(self, *scopes: str) -> None:
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown:
            raise ValueError(f"there is no scope {unknown[0]!r}")
        self.scopes = scopes
        super().__init__()

    def __call__(self, request: HttpRequest) -> Caller:
        """Return the caller. Raises Problem (401, 403), or Throttled for one refused request too many."""
        header = request.META.get("HTTP_AUTHORIZATION")
        caller = None
        try:
            caller = anonymous_caller(request) if header is None else self.authenticate(request, header)
            for scope in self.scopes:
                require_scope(caller, scope)
        except Problem:
            if not throttle.allow(caller or anonymous_caller(request)):
                raise Throttled(math.ceil(throttle.wait())) from None
            raise
        return caller

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        """Return the client with this key; `token` is the complete header. Raises Problem (401)."""
        scheme, _, token = token.strip().partition(" ")
        key = ApiKey.objects.find(token.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise Problem(401, "This is no valid API key.")
        if key.state == "revoked":
            raise Problem(401, "This API key was revoked.")
        if key.state == "expired":
            raise Problem(401, f"This API key expired at {key.expires_at:%Y-%m-%dT%H:%MZ}.")
        key.store_use()
        client = key.client
        limit = client.rate_limit or settings.API_RATE_LIMIT
        return Caller(f"api:{client.slug}", limit, client.slug, frozenset(key.scopes), client.rules)


authenticate = ApiKeyAuth()


def anonymous_caller(request: HttpRequest) -> Caller:
    """Return the sender of a request without a valid key, who is counted by address."""
    return Caller(f"address:{client_address(request)}", settings.API_ANONYMOUS_RATE_LIMIT)


@lru_cache
def require_scopes(*scopes: str) -> ApiKeyAuth:
    """Return the `auth=` of a route that only clients with all of these scopes may call."""
    return ApiKeyAuth(*scopes)


def get_caller(request: HttpRequest) -> Caller:
    """Return the sender of a request whose route authenticates."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    return caller


def require_scope(caller: Caller, scope: str) -> None:
    """Raise Problem unless this caller has the scope: 401 without a key, 403 where the key lacks it."""
    if not caller.client:
        raise Problem(401, "This needs an API key: send Authorization: Bearer rg_...")
    if not caller.has_scope(scope):
        raise Problem(403, f"This API key lacks the scope {scope}.")
