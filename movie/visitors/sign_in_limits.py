"""How often a password may be guessed, on the site and in the admin; django-axes counts.

One address may fail `AXES_FAILURE_LIMIT` times with one account, so that nobody can lock another person
out from elsewhere, and `FAILURES_OF_AN_ADDRESS` times with all accounts together.
"""

from __future__ import annotations

from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from movie.visitors.throttling import UNKNOWN

FAILURES_OF_AN_ADDRESS = 100
LONGEST_NAME = 255  # what the column of axes holds
NAMES = ("username", "email", "login")


class SignInLimits(AxesDatabaseHandler):
    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        return super().is_locked(request, credentials) or self._tried_many(request)

    def user_logged_in(
        self, sender: Any, request: HttpRequest, user: AbstractBaseUser, **kwargs: Any
    ) -> None:
        """Whoever knows the password may have mistyped it, by name or by address."""
        super().user_logged_in(sender, request, user, **kwargs)
        email = getattr(user, "email", "")
        if email:
            self.reset_user_attempts(request, {"email": email})

    def _tried_many(self, request: HttpRequest) -> bool:
        address = getattr(request, "axes_ip_address", None)
        if address in (None, UNKNOWN):  # one of them must not lock all of them out
            return False
        tried = AccessAttempt.objects.filter(
            ip_address=address, attempt_time__gte=get_cool_off_threshold(request)
        )
        failures = tried.aggregate(failures=Sum("failures_since_start"))["failures"] or 0
        return failures >= FAILURES_OF_AN_ADDRESS


def account_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """What was typed as the account, in one spelling for all that sign-in takes for the same."""
    for source in (credentials or {}, request.POST):
        for name in NAMES:
            if typed := source.get(name):
                return str(typed).replace("\0", "").strip().casefold()[:LONGEST_NAME]
    return ""


def locked_out(
    request: HttpRequest, response: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """The page for somebody who has to wait."""
    wait = get_cool_off(request)
    context = {"minutes": round(wait.total_seconds() / 60)}
    page = render(request, "account/locked_out.html", context, status=429)
    page["Retry-After"] = str(round(wait.total_seconds()))
    return page
