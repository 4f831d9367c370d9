"""What films and ratings look like as CSV in the admin: import with a preview, and export."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext as _
from import_export import fields, resources, widgets

from movie.catalogue.importing.rows import (
    LONGEST_NAME,
    LONGEST_RUNTIME,
    Refusal,
    imdb_id,
)
from movie.catalogue.models import Country, ExternalId, Genre, Language, Movie
from movie.catalogue.titles import EARLIEST_YEAR, LATEST_YEAR, clean, sort_title


class WholeNumber(widgets.Widget):
    """A number within bounds, or nothing; anything else is refused in words."""

    def __init__(self, least: int, most: int) -> None:
        super().__init__()
        self._least, self._most = least, most

    def clean(self, value: object, row: object = None, **kwargs: object) -> int | None:
        text = "" if value is None else str(value).strip().removesuffix(".0")
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and self._least <= int(text) <= self._most):
            message = _("“%(value)s” is not a whole number from %(least)s to %(most)s.")
            raise ValueError(message % {"value": text, "least": self._least, "most": self._most})
        return int(text)


class Flag(widgets.Widget):
    """Yes or no; empty means yes."""

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


class Names(widgets.ManyToManyWidget):
    """Names parted by "|"; those that do not exist yet are made."""

    def __init__(self, model: type[Genre] | type[Country] | type[Language]) -> None:
        super().__init__(model, separator="|", field="name")

    def clean(self, value: object, row: object = None, **kwargs: object) -> models.QuerySet:
        names = [name for part in str(value or "").split("|") if (name := clean(part))]
        long = [name for name in names if len(name) > LONGEST_NAME]
        if long:
            raise ValueError(_("“%(name)s” is too long for a name.") % {"name": long[0]})
        self.model.objects.named(names)
        return self.model.objects.filter(name__in=names)


STATED = "imdb_stated"  # where the cell waits on the film until it is saved


class Imdb(fields.Field):
    """The IMDb id, which is kept beside the film; an empty cell leaves it as it is."""

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
        except Refusal as refusal:
            raise ValueError(_(refusal.reason.label)) from refusal
        owner = ExternalId.objects.filter(source="imdb", value=stated).exclude(movie=instance.pk)
        if stated and owner.exists():
            raise ValueError(_("Another film has the IMDb id %(id)s.") % {"id": stated})
        setattr(instance, STATED, stated)


class MovieResource(resources.ModelResource):
    """Films by their id on this site; a row without an id is a new film."""

    year = fields.Field("year", "year", widget=WholeNumber(EARLIEST_YEAR, LATEST_YEAR))
    runtime = fields.Field("runtime", "runtime", widget=WholeNumber(1, LONGEST_RUNTIME))
    is_visible = fields.Field("is_visible", "is_visible", widget=Flag())
    genres = fields.Field("genres", "genres", widget=Names(Genre))
    countries = fields.Field("countries", "countries", widget=Names(Country))
    languages = fields.Field("languages", "languages", widget=Names(Language))
    imdb = Imdb()

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
