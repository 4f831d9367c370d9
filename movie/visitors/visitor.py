"""The visitor of a request (a member by account, a guest by a signed cookie) and namespaces of visitor ids.

    guest:<uuid>, user:<pk>      guests and members of the site
    api:<client>:<its own id>    users of a program that calls the API
    ml-100k:42                   people of a data set, here `ml-100k`

The first three can act: they have events, and their ratings follow from these. People of a data set
cannot act and have ratings only.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

OF_SITE = ("guest", "user")
OF_CLIENTS = "api"
ACTING = (*OF_SITE, OF_CLIENTS)
LONGEST_VISITOR = 128  # characters, of the columns that hold a visitor

GUEST_COOKIE = "guest"
SALT = "movie.visitors.visitor"
LIFETIME = timedelta(days=365)
# A guest who keeps coming keeps the history: the cookie is renewed once it is this old.
RENEW_AFTER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Visitor:
    """A guest or a member. Interactions and ratings are stored under `key`: `guest:<uuid>` or `user:<pk>`."""

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


class VisitorMiddleware:
    """Sets `request.visitor`, found out when it is first used.

    The guest cookie is sent with the first page, and wherever an answer depended on the visitor. Posters and
    other files that are the same for everybody stay free of cookies, so they can be cached.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = cast(VisitorRequest, request)

        def find_visitor() -> Visitor:
            asked.visitor_was_used = True
            return Visitor.from_request(asked)

        asked.visitor_was_used = False
        asked.visitor = cast(Visitor, SimpleLazyObject(find_visitor))
        response = self.get_response(asked)
        if asked.visitor_was_used or _is_page(asked, response):
            set_guest_cookie(asked, response)
            patch_vary_headers(response, ["Cookie"])
            if not response.has_header("Cache-Control"):  # else Back shows the page as it was before a rating
                response["Cache-Control"] = "private, no-store"
        return response


def _is_page(request: HttpRequest, response: HttpResponse) -> bool:
    return (
        request.method == "GET"
        and response.status_code == 200
        and response.get("Content-Type", "").startswith("text/html")
    )


# -- namespaces of visitor ids ------------------------------------------------------------------------


def can_act(visitor: str) -> bool:
    """Return whether this visitor has events: a guest, a member or a user of an API client."""
    namespace, colon, _ = visitor.partition(":")
    return bool(colon) and namespace in ACTING


def acting() -> Q:
    """Return the condition of `can_act` for a table with a column `visitor`."""
    condition = Q()
    for namespace in ACTING:
        condition |= Q(visitor__startswith=f"{namespace}:")
    return condition
