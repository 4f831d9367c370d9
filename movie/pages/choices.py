"""Cookies in which a browser remembers what its visitor chose: the model, the theme, the step of the dial."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpResponse

MODEL_COOKIE, THEME_COOKIE, DIAL_COOKIE = "model", "theme", "familiarity"
CHOICE_LIFETIME = timedelta(days=365)


def cookie_options() -> dict[str, Any]:
    """Return the options of `set_cookie` that are the same for every choice."""
    return {
        "max_age": CHOICE_LIFETIME,
        "httponly": True,
        "samesite": "Lax",
        "secure": settings.SESSION_COOKIE_SECURE,
    }


def forget_choice(response: HttpResponse, cookie: str) -> None:
    """Delete the cookie of a choice."""
    response.delete_cookie(cookie, samesite="Lax")
