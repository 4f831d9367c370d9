"""Rows of the site's own export, and how the rows that film sites export become such rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

from movie.catalogue.importing.cells import parse_number
from movie.catalogue.titles import parse_title

COLUMNS = (
    "at",
    "kind",
    "movie_id",
    "title",
    "year",
    "imdb",
    "value",
    "surface",
    "recommendation_id",
    "event_id",
    "watched_on",
    "progress",
    "weight",
)
OTHER_IDS = ("tmdb", "movielens")  # by which other sites' rows may name a movie
NEEDED = ("at", "kind", "value")
NO_VALUE = "-"  # of a row that has to have one: no number, so the row is refused with its line
AGAIN = "1"  # the value of a watch that was not the first
# Names of lists without stars that are of watched films, not of films to watch.
WATCHED_LIST = re.compile(r"(?<![a-z])(?:watched|seen|check-?ins?)(?![a-z])")
FILM_TYPES = frozenset(
    ("", "film", "movie", "tvmovie", "short", "tvshort", "video", "tvspecial", "videomovie", "shortfilm")
)

Row = dict[str, str]
Converter = Callable[[Row], list[Row]]


class NoFilm(ValueError):
    """Refuses a row of something else, such as a series."""


def converter(names: list[str], kind: str) -> tuple[str, Converter | None]:  # noqa: PLR0911 - one a site
    """Return the site that wrote a file with these columns, and a function to the site's own rows."""
    has = frozenset(names).issuperset
    if has(NEEDED):
        return "reelgraph", lambda row: [{name: row.get(name, "") for name in (*COLUMNS, *OTHER_IDS)}]
    if has(("const", "title")) or has(("const", "your rating")):
        return "imdb", lambda row: [_from_imdb(row, kind)]
    if has(("name", "letterboxd uri")) or has(("date", "name", "year", "rating")):
        return "letterboxd", _letterboxd_converter(names, kind)
    if has(("imdbid", "title", "year", "watcheddate")):
        return "letterboxd", _from_letterboxd_import
    if has(("movieid", "rating")) or has(("movie_id", "rating")):
        return "movielens", lambda row: [_from_movielens(row)]
    if has(("score",)) and any(name in names for name in ("film name", "title", "filmname")):
        return "criticker", lambda row: [from_criticker(row)]
    return "", None


def _row(kind: str = "rating", **cells: str) -> Row:
    return dict.fromkeys((*COLUMNS, *OTHER_IDS), "") | {"kind": kind} | cells


def _letterboxd_converter(names: list[str], kind: str) -> Converter:
    """A list with stars is one of ratings; without them it is the watchlist where its name says so.

    A line of the diary is a watch, and a rating where it has stars.
    """
    is_diary, has_stars = "watched date" in names, "rating" in names

    def convert(row: Row) -> list[Row]:
        day = row["watched date"] if is_diary else ""
        film = {"at": day or row.get("date", ""), "title": row["name"], "year": row.get("year", "")}
        rows = []
        if is_diary:
            again = AGAIN if row.get("rewatch", "").casefold() == "yes" else ""
            rows.append(_row("watch", value=again, watched_on=day, **film))
        if has_stars and (row["rating"] or not is_diary):
            rows.append(_row(value=row["rating"] or NO_VALUE, **film))
        return rows or [_row("watchlist" if "watchlist" in kind else "watch", **film)]

    return convert


def _from_letterboxd_import(row: Row) -> list[Row]:
    """Read a line of the file that Letterboxd imports, which the site writes too.

    A line with a day is a watch, and a rating where it has stars. Without both, the day is unknown.
    """
    film = {"imdb": row["imdbid"], "title": row["title"], "year": row["year"], "at": row["watcheddate"]}
    again = AGAIN if row.get("rewatch", "").casefold() in ("true", "yes") else ""
    stars = row.get("rating", "")
    rows = [_row("watch", value=again, watched_on=film["at"], **film)] if film["at"] or not stars else []
    return [*rows, _row(value=stars, **film)] if stars else rows


def _from_imdb(row: Row, kind: str) -> Row:
    """IMDb rates from 1 to 10; a list has films without the visitor's own stars.

    Such a list is the watchlist, unless its name says that it is of films that were watched.
    """
    film = {"imdb": row["const"], "title": row.get("title", ""), "year": row.get("year", "")}
    if row.get("title type", "").casefold().replace(" ", "") not in FILM_TYPES:
        raise NoFilm(_("%(title)s is no film.") % film)
    stars, listed = row.get("your rating", ""), row.get("created", "")
    if stars or not listed:
        return _row(at=row.get("date rated", "") or listed, value=_scaled(stars, 2), **film)
    return _row("watch" if WATCHED_LIST.search(kind) else "watchlist", at=listed, **film)


def _from_movielens(row: Row) -> Row:
    """Read a file of a data set, or what movielens.org exports; both count in its own ids."""
    ids = {"movielens": row.get("movieid") or row.get("movie_id", "")}
    ids |= {"imdb": row.get("imdb_id", ""), "tmdb": row.get("tmdb_id", "")}
    named = parse_title(row.get("title", ""))
    film = {"title": named.title, "year": str(named.year or "")}
    return _row(at=row.get("timestamp", ""), value=row["rating"] or NO_VALUE, **ids, **film)


def from_criticker(row: Row) -> Row:
    named = parse_title(_first(row, "film name", "filmname", "title", "name"))
    return _row(
        at=_first(row, "date rated", "rated date", "reviewdate", "rating date", "date"),
        title=named.title,
        year=_first(row, "year") or str(named.year or ""),
        imdb=_first(row, "imdb id", "imdbid", "imdb_id"),
        value=_of_hundred(_first(row, "score", "rating")),
    )


def from_trakt(entry: dict[str, Any], film: dict[str, Any]) -> Row:
    """Trakt rates from 1 to 10. What was played more than once was seen again when it was played last."""
    ids = film.get("ids")
    ids = ids if isinstance(ids, dict) else {}
    named = {"title": text_of(film.get("title")), "year": text_of(film.get("year"))}
    named |= {"imdb": text_of(ids.get("imdb")), "tmdb": text_of(ids.get("tmdb"))}
    if "rating" in entry:
        return _row(at=text_of(entry.get("rated_at")), value=_scaled(text_of(entry["rating"]), 2), **named)
    if "listed_at" in entry:
        return _row("watchlist", at=text_of(entry["listed_at"]), **named)
    at = text_of(entry.get("watched_at") or entry.get("last_watched_at"))
    plays = entry.get("plays")
    again = AGAIN if isinstance(plays, int) and plays > 1 else ""
    return _row("watch", at=at, watched_on=at, value=again, **named)


def _first(row: Row, *names: str) -> str:
    return next((row[name] for name in names if row.get(name)), "")


def text_of(value: Any) -> str:
    return str(value) if isinstance(value, (str, int, float)) else ""


def _scaled(text: str, divisor: int) -> str:
    try:
        return f"{parse_number(text) / divisor:g}"
    except ValueError:
        return text or NO_VALUE


def _of_hundred(text: str) -> str:
    """Return the nearest half star, at least one half, for a score of 0 to 100."""
    try:
        score = parse_number(text)
    except ValueError:
        return text or NO_VALUE
    return f"{max(1, int(score / 10 + 0.5)) / 2:g}" if 0 <= score <= 100 else text
