"""Ratings and years as they are printed and read aloud."""

from __future__ import annotations

from functools import lru_cache

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _

SPOKEN_STARS = {
    0.5: _("half a star"),
    1.0: _("one star"),
    1.5: _("one and a half stars"),
    2.0: _("two stars"),
    2.5: _("two and a half stars"),
    3.0: _("three stars"),
    3.5: _("three and a half stars"),
    4.0: _("four stars"),
    4.5: _("four and a half stars"),
    5.0: _("five stars"),
}


@lru_cache(maxsize=256)
def stars(value: float | None) -> str:
    """Print a rating: 3.5 -> "3½★", 0.5 -> "½★", None -> ""."""
    return "" if value is None else f"{halves(value)}★"


@lru_cache(maxsize=256)
def halves(value: float) -> str:
    """Print a number of half stars without its unit, for an axis: 3.5 -> "3½"."""
    whole, half = divmod(round(float(value) * 2), 2)
    return f"{whole or '' if half else whole}{'½' if half else ''}"


def spoken_stars(value: float | None) -> str:
    """Say a rating in the visitor's language: 3.5 -> "three and a half stars"."""
    if value is None:
        return gettext("not rated")
    msgid = SPOKEN_STARS.get(float(value))
    if msgid:
        return gettext(msgid)
    return ngettext("%(value)s star", "%(value)s stars", int(value)) % {"value": value}


def decade(year: int | None) -> str:
    """Print the decade of a year: 1995 -> "1990s", None -> ""."""
    return gettext("%(decade)ds") % {"decade": int(year) // 10 * 10} if year else ""


def running_time(minutes: int | None) -> str:
    """Print a running time: 116 -> "116 minutes", None -> ""."""
    if not minutes:
        return ""
    return ngettext("%(minutes)s minute", "%(minutes)s minutes", minutes) % {"minutes": minutes}
