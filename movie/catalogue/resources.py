"""Movies as CSV in the admin: import with a preview, and export."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

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
from movie.catalogue.titles import EARLIEST_YEAR, LATEST_YEAR, clean, sort_title
from movie.core.csv_admin import CsvResource


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


class NamesWidget(widgets.ManyToManyWidget):
    """Reads names parted by "|" or commas and creates those that are missing."""

    def __init__(self, model: type[Genre] | type[Country] | type[Language]) -> None:
        super().__init__(model, separator="|", field="name")

    def clean(self, value: object, row: object = None, **kwargs: object) -> models.QuerySet:
        text = clean(str(value or ""))
        # A name that holds a comma is one name if it is there already.
        is_one = "," in text and self.model.objects.filter(name=text).exists()
        names = [text] if is_one else list(parse_names(text))
        long = [name for name in names if len(name) > LONGEST_NAME]
        if long:
            raise ValueError(_("“%(name)s” is too long for a name.") % {"name": long[0]})
        self.model.objects.named(names)
        return self.model.objects.filter(name__in=names)


STATED = "imdb_stated"  # where the cell waits on the movie until it is saved


class ImdbField(fields.Field):
    """Reads and writes a movie's IMDb id; an empty cell leaves it as it is."""

    def __init__(self) -> None:
        super().__init__(attribute="imdb", column_name="imdb")

    def get_value(self, instance: Movie) -> str:
        if instance.pk is None:
            return getattr(instance, STATED, "")
        ids = [each.value for each in instance.external_ids.all() if each.source == "imdb"]
        return ids[0] if ids else ""

    def save(self, instance: Movie, row: dict, is_m2m: bool = False, **kwargs: object) -> None:
        text = str(row.get(self.column_name) or "")
        try:
            stated = imdb_id(text)
        except RowError as row_error:
            raise ValueError(_(row_error.reason.label)) from row_error
        owner = ExternalId.objects.filter(source="imdb", value=stated).exclude(movie=instance.pk)
        if stated and owner.exists():
            raise ValueError(_("Another film has the IMDb id %(id)s.") % {"id": stated})
        setattr(instance, STATED, stated)


class MovieResource(CsvResource):
    """Imports movies by their id on this site; a row without an id is a new movie."""

    year = fields.Field("year", "year", widget=WholeNumberWidget(parse_year, EARLIEST_YEAR, LATEST_YEAR))
    runtime = fields.Field("runtime", "runtime", widget=WholeNumberWidget(parse_runtime, 1, LONGEST_RUNTIME))
    is_visible = fields.Field("is_visible", "is_visible", widget=FlagWidget())
    genres = fields.Field("genres", "genres", widget=NamesWidget(Genre))
    countries = fields.Field("countries", "countries", widget=NamesWidget(Country))
    languages = fields.Field("languages", "languages", widget=NamesWidget(Language))
    imdb = ImdbField()

    class Meta:
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
        ]
        export_order = fields
        clean_model_instances = True
        skip_unchanged = True
        report_skipped = True

    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().prefetch_related("genres", "countries", "languages", "external_ids")

    def before_import_row(self, row: dict, **kwargs: object) -> None:
        super().before_import_row(row, **kwargs)
        for name in ("title", "sort_title"):
            if row.get(name):
                row[name] = clean(str(row[name]))
        if row.get("title") and "sort_title" in row and not row["sort_title"]:
            row["sort_title"] = sort_title(row["title"])

    def skip_row(
        self, instance: Movie, original: Movie, row: dict, import_validation_errors: dict | None = None
    ) -> bool:
        stated = getattr(instance, STATED, "")
        if stated and not ExternalId.objects.filter(movie=instance.pk, source="imdb", value=stated).exists():
            return False
        return super().skip_row(instance, original, row, import_validation_errors)

    def after_save_instance(self, instance: Movie, row: dict, **kwargs: object) -> None:
        if stated := getattr(instance, STATED, ""):
            ExternalId.objects.filter(movie=instance, source="imdb").exclude(value=stated).delete()
            ExternalId.objects.get_or_create(source="imdb", value=stated, defaults={"movie": instance})
