"""Cookies in which a browser remembers what its visitor chose: the model, the theme, the step of the dial,
drawn or photographed posters.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from movie.catalogue import photographs

MODEL_COOKIE, THEME_COOKIE, DIAL_COOKIE, POSTERS_COOKIE = "model", "theme", "familiarity", "posters"
THEMES = ("light", "dark")  # without one the page looks as the device does
PHOTOGRAPHED = "photographed"  # without it posters are drawn
CHOICE_LIFETIME = timedelta(days=365)


def cookie_options() -> dict[str, Any]:
    """Return the options of `set_cookie` that are the same for every choice."""
    return {
        "max_age": CHOICE_LIFETIME,
        "httponly": True,
        "samesite": "Lax",
        "secure": settings.SESSION_COOKIE_SECURE,
    }


def shows_photographs(request: HttpRequest | None) -> bool:
    """Return whether the visitor chose photographed posters and the site has some."""
    chosen = request is not None and request.COOKIES.get(POSTERS_COOKIE) == PHOTOGRAPHED
    return chosen and photographs.any_stored()


def forget_choice(response: HttpResponse, cookie: str) -> None:
    """Delete the cookie of a choice."""
    response.delete_cookie(cookie, samesite="Lax")
