"""Ratings as CSV in the admin: import with a preview, and export."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _
from import_export import fields, widgets

from movie.catalogue.importing.cells import seconds_of
from movie.catalogue.importing.errors import RowError
from movie.catalogue.models import HALF_STARS, Movie, Rating
from movie.catalogue.resources import ExternalIdsField, parse_id
from movie.catalogue.titles import clean
from movie.core.csv_import import BatchResource
from movie.events.rating_edits import check_rating, import_ratings_of_visitors
from movie.events.rating_import import refresh_aggregates
from movie.events.ratings import lock_movies
from movie.visitors.visitor import can_act


class MovieWidget(widgets.Widget):
    """Reads a movie by its id on this site."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, Movie] = {}  # of the rows of one import

    def clean(self, value: object, row: object = None, **kwargs: object) -> Movie:
        movie = self.known.get(parse_id(value) or 0)
        if movie is None:
            raise ValueError(_("There is no film with the id “%(id)s”.") % {"id": str(value or "").strip()})
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
            return datetime.fromtimestamp(seconds_of(text), timezone.get_default_timezone())
        except RowError as row_error:
            raise ValueError(_(row_error.reason.label)) from row_error

    def render(self, value: datetime | None, obj: object = None, **kwargs: object) -> str:
        return value.isoformat() if value else ""


class RatingResource(BatchResource):
    """Imports ratings; replaces those of people of data sets, records an event for visitors who can act."""

    movie = fields.Field("movie", "movie", widget=MovieWidget())
    value = fields.Field("value", "value", widget=StarsWidget())
    rated_at = fields.Field("rated_at", "rated_at", widget=TimeWidget())
    external_ids = ExternalIdsField(lambda rating: rating.movie)

    class Meta(BatchResource.Meta):
        model = Rating
        import_id_fields: ClassVar = ["visitor", "movie"]
        fields: ClassVar = ["visitor", "movie", "value", "rated_at", "external_ids"]
        export_order = fields

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._ratings: dict[tuple[str, int], Rating] = {}
        self._acting: list[Rating] = []
        self._touched: set[int] = set()

    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().select_related("movie").prefetch_related("movie__external_ids")

    def prepare(self, rows: Sequence[dict]) -> None:
        ids = {pk for row in rows if (pk := parse_id(row.get("movie"))) is not None}
        if not self.is_preview:
            lock_movies(Movie.objects.filter(pk__in=ids))
        movies = Movie.objects.only("title", "year").in_bulk(ids)
        self.fields["movie"].widget.known = movies
        ratings = Rating.objects.filter(visitor__in={_visitor(row) for row in rows}, movie__in=movies)
        for rating in ratings:
            rating.movie = movies[rating.movie_id]
            self._ratings[rating.visitor, rating.movie_id] = rating

    def get_instance(self, instance_loader: object, row: dict) -> Rating | None:
        return self._ratings.get((row["visitor"], parse_id(row.get("movie")) or 0))

    def before_import_row(self, row: dict, **kwargs: object) -> None:
        super().before_import_row(row, **kwargs)
        row["visitor"] = _visitor(row)
        row.setdefault("rated_at", "")

    def validate_instance(
        self, instance: Rating, import_validation_errors: dict | None = None, validate_unique: bool = True
    ) -> None:
        """Check the fields alone: the movie and the visitor's own rating were looked up."""
        errors = dict(import_validation_errors or {})
        try:
            instance.clean_fields(exclude={*errors, "movie"})
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        if errors:
            raise ValidationError(errors)

    def do_instance_save(self, instance: Rating, is_create: bool) -> None:
        self._ratings[instance.visitor, instance.movie_id] = instance  # a later row of the file may change it
        if can_act(instance.visitor):
            check_rating(instance)
            self._acting.append(instance)
        else:
            super().do_instance_save(instance, is_create)
            self._touched.add(instance.movie_id)

    def after_import(self, dataset: object, result: object, **kwargs: object) -> None:
        if not self.is_preview:
            import_ratings_of_visitors(self._acting)
            refresh_aggregates(self._touched)


def _visitor(row: dict) -> str:
    return clean(str(row.get("visitor") or ""))
