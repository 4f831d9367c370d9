"""Admin pages of API clients and their keys."""

from __future__ import annotations

from typing import Any, ClassVar

from axes.models import AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Max, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from movie.api.models import SCOPES, ApiClient, ApiKey, set_new_token

# The AXES_ settings switch both off; only access attempts are written.
for unused in (AccessFailureLog, AccessLog):
    if admin.site.is_registered(unused):
        admin.site.unregister(unused)


class NoDeleteAdmin(admin.ModelAdmin):
    """Deletes nothing: another client must never get the name of a former one."""

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(ApiClient)
class ApiClientAdmin(NoDeleteAdmin):
    list_display = ["slug", "note", "rate_limit", "usable_keys", "last_used"]
    search_fields = ["slug", "note"]
    fields = ["slug", "note", "rate_limit", "rules"]
    actions = ["revoke_all"]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        usable = Count("keys", filter=Q(keys__in=ApiKey.objects.usable()))
        return super().get_queryset(request).annotate(usable=usable, used=Max("keys__last_used_at"))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["slug"] if obj else []

    @admin.action(description=_("Revoke all keys of the selected clients"), permissions=["change"])
    def revoke_all(self, request: HttpRequest, clients: QuerySet) -> None:
        report_revoked(self, request, ApiKey.objects.filter(client__in=clients).revoke())

    @admin.display(description=_("usable keys"), ordering="usable")
    def usable_keys(self, client: ApiClient) -> int:
        return getattr(client, "usable")  # noqa: B009 - annotated in get_queryset

    @admin.display(description=_("last used"), ordering="used", empty_value="–")
    def last_used(self, client: ApiClient) -> Any:
        return getattr(client, "used")  # noqa: B009


class ApiKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        label=_("May"),
        required=False,
        choices=lambda: [(scope, f"{scope}: {meaning}") for scope, meaning in SCOPES.items()],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("What every visitor may read needs none of these."),
    )

    class Meta:
        model = ApiKey
        fields: ClassVar = ["scopes", "expires_at"]


@admin.register(ApiKey)
class ApiKeyAdmin(NoDeleteAdmin):
    """Shows a new key once, in the answer to the form that created it."""

    form = ApiKeyForm
    list_display = ["prefix", "client", "scope_list", "state_now", "expires_at", "last_used_at", "created"]
    list_select_related = ["client"]
    list_filter = ["client", "revoked_at"]
    search_fields = ["^prefix", "client__slug"]
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        if obj is None:
            return ["client", "scopes", "expires_at"]
        return ["prefix", "client", "scopes", "expires_at", "revoked_at", "last_used_at", "created"]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["prefix", "client", "revoked_at", "last_used_at", "created"] if obj else []

    def save_model(self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm, change: bool) -> None:
        if not change:
            request.new_api_key = set_new_token(obj)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the new key. No message, session or cache keeps it."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("The new key"),
            "opts": self.opts,
            "key": obj,
            "token": request.new_api_key,  # type: ignore[attr-defined]
        }
        page = TemplateResponse(request, "admin/api/apikey/created.html", context)
        page["Cache-Control"] = "no-store"
        return page

    @admin.display(description=_("may"))
    def scope_list(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description=_("state"))
    def state_now(self, key: ApiKey) -> Any:
        return {"usable": _("usable"), "expired": _("expired"), "revoked": _("revoked")}[key.state]

    @admin.action(description=_("Revoke the selected keys, at once and for good"), permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet) -> None:
        report_revoked(self, request, keys.revoke())  # type: ignore[attr-defined]


def report_revoked(page: admin.ModelAdmin, request: HttpRequest, n_keys: int) -> None:
    text = ngettext("%(n)d key is revoked.", "%(n)d keys are revoked.", n_keys) % {"n": n_keys}
    page.message_user(request, text, messages.SUCCESS)
