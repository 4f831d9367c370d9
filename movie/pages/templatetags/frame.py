"""The frame of every page, `{% frame as frame %}`: `frame.head`, `frame.masthead` and `frame.foot`.

These parts are a half of the work of a small page and the same for most visitors. They are rendered once for
all who see the same; what differs from one request to the next is then put into their slots.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from django import template
from django.conf import settings
from django.http import HttpRequest
from django.template import Context
from django.template.loader import get_template
from django.urls import get_script_prefix, get_urlconf
from django.utils.html import conditional_escape
from django.utils.safestring import mark_safe
from django.utils.translation import get_language

from movie.catalogue import photographs
from movie.pages.choices import THEME_COOKIE, THEMES, shows_photographs
from movie.pages.templatetags.reelgraph import current_path

MOST_KEPT = 256  # about 2 MB
SLOTS = ("csrf_token", "next", "query", "username")
_SLOT = re.compile("\0([a-z_]+)\0")  # no template has this character

register = template.Library()


class Frame(NamedTuple):
    """Holds the parts of a page around its own content."""

    head: str
    masthead: str
    foot: str


class Seen(NamedTuple):
    """Holds everything that the templates in `frame/` may ask about a page and its visitor, but the slots."""

    language: str | None
    page: str = ""  # the name of its view
    theme: str = ""
    posters: str = ""  # drawn or photographed; "" where there is no choice
    is_member: bool = False
    is_staff: bool = False
    sees_experiments: bool = False
    site: tuple[str, str | None] = ("/", None)  # where its addresses begin


@register.simple_tag(takes_context=True)
def frame(context: Context) -> Frame:
    """Return the parts of `frame/`, whose templates have the fields of `Seen` and the SLOTS as variables."""
    request = context.get("request")
    seen = Seen(get_language()) if request is None else _seen_by(request, context.get("perms"))
    render = _rendered.__wrapped__ if settings.DEBUG else _rendered  # a template that is edited shows at once
    values = dict.fromkeys(SLOTS, "")
    if request is not None:
        values = {
            "csrf_token": context.get("csrf_token") or "",
            "next": current_path(context),
            "query": request.GET.get("q", "") if seen.page == "pages:search" else "",
            "username": request.user.get_username() if seen.is_member else "",
        }
    filled = {name: conditional_escape(value) for name, value in values.items()}
    return Frame(*(mark_safe(_SLOT.sub(lambda slot: filled[slot[1]], part)) for part in render(seen)))  # noqa: S308


def _seen_by(request: HttpRequest, perms: Any) -> Seen:
    match, user = request.resolver_match, getattr(request, "user", None)
    theme = request.COOKIES.get(THEME_COOKIE, "")
    posters = ("drawn", "photographed")[shows_photographs(request)] if photographs.any_stored() else ""
    is_staff = user is not None and user.is_staff
    return Seen(
        get_language(),
        match.view_name if match else "",
        theme if theme in THEMES else "",
        posters,
        is_member=user is not None and user.is_authenticated,
        is_staff=is_staff,
        sees_experiments=is_staff and bool(perms) and "movie.view_experiment" in perms,
        site=(get_script_prefix(), get_urlconf()),
    )


@lru_cache(maxsize=MOST_KEPT)
def _rendered(seen: Seen) -> Frame:
    slots = {slot: mark_safe(f"\0{slot}\0") for slot in SLOTS}  # noqa: S308
    known = {**seen._asdict(), **slots}
    return Frame(*(get_template(f"frame/_{part}.html").render(known) for part in Frame._fields))
