"""The frame of every page, `{% frame as frame %}`: `frame.head`, `frame.masthead` and `frame.foot`.

These parts are a half of the work of a small page and the same for most visitors. They are rendered once for
all who see the same; what differs from one request to the next is then put into their slots.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from django import template
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
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
NAVIGATION = {  # views at which the masthead marks one of its links
    "pages:home",
    "pages:browse",
    "pages:recommend",
    "pages:tonight",
    "pages:history",
    "pages:my_watchlist",
    "pages:taste",
    "pages:together",
    "pages:group",
    "pages:programmes",
    "pages:programme",
    "pages:compare",
    "pages:compare_runs",
    "pages:taste_groups",
    "papers:list",
    "papers:detail",
    "papers:code",
}
SEE_EXPERIMENTS = ("experiments.view_experiment", "experiments.change_experiment")  # either is enough
SLOTS = ("csrf_token", "next", "query", "username")
_SLOT = re.compile("\0([a-z_]+)\0")  # no template has this character

register = template.Library()


class Frame(NamedTuple):
    """Holds the parts of a page around its own content."""

    head: str
    masthead: str
    foot: str


class FrameKey(NamedTuple):
    """Holds everything that the templates in `frame/` may ask about a page and its visitor, but the slots."""

    language: str | None
    page: str = ""  # the name of its view, if NAVIGATION has it
    theme: str = ""
    posters: str = ""  # drawn or photographed; "" where there is no choice
    is_member: bool = False
    is_staff: bool = False
    sees_experiments: bool = False
    site: tuple[str, str | None] = ("/", None)  # where its addresses begin


@register.simple_tag(takes_context=True)
def frame(context: Context) -> Frame:
    """Return the parts of `frame/`; their templates have the fields of `FrameKey` and SLOTS as variables."""
    request = context.get("request")
    key = FrameKey(get_language()) if request is None else _key_of(request)
    render = _rendered.__wrapped__ if settings.DEBUG else _rendered  # a template that is edited shows at once
    values = dict.fromkeys(SLOTS, "")
    if request is not None:
        values = {
            "csrf_token": context.get("csrf_token") or "",
            "next": current_path(context),
            "query": request.GET.get("q", "") if _view_of(request) == "pages:search" else "",
            "username": request.user.get_username() if key.is_member else "",
        }
    filled = {name: conditional_escape(value) for name, value in values.items()}
    return Frame(*(mark_safe(_SLOT.sub(lambda slot: filled[slot[1]], part)) for part in render(key)))  # noqa: S308


def _view_of(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""


def _key_of(request: HttpRequest) -> FrameKey:
    page, user = _view_of(request), getattr(request, "user", AnonymousUser())
    theme = request.COOKIES.get(THEME_COOKIE, "")
    posters = ("drawn", "photographed")[shows_photographs(request)] if photographs.any_stored() else ""
    return FrameKey(
        get_language(),
        page if page in NAVIGATION else "",
        theme if theme in THEMES else "",
        posters,
        is_member=user.is_authenticated,
        is_staff=user.is_staff,
        sees_experiments=user.is_staff and any(map(user.has_perm, SEE_EXPERIMENTS)),
        site=(get_script_prefix(), get_urlconf()),
    )


@lru_cache(maxsize=MOST_KEPT)
def _rendered(key: FrameKey) -> Frame:
    slots = {slot: mark_safe(f"\0{slot}\0") for slot in SLOTS}  # noqa: S308
    known = {**key._asdict(), **slots}
    return Frame(*(get_template(f"frame/_{part}.html").render(known) for part in Frame._fields))
