"""Errors of imports: files that cannot be used, and rows that are refused."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_noop


class CatalogueError(Exception):
    """A file cannot be used; the message names it and says what was expected."""


class RejectReason(TextChoices):
    """Why a row is refused, or a field of it left empty, while the rest goes on."""

    BROKEN = "broken", gettext_noop("wrong number of columns")
    QUOTES = "quotes", gettext_noop("a quotation mark is not closed")
    LONG_LINE = "long_line", gettext_noop("the line is longer than 1,000,000 characters")
    NO_ID = "no_id", "the id is empty"
    LONG_ID = "long_id", "the id is longer than 128 characters"
    NO_TITLE = "no_title", "the title is empty"
    LONG_TITLE = "long_title", "the title is longer than 255 characters"
    LONG_NAME = "long_name", "a genre is longer than 64 characters"
    YEAR = "year", "the year is not a number from 1870 to 2100"
    RUNTIME = "runtime", "the running time is not a number of minutes"
    IMDB = "imdb", gettext_noop("the IMDb id is not of the form tt0113277")
    TMDB = "tmdb", gettext_noop("the TMDB id is not a number")
    DUPLICATE = "duplicate", "the id was already on an earlier line"
    CONFLICT = "conflict", "its ids are those of another film"
    NO_VISITOR = "no_visitor", "the user is empty"
    LONG_VISITOR = "long_visitor", "the user id is too long"
    UNKNOWN_MOVIE = "unknown_movie", "no film of the catalogue has this id"
    RATING = "rating", "the rating is not a number"
    STARS = "stars", "the rating is not a half-star value from 0.5 to 5"
    SCALE = "scale", "the rating is outside the scale given"
    TIME = "time", gettext_noop("the time is neither seconds since 1970 nor an ISO date")
    TAG = "tag", "the tag is empty or longer than 64 characters"
    NO_OBJECT = "no_object", "the line is no JSON object"
    PERSON = "person", "a name of a person is longer than 255 characters"
    VISIBLE = "visible", "visible is neither 1 nor 0"
    WINDOW = "window", "an end of the availability is no date, or the end is before the beginning"
    FUTURE = "future", "the time is in the future"
    CLIENT_ID = (
        "client_id",
        "the user id is none that the API takes: 1 to 80 letters, digits or . _ @ ~ + = | -",
    )
    PROGRESS = "progress", "the progress is neither from 0 to 1 nor a percentage such as 85%"
    WEIGHT = "weight", "the weight is not above 0 and at most 10"
    KIND = "kind", "the kind is none of click, rating, dismiss, watchlist and watch"


class RowError(Exception):
    """Ends the building of one row; caught where rows are built."""

    def __init__(self, reason: RejectReason) -> None:
        super().__init__(reason)
        self.reason = reason
