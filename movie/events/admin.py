"""Ratings, events and dead letters in the admin."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from import_export.admin import ImportExportModelAdmin
from import_export.formats.base_formats import CSV, TSV

from movie.catalogue.models import (
    Rating,
)
from movie.core.admin import ReadOnlyAdmin
from movie.events.models import DeadLetter, Event
from movie.events.rating_edits import delete_ratings, save_rating
from movie.events.resources import RatingResource


@admin.register(Rating)
class RatingAdmin(ImportExportModelAdmin):
    """Whatever is edited or deleted here, the visitors' histories and the films' figures follow."""

    resource_classes = [RatingResource]
    formats = [CSV, TSV]
    list_display = ["visitor", "movie", "value", "rated_at"]
    list_select_related = ["movie"]
    list_filter = ["value"]
    search_fields = ["^visitor", "movie__title"]
    autocomplete_fields = ["movie"]
    list_per_page = 50
    show_full_result_count = False

    def save_model(self, request: HttpRequest, obj: Rating, form: forms.ModelForm, change: bool) -> None:
        save_rating(obj)

    def delete_model(self, request: HttpRequest, obj: Rating) -> None:
        delete_ratings([obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        delete_ratings(queryset)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ["at", "visitor", "kind", "movie", "value", "surface"]
    list_select_related = ["movie"]
    list_filter = ["kind", "surface"]
    search_fields = ["^visitor", "=recommendation_id"]
    ordering = ["-event_id"]
    show_full_result_count = False


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ["created", "group", "position", "reason"]
    list_filter = ["group"]
