"""Movies, people and names in the admin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import Count, ForeignKey, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from movie.catalogue.fact_sources import STAFF, FactOrigin, order_text
from movie.catalogue.merging import merge_people
from movie.catalogue.models import Country, Credit, ExternalId, Genre, Language, Movie, MovieTitle, Person
from movie.catalogue.removal import delete_movies
from movie.catalogue.resources import MovieResource
from movie.catalogue.titles import search_key
from movie.catalogue.twins import find_twins
from movie.core.batches import write_in_batches
from movie.core.csv_import_admin import BatchImportAdmin
from movie.core.database import retry_on_deadlock

ROLE_FACTS: dict[str, str] = {
    Credit.Role.DIRECTOR: "directors",
    Credit.Role.WRITER: "writers",
    Credit.Role.CAST: "cast",
}


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


class SearchKeyAdmin(admin.ModelAdmin):
    """Searches as the site does: typed in any case and any Unicode form."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        return super().get_search_results(request, queryset, search_key(search_term))

    @retry_on_deadlock
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form, or save it, which is one transaction."""
        return super().changeform_view(request, *args, **kwargs)

    @retry_on_deadlock
    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask whether to delete one object, or delete it, which is one transaction."""
        return super().delete_view(request, *args, **kwargs)

    @retry_on_deadlock
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        super().delete_queryset(request, queryset)


class TwinFilter(admin.SimpleListFilter):
    """Lists what the catalogue holds more than once."""

    title = _("twins")
    parameter_name = "twins"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, Any]]:
        return [("yes", _("in the catalogue more than once"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() != "yes":
            return queryset
        if queryset.model is Movie:
            return queryset.filter(pk__in=[pk for group in find_twins() for pk in group])
        names = Person.objects.order_by().values("search_key").annotate(n=Count("pk")).filter(n__gt=1)
        return queryset.filter(search_key__in=names.values("search_key"))


def confirm_merge(
    request: HttpRequest, model_admin: admin.ModelAdmin, objects: Sequence[Model], action: str
) -> HttpResponse | None:
    """Return a page that asks for confirmation, or None once it was given; a single object is refused."""
    if len(objects) < 2:
        model_admin.message_user(request, _("Select at least two."), messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())
    if "confirmed" in request.POST:
        return None
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Merge"),
        "opts": model_admin.opts,
        "objects": objects,
        "action": action,
    }
    return TemplateResponse(request, "admin/catalogue/merge_confirmation.html", context)


def _set_visible(movies: QuerySet[Movie], *, is_visible: bool) -> int:
    """Show or hide movies, in small batches; return how many."""
    now = timezone.now()

    @retry_on_deadlock
    def write(ids: list[int]) -> int:
        return Movie.objects.filter(pk__in=ids).update(is_visible=is_visible, updated=now)

    return sum(write_in_batches(list(movies.values_list("pk", flat=True)), write))


@admin.register(Movie)
class MovieAdmin(BatchImportAdmin, SearchKeyAdmin):
    resource_classes = [MovieResource]
    list_display = ["title", "year", "genre_list", "rating_count", "stars", "unweighed_stars", "is_visible"]
    list_filter = ["is_visible", TwinFilter, "genres", "languages"]
    search_fields = ["titles__search_key", "=external_ids__value"]
    filter_horizontal = ["genres", "countries", "languages"]
    readonly_fields = ["rating_count", "rating_average", "unweighed_stars", "created", "updated"]
    inlines = [MovieTitleInline, CreditInline, ExternalIdInline]
    actions = ["hide", "show"]
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "title",
                    "sort_title",
                    "year",
                    "runtime",
                    "synopsis",
                    "poster_path",
                    "photograph",
                    "trailer_url",
                    "is_visible",
                ]
            },
        ),
        (
            _("Availability"),
            {"fields": ["available_from", "available_until", "attributes"], "classes": ["collapse"]},
        ),
        (_("Kinds"), {"fields": ["genres", "countries", "languages"], "classes": ["collapse"]}),
        (_("Ratings"), {"fields": ["rating_count", "rating_average", "unweighed_stars"]}),
        (_("Dates"), {"fields": ["created", "updated"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).prefetch_related("genres")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save, and record that the order of the people is staff's decision where they changed it."""
        super().save_related(request, form, formsets, change)
        if any(formset.model is Credit and formset.has_changed() for formset in formsets):
            pk = form.instance.pk
            people: dict[str, list[int]] = {fact: [] for fact in ROLE_FACTS.values()}
            credits = Credit.objects.filter(movie=pk).order_by("order")
            for role, person in credits.values_list("role", "person"):
                people[ROLE_FACTS[role]].append(person)
            decided = {(pk, fact): order_text(ids) for fact, ids in people.items()}
            FactOrigin.objects.record(STAFF, decided)

    @admin.display(description=_("genres"))
    def genre_list(self, movie: Movie) -> str:
        return ", ".join(movie.genre_names)

    @admin.display(description=_("mean stars"), ordering="rating_average", empty_value="–")
    def stars(self, movie: Movie) -> str | None:
        return None if movie.rating_average is None else f"{movie.rating_average:.2f}"

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        delete_movies(queryset.values_list("pk", flat=True))

    @admin.display(description=_("mean stars without weights"), empty_value="–")
    def unweighed_stars(self, movie: Movie) -> str | None:
        return None if movie.unweighed_average is None else f"{movie.unweighed_average:.2f}"

    @admin.action(description=_("Hide the selected films from visitors"), permissions=["change"])
    def hide(self, request: HttpRequest, movies: QuerySet) -> None:
        n = _set_visible(movies, is_visible=False)
        text = ngettext("%(n)d film is hidden now.", "%(n)d films are hidden now.", n) % {"n": n}
        self.message_user(request, text, messages.SUCCESS)

    @admin.action(description=_("Show the selected films to visitors"), permissions=["change"])
    def show(self, request: HttpRequest, movies: QuerySet) -> None:
        n = _set_visible(movies, is_visible=True)
        text = ngettext("%(n)d film is shown now.", "%(n)d films are shown now.", n) % {"n": n}
        self.message_user(request, text, messages.SUCCESS)


@admin.register(Person)
class PersonAdmin(SearchKeyAdmin):
    list_display = ["name", "credit_count"]
    list_filter = [TwinFilter]
    search_fields = ["search_key"]
    actions = ["merge"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    @admin.action(description=_("Merge the selected people"), permissions=["change", "delete"])
    def merge(self, request: HttpRequest, people: QuerySet) -> HttpResponse | None:
        credited = people.annotate(n_credits=Count("credits")).order_by("-n_credits", "pk")
        found = list(credited)
        if page := confirm_merge(request, self, found, "merge"):
            return page
        merge_people(found[0], found[1:])
        self.message_user(request, _("They are one now: %(name)s.") % {"name": found[0]}, messages.SUCCESS)
        return None

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
