"""Read and remember the dial of For you, from well-known to unexpected films."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from movie.pages.choices import DIAL_COOKIE, cookie_options, forget_choice

FAMILIARITY = "familiarity"  # the parameter of the address

# As written in an address, from the well-known end; 0 is the model as it was fitted.
STEPS: dict[str, Promise] = {
    "1": _("Well-known films"),
    "0.5": _("Rather well-known films"),
    "0": _("Balanced"),
    "-0.5": _("Rather unexpected films"),
    "-1": _("Unexpected films"),
}
DEFAULT, UNEXPECTED = "0", "-1"


@dataclass(frozen=True, slots=True)
class DialStep:
    value: str
    label: str
    is_chosen: bool


def chosen_step(request: HttpRequest) -> str:
    """Return the step of the address, else the remembered one, else the default. Other values count for
    nothing.
    """
    for asked in (request.GET.get(FAMILIARITY), request.COOKIES.get(DIAL_COOKIE)):
        if asked in STEPS:
            return str(asked)
    return DEFAULT


def remember_step(request: HttpRequest, response: HttpResponse) -> None:
    """Set the cookie to the step of the address; the default needs none."""
    asked = request.GET.get(FAMILIARITY)
    if asked not in STEPS or asked == request.COOKIES.get(DIAL_COOKIE, DEFAULT):
        return
    if asked == DEFAULT:
        forget_choice(response, DIAL_COOKIE)
        return
    response.set_cookie(DIAL_COOKIE, asked, **cookie_options())


def dial_steps(chosen: str) -> list[DialStep]:
    """Return the steps for a page to offer."""
    return [DialStep(value, str(label), value == chosen) for value, label in STEPS.items()]
