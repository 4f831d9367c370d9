"""Validated GET parameters of the catalogue pages.

A link may be old, mistyped or made by hand: what is not understood is left out and said, the
rest still holds. So these forms offer `notes` beside their cleaned values and are never refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from django import forms
from django.http import QueryDict
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from movie.catalogue.browse import DEFAULT_SORT, RUNTIMES, SORTS, BrowseFilters
from movie.catalogue.facets import Facet, Facets

GENRE_PREFIX = "genre-"
GENRE_STATES = (("", _("any")), ("in", _("with")), ("out", _("without")))
SEARCH_LENGTH = 100
NOTED_LENGTH = 40  # of a value that was not understood, as repeated to the visitor


class QuickSelect(forms.Select):
    """A select drawn without the template engine, which takes 20 ms for the countries of a catalogue."""

    def render(
        self, name: str, value: object, attrs: dict | None = None, renderer: object = None
    ) -> SafeString:
        chosen = "" if value is None else str(value)
        options = format_html_join(
            "",
            '<option value="{}"{}>{}</option>',
            (
                (option, mark_safe(" selected") if str(option) == chosen else "", label)
                for option, label in self.choices
            ),
        )
        return format_html(
            '<select name="{}" id="{}">{}</select>', name, (attrs or {}).get("id", ""), options
        )


class ThreeWay(forms.RadioSelect):
    """Three radios in their labels, drawn without the template engine."""

    def render(
        self, name: str, value: object, attrs: dict | None = None, renderer: object = None
    ) -> SafeString:
        return format_html_join(
            "",
            '<label class="three-way-{}"><input type="radio" name="{}" value="{}"{}><span>{}</span></label>',
            (
                (state or "any", name, state, mark_safe(" checked") if state == (value or "") else "", label)
                for state, label in self.choices
            ),
        )


class BrowseForm(forms.Form):
    """Filters of the browse page.

    A browser sends the form as one `genre-<pk>` per genre; links use the shorter and lasting
    `in=<name>` and `out=<name>`, which may be repeated. Both are understood.
    """

    decade = forms.ChoiceField(label=_("Decade"), required=False, widget=QuickSelect)
    language = forms.ChoiceField(label=_("Language"), required=False, widget=QuickSelect)
    country = forms.ChoiceField(label=_("Country"), required=False, widget=QuickSelect)
    runtime = forms.ChoiceField(label=_("Running time"), required=False, widget=QuickSelect)
    sort = forms.ChoiceField(
        label=_("Sort by"), required=False, choices=list(SORTS.items()), widget=QuickSelect
    )

    def __init__(self, query: QueryDict, facets: Facets) -> None:
        self.facets = facets
        self.notes: list[str] = []
        self.sent_as_form = any(key.startswith(GENRE_PREFIX) for key in query) or "" in query.values()
        super().__init__(self._with_genre_states(query))
        self._offer("decade", gettext("Any decade"), (_decade(facet) for facet in facets.decades))
        self._offer("language", gettext("Any language"), map(_named, _by_own_name(facets.languages)))
        self._offer("country", gettext("Any country"), map(_named, _by_own_name(facets.countries)))
        self._offer("runtime", gettext("Any length"), ((str(n), up_to_minutes(n)) for n in RUNTIMES))
        for facet in facets.genres:
            self.fields[_field_of(facet)] = forms.ChoiceField(
                label=gettext(facet.name), required=False, choices=GENRE_STATES, widget=ThreeWay
            )
        self._filters = self._validated()

    def _with_genre_states(self, query: QueryDict) -> dict[str, str]:
        """Return the query with `in` and `out` turned into one state per genre."""
        data = {key: query.get(key, "").strip() for key in query if key not in ("in", "out")}
        known = {facet.name.casefold(): facet for facet in self.facets.genres}
        for state in ("out", "in"):
            for name in filter(None, query.getlist(state)):
                facet = known.get(name.casefold())
                if facet is None:
                    self._note(gettext("There is no genre “%(value)s” here."), name)
                elif data.get(_field_of(facet), state) != state:
                    self._note(
                        gettext("“%(value)s” was both wanted and unwanted; it is taken as wanted."), name
                    )
                if facet is not None:
                    data[_field_of(facet)] = state
        data.setdefault("sort", DEFAULT_SORT)
        return data

    def _note(self, message: str, value: str) -> None:
        self.notes.append(message % {"value": value[:NOTED_LENGTH]})

    def _offer(self, name: str, nothing: str, options: Iterable[tuple[str, str]]) -> None:
        cast(forms.ChoiceField, self.fields[name]).choices = [("", nothing), *options]

    def _validated(self) -> BrowseFilters:
        if not self.is_valid():
            for name in self.errors:
                self.notes.append(
                    gettext("%(field)s: “%(value)s” is not known here and was left out.")
                    % {"field": self.fields[name].label, "value": self.data[name][:NOTED_LENGTH]}
                )
        chosen = self.cleaned_data
        genres = {facet.name: chosen.get(_field_of(facet)) for facet in self.facets.genres}
        return BrowseFilters(
            genres_in=tuple(name for name, state in genres.items() if state == "in"),
            genres_out=tuple(name for name, state in genres.items() if state == "out"),
            decade=int(chosen["decade"]) if chosen.get("decade") else None,
            language=chosen.get("language", ""),
            country=chosen.get("country", ""),
            runtime=int(chosen["runtime"]) if chosen.get("runtime") else None,
            sort=chosen.get("sort") or DEFAULT_SORT,
        )

    @property
    def filters(self) -> BrowseFilters:
        return self._filters

    @property
    def selects(self) -> list[forms.BoundField]:
        """Return the fields of the filters that have options, and of the sort order."""
        offered = {
            "decade": self.facets.decades,
            "language": self.facets.languages,
            "country": self.facets.countries,
        }
        return [self[name] for name, options in offered.items() if options] + [self["runtime"], self["sort"]]

    @property
    def genre_fields(self) -> list[forms.BoundField]:
        return [self[_field_of(facet)] for facet in _by_own_name(self.facets.genres)]

    def chips(self) -> list[tuple[str, str]]:
        """Return each active filter as (label, address of the page without it)."""
        filters = self.filters
        chips = [(gettext(name), filters.without_genre(name).url()) for name in filters.genres_in]
        chips += [
            (gettext("without %(genre)s") % {"genre": gettext(name)}, filters.without_genre(name).url())
            for name in filters.genres_out
        ]
        if filters.decade is not None:
            label = gettext("%(decade)ss") % {"decade": filters.decade}
            chips.append((label, filters.without("decade").url()))
        if filters.language:
            chips.append((gettext(filters.language), filters.without("language").url()))
        if filters.country:
            chips.append((gettext(filters.country), filters.without("country").url()))
        if filters.runtime is not None:
            chips.append((up_to_minutes(filters.runtime), filters.without("runtime").url()))
        return chips


def up_to_minutes(minutes: int) -> str:
    """Return "At most 90 minutes"."""
    return ngettext("At most %(n)d minute", "At most %(n)d minutes", minutes) % {"n": minutes}


def _field_of(genre: Facet) -> str:
    return f"{GENRE_PREFIX}{genre.pk}"


def _by_own_name(found: Iterable[Facet]) -> list[Facet]:
    """Sort by the names in the visitor's language."""
    return sorted(found, key=lambda facet: gettext(facet.name).casefold())


def _named(facet: Facet) -> tuple[str, str]:
    return facet.name, f"{gettext(facet.name)} ({facet.n_movies})"


def _decade(facet: Facet) -> tuple[str, str]:
    return facet.name, gettext("%(decade)ss") % {"decade": facet.name} + f" ({facet.n_movies})"


def searched_text(query: QueryDict) -> str:
    """Return the words of a query as they were sent."""
    return query.get("q", "").replace("\x00", "")


class SearchForm(forms.Form):
    """The search form: one field of words."""

    q = forms.CharField(label=_("Title or person"), required=False, max_length=SEARCH_LENGTH)

    def __init__(self, query: QueryDict) -> None:
        self.notes: list[str] = []
        text = searched_text(query)
        if len(text) > SEARCH_LENGTH:
            text = text[:SEARCH_LENGTH]
            self.notes.append(
                ngettext(
                    "Only the first %(count)d character was used.",
                    "Only the first %(count)d characters were used.",
                    SEARCH_LENGTH,
                )
                % {"count": SEARCH_LENGTH}
            )
        super().__init__({"q": text})
        self.is_valid()

    @property
    def text(self) -> str:
        return self.cleaned_data.get("q", "")
