"""Ratings as CSV in the admin: import with a preview, and export."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _
from import_export import fields, widgets

from movie.catalogue.importing.cells import LATEST_TIME, seconds_of
from movie.catalogue.importing.errors import RowError
from movie.catalogue.models import HALF_STARS, Movie, Rating
from movie.catalogue.titles import clean
from movie.core.csv_admin import CsvResource
from movie.events.rating_edits import import_rating
from movie.events.rating_import import refresh_aggregates
from movie.visitors.visitor import can_act


class MovieWidget(widgets.Widget):
    """Reads a movie by its id on this site."""

    def clean(self, value: object, row: object = None, **kwargs: object) -> Movie:
        text = str(value or "").strip().removesuffix(".0")
        movie = Movie.objects.filter(pk=int(text)).first() if text.isascii() and text.isdigit() else None
        if movie is None:
            raise ValueError(_("There is no film with the id “%(id)s”.") % {"id": text})
        return movie

    def render(self, value: Movie | None, obj: object = None, **kwargs: object) -> str:
        return str(value.pk) if value else ""


class StarsWidget(widgets.Widget):
    def clean(self, value: object, row: object = None, **kwargs: object) -> float:
        try:
            stars = float(str(value).strip())
        except ValueError:
            stars = -1.0
        if stars not in HALF_STARS:
            raise ValueError(_("“%(value)s” is not a half-star value from 0.5 to 5.") % {"value": value})
        return stars

    def render(self, value: float | None, obj: object = None, **kwargs: object) -> str:
        return "" if value is None else f"{value:g}"


class TimeWidget(widgets.Widget):
    """Reads an ISO date or seconds since 1970, UTC; empty means now."""

    def clean(self, value: object, row: object = None, **kwargs: object) -> datetime:
        if isinstance(value, datetime):
            return value if timezone.is_aware(value) else timezone.make_aware(value)
        text = "" if value is None else str(value).strip()
        if not text:
            return timezone.now()
        try:
            return datetime.fromtimestamp(min(seconds_of(text), LATEST_TIME), timezone.get_default_timezone())
        except RowError as row_error:
            raise ValueError(_(row_error.reason.label)) from row_error

    def render(self, value: datetime | None, obj: object = None, **kwargs: object) -> str:
        return value.isoformat() if value else ""


class RatingResource(CsvResource):
    """Imports ratings; replaces those of people of data sets, records an event for visitors who can act."""

    movie = fields.Field("movie", "movie", widget=MovieWidget())
    value = fields.Field("value", "value", widget=StarsWidget())
    rated_at = fields.Field("rated_at", "rated_at", widget=TimeWidget())

    class Meta:
        model = Rating
        import_id_fields: ClassVar = ["visitor", "movie"]
        fields: ClassVar = ["visitor", "movie", "value", "rated_at"]
        export_order = fields
        clean_model_instances = True
        skip_unchanged = True
        report_skipped = True

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._touched: set[int] = set()

    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().select_related("movie")

    def get_instance(self, instance_loader: object, row: dict) -> Rating | None:
        try:
            return super().get_instance(instance_loader, row)
        except ValueError:
            return None  # the movie's own field refuses the row, naming the column

    def before_import_row(self, row: dict, **kwargs: object) -> None:
        super().before_import_row(row, **kwargs)
        row["visitor"] = clean(str(row.get("visitor") or ""))
        row.setdefault("rated_at", "")

    def do_instance_save(self, instance: Rating, is_create: bool) -> None:
        if can_act(instance.visitor):
            import_rating(instance)
        else:
            super().do_instance_save(instance, is_create)
            self._touched.add(instance.movie_id)

    def after_import(self, dataset: object, result: object, **kwargs: object) -> None:
        refresh_aggregates(self._touched)
