"""Programmes in the admin: to hide what should not be public."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from movie.programmes.models import Programme


@admin.register(Programme)
class ProgrammeAdmin(admin.ModelAdmin):
    list_display = ["title", "visitor", "is_public", "is_hidden", "updated"]
    list_filter = ["is_public", "is_hidden"]
    search_fields = ["title", "note"]
    readonly_fields = ["visitor", "title", "note", "is_public", "created", "updated"]
    actions = ["hide", "show"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Programme]:
        """Leave out what its owner keeps private."""
        return super().get_queryset(request).filter(is_public=True)

    @admin.action(description=_("Hide the selected programmes"), permissions=["change"])
    def hide(self, request: HttpRequest, programmes: QuerySet[Programme]) -> None:
        programmes.update(is_hidden=True)

    @admin.action(description=_("Show the selected programmes"), permissions=["change"])
    def show(self, request: HttpRequest, programmes: QuerySet[Programme]) -> None:
        programmes.update(is_hidden=False)
