"""Limit wrong passwords, on the site and in the admin; django-axes counts them.

One address may fail `AXES_FAILURE_LIMIT` times with one account, so that nobody can lock another person
out from elsewhere, and `FAILURES_OF_AN_ADDRESS` times with all accounts together.
"""

from __future__ import annotations

from typing import Any

from allauth.account.signals import password_reset
from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from axes.utils import reset
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Sum
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from movie.visitors.networks import UNKNOWN, client_address

FAILURES_OF_AN_ADDRESS = 100
LONGEST_NAME = 255  # what the column of axes holds
NAMES = ("username", "email", "login")


class SignInLimits(AxesDatabaseHandler):
    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        return super().is_locked(request, credentials) or self._tried_many(request)

    def user_logged_in(
        self, sender: Any, request: HttpRequest, user: AbstractBaseUser, **kwargs: Any
    ) -> None:
        """Forget the failures of an account at this address: its owner mistyped the password."""
        super().user_logged_in(sender, request, user, **kwargs)
        forget_failures(request, user)

    def _tried_many(self, request: HttpRequest) -> bool:
        address = getattr(request, "axes_ip_address", None)
        if address in (None, UNKNOWN):  # one of them must not lock all of them out
            return False
        tried = AccessAttempt.objects.filter(
            ip_address=address, attempt_time__gte=get_cool_off_threshold(request)
        )
        failures = tried.aggregate(failures=Sum("failures_since_start"))["failures"] or 0
        return failures >= FAILURES_OF_AN_ADDRESS


@receiver(password_reset, dispatch_uid="movie.forget_failures")
def forget_failures(request: HttpRequest, user: AbstractBaseUser, **kwargs: Any) -> None:
    """Forget the failures of an account at the address of a request, by name and by mail address.

    Whoever signed in, or chose a new password through a mail, owns the account.
    """
    for name in account_names(user):
        reset(ip=client_address(request), username=name)


def account_names(user: AbstractBaseUser) -> list[str]:
    """Return what is typed to sign in to an account, as `account_of` spells it."""
    typed = (user.get_username(), getattr(user, "email", ""))
    return [_spell(name) for name in typed if name]


def account_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """Return the account that was typed, in one spelling for all that sign-in takes for the same."""
    for source in (credentials or {}, request.POST):
        for name in NAMES:
            if typed := source.get(name):
                return _spell(str(typed))
    return ""


def _spell(name: str) -> str:
    return name.replace("\0", "").strip().casefold()[:LONGEST_NAME]


def locked_out(
    request: HttpRequest, response: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """Answer 429 with a page that says how long to wait."""
    wait = get_cool_off(request)
    context = {"minutes": round(wait.total_seconds() / 60)}
    page = render(request, "account/locked_out.html", context, status=429)
    page["Retry-After"] = str(round(wait.total_seconds()))
    return page
