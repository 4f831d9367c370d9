"""Ratings, events and dead letters in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from movie.catalogue.admin import MovieAdmin, confirm_merge
from movie.catalogue.merging import MergeRefused
from movie.catalogue.models import Movie, Rating
from movie.core.admin import ReadOnlyAdmin
from movie.core.csv_import_admin import BatchImportAdmin
from movie.events.models import DeadLetter, Event
from movie.events.movie_merging import merge_movies
from movie.events.rating_edits import delete_ratings, save_rating
from movie.events.resources import RatingResource
from movie.events.stream.replay import replay
from movie.events.weighing import unusual_movies

REPLAYED_AT_ONCE = 200  # messages, of one request


@admin.action(description=_("Merge the selected films"), permissions=["change", "delete"])
def merge_selected(
    model_admin: admin.ModelAdmin, request: HttpRequest, movies: QuerySet[Movie]
) -> HttpResponse | None:
    """Make the selected movies one: the one with most ratings stays."""
    found = list(movies.order_by("-rating_count", "pk"))
    if page := confirm_merge(request, model_admin, found, "merge_selected"):
        return page
    try:
        merge_movies(found[0], found[1:])
    except MergeRefused as refused:
        model_admin.message_user(request, str(refused), messages.ERROR)
        return None
    model_admin.message_user(request, _("They are one now: %(name)s.") % {"name": found[0]}, messages.SUCCESS)
    return None


class UnusualRatings(admin.SimpleListFilter):
    """Lists the movies that many new visitors rated within a day."""

    title = _("ratings")
    parameter_name = "ratings"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, Any]]:
        return [("unusual", _("many by new visitors within a day"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() != "unusual":
            return queryset
        return queryset.filter(pk__in=[each.movie.pk for each in unusual_movies()])


# They need events, which the catalogue does not know.
MovieAdmin.actions = [*MovieAdmin.actions, merge_selected]
MovieAdmin.list_filter = [*MovieAdmin.list_filter, UnusualRatings]


@admin.register(Rating)
class RatingAdmin(BatchImportAdmin):
    """Edits ratings; visitors' histories and movies' aggregates follow each change."""

    resource_classes = [RatingResource]
    list_display = ["visitor", "movie", "value", "rated_at", "weight"]
    readonly_fields = ["weight"]
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
    list_display = ["at", "visitor", "kind", "movie", "value", "watched_on", "progress", "weight", "surface"]
    list_select_related = ["movie"]
    list_filter = ["kind", "surface"]
    search_fields = ["^visitor", "=recommendation_id"]
    ordering = ["-event_id"]
    show_full_result_count = False


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ["created", "group", "position", "reason"]
    list_filter = ["group"]
    fields = ["created", "group", "position", "reason", "raw"]
    actions = ["replay"]

    @admin.action(description=_("Process the selected messages once more"), permissions=["replay"])
    def replay(self, request: HttpRequest, letters: QuerySet[DeadLetter]) -> None:
        done = [replay(letter) for letter in letters[:REPLAYED_AT_ONCE]]
        n, left = sum(done), len(done) - sum(done)
        if n:
            text = ngettext("%(n)d message was processed.", "%(n)d messages were processed.", n) % {"n": n}
            self.message_user(request, text, messages.SUCCESS)
        if left:
            text = ngettext(
                "%(n)d message cannot be processed yet; its reason says why.",
                "%(n)d messages cannot be processed yet; their reasons say why.",
                left,
            )
            self.message_user(request, text % {"n": left}, messages.WARNING)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Replaying deletes the message: whoever may delete it may replay it."""
        return request.user.has_perm("events.delete_deadletter")
