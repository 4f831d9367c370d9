"""The admin: catalogue, ratings, and what the site did (read-only)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import Count, ForeignKey, Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from import_export.admin import ImportExportModelAdmin
from import_export.formats.base_formats import CSV, TSV

from movie import admin_api  # noqa: F401 - registers its own
from movie.default_model_admin import DefaultModelAdmin  # noqa: F401 - registered there
from movie.experiment_admin import ExperimentAdmin  # noqa: F401 - registered there
from movie.models import (
    Country,
    Credit,
    ExternalId,
    Genre,
    Language,
    Movie,
    MovieTitle,
    Person,
    Rating,
    TrainingRun,
)
from movie.rating_edits import delete_ratings, save_rating
from movie.resources import MovieResource, RatingResource
from movie.stream_models import DeadLetter, Event
from movie.text import search_key


class KnownAutocomplete(AutocompleteSelect):
    """An autocomplete field that does not ask the database for the label of an object it was given."""

    known: Model | None = None

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> list[Any]:
        if self.known is None or [str(each) for each in value] != [str(self.known.pk)]:
            return super().optgroups(name, value, attr)
        return [(None, [self.create_option(name, self.known.pk, str(self.known), True, 0)], 0)]


class CreditForm(forms.ModelForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["person"].widget.widget.known = self.instance.person

    class Meta:
        model = Credit
        fields = ["role", "person", "order"]


class CreditInline(admin.TabularInline):
    model = Credit
    form = CreditForm
    extra = 0
    autocomplete_fields = ["person"]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("person", "movie")

    def formfield_for_foreignkey(
        self, db_field: ForeignKey, request: HttpRequest, **kwargs: object
    ) -> forms.ModelChoiceField | None:
        if db_field.name == "person":
            kwargs["widget"] = KnownAutocomplete(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class ExternalIdInline(admin.TabularInline):
    model = ExternalId
    extra = 0


class MovieTitleInline(admin.TabularInline):
    model = MovieTitle
    extra = 0


class SearchesByKey(admin.ModelAdmin):
    """Searches as the site does: typed in any case and any Unicode form."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        return super().get_search_results(request, queryset, search_key(search_term))


@admin.register(Movie)
class MovieAdmin(ImportExportModelAdmin, SearchesByKey):
    resource_classes = [MovieResource]
    formats = [CSV, TSV]
    list_display = ["title", "year", "genre_list", "rating_count", "stars", "is_visible"]
    list_filter = ["is_visible", "genres", "languages"]
    search_fields = ["titles__search_key", "=external_ids__value"]
    filter_horizontal = ["genres", "countries", "languages"]
    readonly_fields = ["rating_count", "rating_sum", "rating_average", "created", "updated"]
    inlines = [MovieTitleInline, CreditInline, ExternalIdInline]
    actions = ["hide", "show"]
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    fieldsets = [
        (
            None,
            {"fields": ["title", "sort_title", "year", "runtime", "synopsis", "poster_path", "is_visible"]},
        ),
        (_("Kinds"), {"fields": ["genres", "countries", "languages"], "classes": ["collapse"]}),
        (_("Ratings"), {"fields": ["rating_count", "rating_average", "rating_sum"]}),
        (_("Dates"), {"fields": ["created", "updated"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).prefetch_related("genres")

    @admin.display(description=_("genres"))
    def genre_list(self, movie: Movie) -> str:
        return ", ".join(movie.genre_names)

    @admin.display(description=_("mean stars"), ordering="rating_average", empty_value="–")
    def stars(self, movie: Movie) -> str | None:
        return None if movie.rating_average is None else f"{movie.rating_average:.2f}"

    @admin.action(description=_("Hide the selected films from visitors"), permissions=["change"])
    def hide(self, request: HttpRequest, films: QuerySet) -> None:
        n = films.update(is_visible=False, updated=timezone.now())
        text = ngettext("%(n)d film is hidden now.", "%(n)d films are hidden now.", n) % {"n": n}
        self.message_user(request, text, messages.SUCCESS)

    @admin.action(description=_("Show the selected films to visitors"), permissions=["change"])
    def show(self, request: HttpRequest, films: QuerySet) -> None:
        n = films.update(is_visible=True, updated=timezone.now())
        text = ngettext("%(n)d film is shown now.", "%(n)d films are shown now.", n) % {"n": n}
        self.message_user(request, text, messages.SUCCESS)


@admin.register(Person)
class PersonAdmin(SearchesByKey):
    list_display = ["name", "credit_count"]
    search_fields = ["search_key"]
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        people = super().get_queryset(request)
        listed = request.resolver_match is not None and (request.resolver_match.url_name or "").endswith(
            "_changelist"
        )
        return people.annotate(credit_total=Count("credits")) if listed else people

    @admin.display(description=_("credits"), ordering="credit_total")
    def credit_count(self, person: Person) -> int:
        return getattr(person, "credit_total")  # noqa: B009 - annotated in get_queryset


@admin.register(Genre, Country, Language)
class NameAdmin(admin.ModelAdmin):
    search_fields = ["name"]


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


class ReadOnly(admin.ModelAdmin):
    """To be looked at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Event)
class EventAdmin(ReadOnly):
    list_display = ["at", "visitor", "kind", "movie", "value", "surface"]
    list_select_related = ["movie"]
    list_filter = ["kind", "surface"]
    search_fields = ["^visitor", "=recommendation_id"]
    ordering = ["-event_id"]
    show_full_result_count = False


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnly):
    list_display = ["created", "group", "position", "reason"]
    list_filter = ["group"]


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnly):
    list_display = ["model", "state", "share", "version", "said", "started_at", "updated_at"]
    list_filter = ["model", "state"]

    @admin.display(description=_("progress"), ordering="progress")
    def share(self, run: TrainingRun) -> str:
        return f"{run.percent} %"

    @admin.display(description=_("message"), ordering="message")
    def said(self, run: TrainingRun) -> str:
        """What is stored is English; sentences without figures have translations."""
        return gettext(run.message) if run.message else ""
