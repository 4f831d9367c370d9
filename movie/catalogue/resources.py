"""Movies as CSV in the admin: import with a preview, and export."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext as _
from import_export import fields, widgets

from movie.catalogue.importing.cells import (
    LONGEST_NAME,
    LONGEST_RUNTIME,
    imdb_id,
    parse_names,
    parse_runtime,
    parse_year,
)
from movie.catalogue.importing.errors import RowError
from movie.catalogue.models import Country, ExternalId, Genre, Language, Movie
from movie.catalogue.titles import EARLIEST_YEAR, LATEST_YEAR, clean, search_key, sort_title
from movie.core.csv_import import BatchResource

LONGEST_ID = 19  # digits: what the databases can hold


class WholeNumberWidget(widgets.Widget):
    """Reads a whole number within bounds, or nothing; refuses the rest in words."""

    def __init__(self, parse: Callable[[str], int | None], least: int, most: int) -> None:
        super().__init__()
        self._parse, self._least, self._most = parse, least, most

    def clean(self, value: object, row: object = None, **kwargs: object) -> int | None:
        text = "" if value is None else str(value).strip()
        if not text:
            return None
        number = self._parse(text)
        if number is None:
            message = _("“%(value)s” is not a whole number from %(least)s to %(most)s.")
            raise ValueError(message % {"value": text, "least": self._least, "most": self._most})
        return number


class FlagWidget(widgets.Widget):
    """Reads yes or no; empty means yes."""

    WORDS: ClassVar = {
        "": True,
        "1": True,
        "true": True,
        "yes": True,
        "0": False,
        "false": False,
        "no": False,
    }

    def clean(self, value: object, row: object = None, **kwargs: object) -> bool:
        text = "" if value is None else str(value).strip().casefold()
        if text not in self.WORDS:
            raise ValueError(_("“%(value)s” is neither 1 nor 0.") % {"value": value})
        return self.WORDS[text]

    def render(self, value: object, obj: object = None, **kwargs: object) -> str:
        return "1" if value else "0"


Name = Genre | Country | Language


class NamesWidget(widgets.ManyToManyWidget):
    """Reads names parted by "|" or commas. Those that are missing are made when the movie is saved."""

    def __init__(self, model: type[Name]) -> None:
        super().__init__(model, separator="|", field="name")
        self._known: dict[str, Name] | None = None  # by search key; of one import
        self.missing: dict[str, str] = {}  # names that no object has, by search key

    def clean(self, value: object, row: object = None, **kwargs: object) -> list[Name]:
        text = clean(str(value or ""))
        known = self._names()
        # A name that holds a comma is one name if it is there already.
        is_one = "," in text and search_key(text) in known
        found: dict[str, Name] = {}
        for name in [text] if is_one else list(parse_names(text)):
            if len(name) > LONGEST_NAME:
                raise ValueError(_("“%(name)s” is too long for a name.") % {"name": name})
            key = search_key(name)
            if key not in known:
                self.missing.setdefault(key, name)
            found[key] = known.get(key) or self.model(name=self.missing[key])
        return list(found.values())

    def render(self, value: object, obj: object = None, **kwargs: object) -> str:
        return "" if value is None else "|".join(sorted(each.name for each in value.all()))  # type: ignore[attr-defined]

    def make_missing(self, names: Iterable[Name]) -> list[Name]:
        """Return the objects; those that are not stored are made first."""
        stored = self.model.objects.named([each.name for each in names if each.pk is None])
        self._names().update({search_key(each.name): each for each in stored.values()})
        return [stored.get(each.name, each) for each in names]

    def _names(self) -> dict[str, Name]:
        if self._known is None:
            self._known = {search_key(each.name): each for each in self.model.objects.all()}
        return self._known


class NamesField(fields.Field):
    def __init__(self, name: str, model: type[Name]) -> None:
        super().__init__(name, name, widget=NamesWidget(model))

    def save(self, instance: Movie, row: dict, is_m2m: bool = False, **kwargs: object) -> None:
        if self.column_name in row:
            getattr(instance, self.attribute).set(self.widget.make_missing(self.clean(row)))


STATED = "imdb_stated"  # where the cell waits on the movie until it is saved


class ImdbField(fields.Field):
    """Reads and writes a movie's IMDb id; an empty cell leaves it as it is."""

    def __init__(self) -> None:
        super().__init__(attribute="imdb", column_name="imdb")
        self.owners: dict[str, int] = {}  # movies by the IMDb ids of the rows
        self._claims: dict[str, Movie] = {}  # of the rows so far

    def get_value(self, instance: Movie) -> str:
        if instance.pk is None or instance._state.adding:
            return getattr(instance, STATED, "")
        ids = [each.value for each in instance.external_ids.all() if each.source == "imdb"]
        return ids[0] if ids else ""

    def save(self, instance: Movie, row: dict, is_m2m: bool = False, **kwargs: object) -> None:
        text = str(row.get(self.column_name) or "")
        try:
            stated = imdb_id(text)
        except RowError as row_error:
            raise ValueError(_(row_error.reason.label)) from row_error
        if stated:
            claim = self._claims.setdefault(stated, instance)
            is_claimed = claim is not instance and (claim.pk is None or claim.pk != instance.pk)
            if is_claimed or self.owners.get(stated, instance.pk) != instance.pk:
                raise ValueError(_("Another film has the IMDb id %(id)s.") % {"id": stated})
        setattr(instance, STATED, stated)


