"""Show and change the account of a member: name, sessions, export of everything, and its end."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.mfa.utils import is_mfa_enabled
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model, logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from movie.core.http import error_response, see_other
from movie.events.archive import ArchiveUnavailable
from movie.pages.choices import DIAL_COOKIE, MODEL_COOKIE, POSTERS_COOKIE, THEME_COOKIE
from movie.pages.dial import chosen_step
from movie.pages.personal_data import close_account, export_of, is_only_administrator
from movie.pages.stored_data import rows_of_members
from movie.pages.views.pages import chosen_model
from movie.visitors.throttling import limited_post, seconds_until

EXPORTS, EXPORT_WINDOW = 10, 3600  # so many exports in so many seconds


class NameForm(forms.ModelForm):
    class Meta:
        model = get_user_model()
        fields = ("username",)
        labels = {"username": gettext_lazy("User name")}
        help_texts = {"username": gettext_lazy("You sign in with it, and your comments show it.")}

    def clean_username(self) -> str:
        name = str(self.cleaned_data["username"])
        return name if name == self.initial["username"] else get_adapter().clean_username(name)


class CloseForm(forms.Form):
    """Asks for the password, and counts wrong ones as sign-in does."""

    password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, user: AbstractUser, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        password = self.cleaned_data["password"]
        if not get_adapter().reauthenticate(self.user, password):
            raise ValidationError(get_adapter().error_messages["incorrect_password"])
        return str(password)


@never_cache
@require_safe
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Show what an account has, with the way to each change."""
    return _account_page(request, NameForm(instance=_member(request)))


@limited_post
@login_required
def change_name(request: HttpRequest) -> HttpResponse:
    """Change the name that a member signs in with."""
    form = NameForm(request.POST, instance=get_user_model()._default_manager.get(pk=_member(request).pk))
    if not form.is_valid():
        return _account_page(request, form, status=422)
    if form.has_changed():
        before = _member(request).get_username()
        user = form.save()
        context = {"from_name": before, "to_name": user.get_username()}
        get_adapter(request).send_notification_mail("account/email/name_changed", user, context)
        messages.success(request, _("Your name is %(name)s now.") % {"name": user.get_username()})
    return see_other(reverse("pages:account"))


@require_POST
@login_required
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """End one of a member's sessions."""
    get_object_or_404(UserSession, pk=session_id, user=_member(request)).end()
    messages.success(request, _("That session is ended."))
    return see_other(reverse("usersessions_list"))


@never_cache
@require_safe
@login_required
def export(request: HttpRequest) -> HttpResponse:
    """Send everything the site stores about a member, as JSON."""
    wait = seconds_until(f"export:{request.user.pk}", EXPORTS, EXPORT_WINDOW)
    if wait:
        return error_response(request, _("Too many exports. Try again in an hour."), status=429, wait=wait)
    try:
        content = export_of(_member(request))
    except ArchiveUnavailable:
        message = _("Older clicks cannot be read just now, so the export would lack some. Try again later.")
        return error_response(request, message, status=503)
    content["settings_of_this_browser"] = {
        "language": request.LANGUAGE_CODE,
        THEME_COOKIE: request.COOKIES.get(THEME_COOKIE, "auto"),
        MODEL_COOKIE: chosen_model(request) or "",
        DIAL_COOKIE: chosen_step(request),
        POSTERS_COOKIE: request.COOKIES.get(POSTERS_COOKIE, "drawn"),
    }
    response = JsonResponse(content, json_dumps_params={"indent": 1, "ensure_ascii": False})
    name = f"reelgraph-account-{timezone.localdate():%Y-%m-%d}.json"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def close(request: HttpRequest) -> HttpResponse:
    """Say what goes when an account is closed; close it after the password."""
    user = _member(request)
    form = CloseForm(request.POST if request.method == "POST" else None, user=user)
    is_only = is_only_administrator(user)
    if request.method == "POST" and not is_only and form.is_valid():
        email = _email_of(user)
        close_account(user)
        logout(request)
        if email:
            get_adapter(request).send_notification_mail("account/email/account_closed", user, email=email)
        messages.success(request, _("Your account and everything in it is deleted."))
        return see_other(reverse("pages:home"))
    context = {"form": form, "is_only_administrator": is_only, "deletion": rows_of_members()}
    return render(request, "pages/account_close.html", context, status=422 if form.errors else 200)


def _account_page(request: HttpRequest, form: NameForm, status: int = 200) -> HttpResponse:
    user = _member(request)
    context = {
        "form": form,
        "email": _email_of(user),
        "has_second_factor": is_mfa_enabled(user),
        "session_count": _count_sessions(request),
    }
    return render(request, "pages/account.html", context, status=status)


def _count_sessions(request: HttpRequest) -> int:
    """Return how many sessions a member has; list one that began before sessions were listed."""
    if not UserSession.objects.filter(session_key=request.session.session_key).exists():
        UserSession.objects.create_from_request(request)
    return len(UserSession.objects.purge_and_list(_member(request)))


def _email_of(user: AbstractUser) -> str:
    return EmailAddress.objects.get_primary_email(user) or user.email


def _member(request: HttpRequest) -> AbstractUser:
    return cast(AbstractUser, request.user)
