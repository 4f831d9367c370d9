"""Names of columns in common data sets, and their meanings here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from movie.catalogue.importing.errors import CatalogueError

# The names under which common data sets file each meaning, compared without case.
MOVIE_COLUMNS: dict[str, tuple[str, ...]] = {
    "id": (
        "id",
        "movieid",
        "movie_id",
        "item_id",
        "itemid",
        "item",
        "movie",
        "iid",
        "asin",
        "const",
        "tconst",
    ),
    "title": ("title", "movie_title", "name", "primarytitle"),
    "original_title": ("original title", "original_title", "originaltitle"),
    "year": ("year", "release_year", "startyear"),
    "release_date": ("release_date", "release date", "released"),
    "genres": ("genres", "genre", "class", "categories"),
    "countries": ("countries", "country", "production_countries"),
    "languages": ("languages", "language", "spoken_languages"),
    "synopsis": ("synopsis", "overview", "description", "plot"),
    "runtime": ("runtime", "runtime (mins)", "runtimeminutes", "runtime_minutes"),
    "poster_path": ("poster_path",),
    "imdb": ("imdb", "imdbid", "imdb_id"),
    "tmdb": ("tmdb", "tmdbid", "tmdb_id"),
    "directors": ("directors", "director"),
    "writers": ("writers", "writer", "screenwriters"),
    "cast": ("cast", "actors", "starring"),
    "tags": ("tags", "keywords"),
    "visible": ("visible", "is_visible"),
    "available_from": ("available_from", "available from"),
    "available_until": ("available_until", "available until"),
}
RATING_COLUMNS: dict[str, tuple[str, ...]] = {
    "user": ("user", "userid", "user_id", "uid", "visitor"),
    "movie": ("movieid", "movie_id", "item_id", "itemid", "item", "movie", "iid", "asin", "film", "id"),
    "rating": ("rating", "value", "stars", "score"),
    "time": ("timestamp", "time", "rated_at", "at", "date", "datetime"),
}
INTERACTION_COLUMNS = RATING_COLUMNS | {
    "progress": ("progress", "completion", "watched_share", "share_watched"),
    "weight": ("weight", "strength"),
    "kind": ("kind", "event", "event_type", "action", "interaction", "feedback_type"),
}
MOVIES_NEED = ("id", "title")
RATINGS_NEED = ("user", "movie", "rating")
INTERACTIONS_NEED = ("user", "movie")
# What a table may hold: the names of its columns, and the meanings that it must have.
TABLES: dict[str, tuple[Mapping[str, Sequence[str]], Sequence[str]]] = {
    "movies": (MOVIE_COLUMNS, MOVIES_NEED),
    "ratings": (RATING_COLUMNS, RATINGS_NEED),
    "interactions": (INTERACTION_COLUMNS, INTERACTIONS_NEED),
}


def parse_choice(text: str, known: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Read "id=asin,title=name"; a meaning may go by any of its common names, such as `item` for `movie`.

    Raises CatalogueError on a meaning that does not exist.
    """
    by_name = {name: meaning for meaning, names in known.items() for name in (*names, meaning)}
    chosen: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        meaning, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column or meaning not in by_name:
            message = "“%(part)s” should be MEANING=COLUMN, where MEANING is one of %(known)s."
            raise CatalogueError(message % {"part": part, "known": ", ".join(known)})
        chosen[by_name[meaning]] = column
    return chosen


def are_positions(chosen: Mapping[str, str] | None) -> bool:
    """Return whether columns are chosen by their numbers from 1, as for a table without a header."""
    return bool(chosen) and all(column.isascii() and column.isdigit() for column in (chosen or {}).values())


def meanings_by_position(path: Path, width: int, kind: str, chosen: Mapping[str, str]) -> tuple[str, ...]:
    """Return the meaning of each of `width` columns of a table without a header, "" for the others.

    Raises CatalogueError for a column that is not there, is named twice, or is missing.
    """
    result = [""] * width
    for meaning, column in chosen.items():
        if not 1 <= int(column) <= width:
            raise CatalogueError(f"{path} has no column {column}: its first line has {width} cells.")
        if result[int(column) - 1]:
            raise CatalogueError(
                f"Column {column} of {path} cannot be {result[int(column) - 1]} and {meaning}."
            )
        result[int(column) - 1] = meaning
    missing = [meaning for meaning in TABLES[kind][1] if meaning not in chosen]
    if missing:
        example = ",".join(f"{meaning}=NUMBER" for meaning in missing)
        raise CatalogueError(f"{path} is read by position; state {', '.join(missing)}: --columns {example}.")
    return tuple(result)


def meanings(
    path: Path, found: Sequence[str], kind: str, chosen: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the meaning of each column of a table of `kind` (see TABLES), "" for columns of no use here.

    `chosen` (meaning -> column) goes before the common names. Raises CatalogueError naming what is
    missing and what is there.
    """
    known, needed = TABLES[kind]
    names = [name.strip("\ufeff \t").strip('"').casefold() for name in found]
    result = [""] * len(names)
    for meaning, column in (chosen or {}).items():
        if column.casefold() not in names:
            message = "%(path)s has no column “%(column)s”; its columns are %(found)s."
            raise CatalogueError(message % {"path": path, "column": column, "found": ", ".join(found)})
        result[names.index(column.casefold())] = meaning
    for meaning, usual in known.items():
        if meaning in result:
            continue
        for name in usual:
            if name in names and not result[names.index(name)]:
                result[names.index(name)] = meaning
                break
    missing = [meaning for meaning in needed if meaning not in result]
    if missing:
        message = (
            "%(path)s needs a header line with columns for %(needed)s. None is there for %(missing)s; "
            "the columns found are %(found)s. Name them with --columns, such as --columns %(example)s."
        )
        raise CatalogueError(
            message
            % {
                "path": path,
                "needed": ", ".join(needed),
                "missing": ", ".join(missing),
                "found": ", ".join(name[:40] for name in found[:20]),
                "example": ",".join(f"{meaning}=COLUMN" for meaning in missing),
            }
        )
    return tuple(result)