class ExternalIdsField(fields.Field):
    """Writes all ids of a movie elsewhere, as imdb:tt0113277|shop:sku-7; an import leaves them as they are.

    `movie_of` leads from the exported object to the movie.
    """

    def __init__(self, movie_of: Callable[[Any], Movie] = lambda movie: movie) -> None:
        super().__init__(attribute="external_ids", column_name="external_ids", readonly=True)
        self._movie_of = movie_of

    def get_value(self, instance: Any) -> str:
        if instance.pk is None or instance._state.adding:
            return ""
        return "|".join(sorted(map(str, self._movie_of(instance).external_ids.all())))


class MovieResource(BatchResource):
    """Imports movies by their id on this site; a row without an id is a new movie."""

    year = fields.Field("year", "year", widget=WholeNumberWidget(parse_year, EARLIEST_YEAR, LATEST_YEAR))
    runtime = fields.Field("runtime", "runtime", widget=WholeNumberWidget(parse_runtime, 1, LONGEST_RUNTIME))
    is_visible = fields.Field("is_visible", "is_visible", widget=FlagWidget())
    genres = NamesField("genres", Genre)
    countries = NamesField("countries", Country)
    languages = NamesField("languages", Language)
    imdb = ImdbField()
    external_ids = ExternalIdsField()

    class Meta(BatchResource.Meta):
        model = Movie
        import_id_fields: ClassVar = ["id"]
        fields: ClassVar = [
            "id",
            "title",
            "sort_title",
            "year",
            "runtime",
            "synopsis",
            "poster_path",
            "is_visible",
            "genres",
            "countries",
            "languages",
            "imdb",
            "external_ids",
        ]
        export_order = fields

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._movies: dict[int, Movie] = {}  # by the ids of the rows

    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().prefetch_related("genres", "countries", "languages", "external_ids")

    def prepare(self, rows: Sequence[dict]) -> None:
        ids = {pk for row in rows if (pk := parse_id(row.get("id"))) is not None}
        self._movies = self.get_queryset().in_bulk(ids)
        stated = [_imdb(row) for row in rows]
        owners = ExternalId.objects.filter(source="imdb", value__in=filter(None, stated))
        self.fields["imdb"].owners = dict(owners.values_list("value", "movie_id"))

    def get_instance(self, instance_loader: object, row: dict) -> Movie | None:
        pk = parse_id(row.get("id"))
        movie = None if pk is None else self._movies.get(pk)
        if pk is not None and movie is None:
            text = _("There is no film with the id %(id)d: a new one gets this id.")
            self.notices[text % {"id": pk}] = None
        return movie

    def before_import_row(self, row: dict, **kwargs: object) -> None:
        super().before_import_row(row, **kwargs)
        for name in ("title", "sort_title"):
            if row.get(name):
                row[name] = clean(str(row[name]))
        if row.get("title") and "sort_title" in row and not row["sort_title"]:
            row["sort_title"] = sort_title(row["title"])

    def cell_of(self, field: fields.Field, instance: Movie, row: dict) -> str:
        if isinstance(field, NamesField):
            return "|".join(sorted(each.name for each in field.clean(row)))
        if isinstance(field, ImdbField):
            return getattr(instance, STATED, "") or field.get_value(instance)
        return super().cell_of(field, instance, row)

    def after_save_instance(self, instance: Movie, row: dict, **kwargs: object) -> None:
        stated = getattr(instance, STATED, "")
        if stated and not self.is_preview:
            ExternalId.objects.filter(movie=instance, source="imdb").exclude(value=stated).delete()
            ExternalId.objects.get_or_create(source="imdb", value=stated, defaults={"movie": instance})

    def after_import(self, dataset: object, result: object, **kwargs: object) -> None:
        for field in self.fields.values():
            if isinstance(field, NamesField):
                kind = field.widget.model._meta.verbose_name
                for name in field.widget.missing.values():
                    text = _("New %(kind)s: “%(name)s”.")
                    self.notices[text % {"kind": kind, "name": name}] = None


def parse_id(cell: object) -> int | None:
    """Return the id in a cell, also one that a spreadsheet wrote as 7.0; None for anything else."""
    text = str(cell or "").strip().removesuffix(".0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < LONGEST_ID else None


def _imdb(row: dict) -> str:
    try:
        return imdb_id(str(row.get("imdb") or ""))
    except RowError:
        return ""
