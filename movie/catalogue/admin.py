"""Movies, people and names in the admin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import Count, ForeignKey, Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from import_export.admin import ImportExportModelAdmin
from import_export.formats.base_formats import CSV, TSV

from movie.catalogue.models import (
    Country,
    Credit,
    ExternalId,
    Genre,
    Language,
    Movie,
    MovieTitle,
    Person,
)
from movie.catalogue.resources import MovieResource
from movie.catalogue.titles import search_key


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
