"""Lead the admin's sign-in to the site's own, with its limits and its second factor."""

from __future__ import annotations

from allauth.account.decorators import secure_admin_login
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _

from movie.visitors.staff import is_trusted_staff, lacks_second_factor


class AdminSite(admin.AdminSite):
    """Lets trusted staff in; sends everybody else to the pages of accounts."""

    def has_permission(self, request: HttpRequest) -> bool:
        return is_trusted_staff(request.user)

    @method_decorator(secure_admin_login)
    def login(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        """Send guests to the sign-in of the site, and staff without a second factor to where one is added."""
        if lacks_second_factor(request.user):
            messages.warning(request, _("The administration asks for a second factor. Add one here first."))
            return redirect("mfa_index")
        return super().login(request, extra_context)

    def password_change(  # type: ignore[override]  # the stubs want a page
        self, request: HttpRequest, extra_context: dict | None = None
    ) -> HttpResponse:
        """Send staff to the page of the site that changes a password, which tells them by mail."""
        return redirect("account_change_password")
