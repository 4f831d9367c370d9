"""Who is asking: a member by account, or a guest by a signed cookie."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponseBase

GUEST_COOKIE = "guest"
SALT = "movie.visitors.visitor"
LIFETIME = timedelta(days=365)
# A guest who keeps coming keeps the history: the cookie is renewed once it is this old.
RENEW_AFTER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Visitor:
    """`key` is what interactions and ratings are stored under: `guest:<uuid>` or `user:<pk>`."""

    key: str
    user: AbstractBaseUser | None = None
    is_new: bool = False  # a guest who has not sent the cookie yet

    @property
    def is_member(self) -> bool:
        return self.user is not None

    @classmethod
    def from_request(cls, request: HttpRequest) -> Visitor:
        """Return who sent this request.

        A forged, damaged or expired cookie makes a new guest, never an error. No row is written for a
        guest: `VisitorMiddleware` sends the key to the browser and the browser brings it back.
        """
        user = getattr(request, "user", None)
        if user is not None and user.is_authenticated:
            return cls.for_user(user)
        key = guest_key_of(request)
        return cls(key) if key else cls.new_guest()

    @classmethod
    def for_user(cls, user: AbstractBaseUser) -> Visitor:
        return cls(f"user:{user.pk}", user)

    @classmethod
    def new_guest(cls) -> Visitor:
        return cls(f"guest:{uuid.uuid4()}", is_new=True)


class VisitorRequest(HttpRequest):
    """A request after `VisitorMiddleware`. `visitor_was_used` once the answer depends on the visitor."""

    visitor: Visitor
    visitor_was_used: bool


def guest_key_of(request: HttpRequest, max_age: timedelta = LIFETIME) -> str | None:
    """Return the key in a genuine guest cookie not older than `max_age`, else None."""
    return request.get_signed_cookie(GUEST_COOKIE, default=None, salt=SALT, max_age=max_age)


def set_guest_cookie(request: VisitorRequest, response: HttpResponseBase) -> None:
    """Leave the browser with the right guest cookie: a guest's own, a member none."""
    visitor = request.visitor
    if visitor.is_member:
        if GUEST_COOKIE in request.COOKIES:
            response.delete_cookie(GUEST_COOKIE, samesite="Lax")
    elif visitor.is_new or guest_key_of(request, RENEW_AFTER) is None:
        response.set_signed_cookie(
            GUEST_COOKIE,
            visitor.key,
            salt=SALT,
            max_age=LIFETIME,
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
