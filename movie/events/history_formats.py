"""Recognise the files that film sites export, and turn their rows into rows of the site's own export."""

from __future__ import annotations

import codecs
import io
import json
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from django.utils.translation import gettext as _

from movie.catalogue.importing.cells import parse_number
from movie.catalogue.importing.errors import RejectReason
from movie.catalogue.importing.reading import read_columns, split_quoted, utf16_without_mark
from movie.catalogue.titles import parse_title
from movie.core.request_limits import HISTORY_BYTES

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
)
OTHER_IDS = ("tmdb", "movielens")  # by which other sites' rows may name a movie
NEEDED = ("at", "kind", "value")
MOST_ROWS = 10_000
MOST_UNPACKED = 8 * HISTORY_BYTES
LETTERBOXD_FILES = ("diary.csv", "watched.csv", "watchlist.csv", "ratings.csv")
NO_VALUE = "-"  # of a row that has to have one: no number, so the row is refused with its line
FILM_TYPES = frozenset(
    ("", "film", "movie", "tvmovie", "short", "tvshort", "video", "tvspecial", "videomovie", "shortfilm")
)

Row = dict[str, str]


class NoFilm(ValueError):
    """Refuses a row of something else, such as a series."""


class UnknownFile(ValueError):
    """Refuses a file that is none of those that are known, and says why."""


@dataclass(slots=True)
class RejectedRow:
    line: int
    reason: str
    file: str = ""


@dataclass(slots=True)
class FileRow:
    """Holds a row with the line it stands on. `kind` is the kind of the file, such as "diary"."""

    line: int
    cells: Row
    kind: str = ""


@dataclass(slots=True)
class HistoryFile:
    """Holds the rows of a file. `source` is the site that wrote it, "" when nobody knows."""

    source: str = ""
    rows: list[FileRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)

    def add(self, line: int, cells: Row, kind: str = "") -> bool:
        """Add a row; return False when there are too many."""
        if len(self.rows) >= MOST_ROWS:
            reason = _("A file may have %(n)d rows; this and later rows are left out.")
            self.rejected.append(RejectedRow(line, reason % {"n": MOST_ROWS}, kind))
            return False
        if any(cells.values()):
            self.rows.append(FileRow(line, cells, kind))
        return True


def decode_history_file(content: bytes) -> str:
    """Return the text of a file in UTF-8 or, as spreadsheets save it, UTF-16 or cp1252.

    Raises UnicodeDecodeError, of UTF-8.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    if encoding := utf16_without_mark(content):
        return content.decode(encoding)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as not_utf8:
        if any(byte < 32 and byte not in b"\t\n\r" for byte in content):
            raise
        try:
            return content.decode("cp1252")
        except UnicodeDecodeError:
            raise not_utf8 from None


def read_history_file(content: bytes, name: str = "") -> HistoryFile:
    """Read a zip, JSON, XML or CSV file of a known site. Raises UnknownFile and UnicodeDecodeError.

    `name` tells a watchlist of Letterboxd from its list of what was watched, which has the same columns.
    """
    if content.startswith(b"PK\x03\x04"):
        return _read_zip(content)
    text = decode_history_file(content)
    start = text.lstrip()[:1]
    if start in ("[", "{"):
        found = HistoryFile("trakt")
        _read_trakt(found, text)
        return found
    return _read_xml(text) if start == "<" else read_csv(text, kind=PurePosixPath(name).stem.casefold())


def read_csv(text: str, found: HistoryFile | None = None, kind: str = "") -> HistoryFile:
    """Read a CSV file by its header into `found`."""
    found = found or HistoryFile()
    lines = ((n, line.rstrip("\r\n")) for n, line in enumerate(io.StringIO(text, newline=""), 1))
    columns, delimiter, _line = read_columns(next(lines, (1, ""))[1], lines)
    names = [name.strip("\ufeff \t").casefold() for name in columns]
    source, convert = _converter(names, kind)
    if convert is None:
        missing = ", ".join(name for name in NEEDED if name not in names)
        reason = _("These columns are missing: %(names)s.") % {"names": missing}
        found.rejected.append(RejectedRow(1, reason, kind))
        return found
    found.source = source
    people = set()
    for record in split_quoted(lines, delimiter, len(names)):
        if record.cells is None:
            found.rejected.append(
                RejectedRow(record.line, _((record.problem or RejectReason.BROKEN).label), kind)
            )
            continue
        row = dict(zip(names, map(str.strip, record.cells), strict=True))
        people.add(row.get("userid", ""))
        if len(people) > 1:
            raise UnknownFile(_("The file holds the ratings of several people."))
        try:
            if not found.add(record.line, convert(row) if any(row.values()) else {}, kind):
                break
        except NoFilm as refused:
            found.rejected.append(RejectedRow(record.line, str(refused), kind))
    return found


def _read_zip(content: bytes) -> HistoryFile:
    """Read the lists of a Letterboxd export, or the JSON files of a Trakt export, of a zip file."""
    found = HistoryFile()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            known = {info.filename: info for info in archive.infolist()}
            wanted = [name for name in LETTERBOXD_FILES if name in known]
            wanted = wanted or [name for name in known if name.endswith(".json")]
            if sum(known[name].file_size for name in wanted) > MOST_UNPACKED:
                limit = MOST_UNPACKED // 1024**2
                raise UnknownFile(_("The file is larger than %(n)d MB.") % {"n": limit})
            for name in wanted:
                text = decode_history_file(archive.read(name))
                kind = PurePosixPath(name).stem
                if name in LETTERBOXD_FILES:
                    read_csv(text, found, kind)
                else:
                    found.source = "trakt"
                    _read_trakt(found, text, kind)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as damaged:
        raise UnknownFile(_("The zip file is damaged or locked.")) from damaged
    if not wanted:
        raise UnknownFile(_("The zip file has no list of films that is known here."))
    if found.source == "letterboxd":
        found.rows = list(_without_repeats(found.rows))
    return found


def _without_repeats(rows: list[FileRow]) -> Iterator[FileRow]:
    """Yield the rows without those that another list tells better.

    These are films of the watched list that the diary or the ratings have, and stars of the list of ratings
    that the diary has at the latest viewing.
    """
    told = {(row.cells["title"], row.cells["year"]) for row in rows if row.kind in ("diary", "ratings")}
    viewings: dict[tuple[str, str], dict[str, set[str]]] = {}  # the stars by the day of the viewing
    for row in rows:
        film, at = (row.cells["title"], row.cells["year"]), row.cells["at"]
        if row.kind == "diary":
            viewings.setdefault(film, {}).setdefault(at, set()).add(row.cells["value"])
        if row.kind == "ratings" and film in viewings and at <= (latest := max(viewings[film])):
            if viewings[film][latest] == {row.cells["value"]}:
                continue
            # The stars that stand are those of the list of ratings, after every viewing.
            row.cells["at"] = f"{latest[:10]}T00:00:01"
        if row.kind != "watched" or film not in told:
            yield row


# -- CSV ------------------------------------------------------------------------------------------------


def _converter(names: list[str], kind: str) -> tuple[str, Callable[[Row], Row] | None]:
    """Return the site that wrote a file with these columns, and a function to the site's own rows."""
    has = frozenset(names).issuperset
    if has(NEEDED):
        return "reelgraph", lambda row: {name: row.get(name, "") for name in (*COLUMNS, *OTHER_IDS)}
    if has(("const", "title")) or has(("const", "your rating")):
        return "imdb", _from_imdb
    if has(("name", "letterboxd uri")) or has(("date", "name", "year", "rating")):
        return "letterboxd", _letterboxd_converter(names, kind)
    if has(("movieid", "rating")) or has(("movie_id", "rating")):
        return "movielens", _from_movielens
    if has(("score",)) and any(name in names for name in ("film name", "title", "filmname")):
        return "criticker", _from_criticker
    return "", None


def _row(kind: str = "rating", **cells: str) -> Row:
    return dict.fromkeys((*COLUMNS, *OTHER_IDS), "") | {"kind": kind} | cells


def _letterboxd_converter(names: list[str], kind: str) -> Callable[[Row], Row]:
    """A list with stars is one of ratings; without them it is the watchlist where its name says so."""
    is_diary, has_stars = "watched date" in names, "rating" in names

    def convert(row: Row) -> Row:
        at = (row["watched date"] if is_diary else "") or row.get("date", "")
        film = {"at": at, "title": row["name"], "year": row.get("year", "")}
        if has_stars and (row["rating"] or not is_diary):
            return _row(value=row["rating"] or NO_VALUE, **film)
        return _row("watchlist" if "watchlist" in kind else "click", **film)

    return convert


def _from_imdb(row: Row) -> Row:
    """IMDb rates from 1 to 10; a list or a watchlist has films without the visitor's own stars."""
    film = {"imdb": row["const"], "title": row.get("title", ""), "year": row.get("year", "")}
    if row.get("title type", "").casefold().replace(" ", "") not in FILM_TYPES:
        raise NoFilm(_("%(title)s is no film.") % film)
    stars, listed = row.get("your rating", ""), row.get("created", "")
    if stars or not listed:
        return _row(at=row.get("date rated", "") or listed, value=_scaled(stars, 2), **film)
    return _row("watchlist", at=listed, **film)


def _from_movielens(row: Row) -> Row:
    """Read a file of a data set, or what movielens.org exports; both count in its own ids."""
    ids = {"movielens": row.get("movieid") or row.get("movie_id", "")}
    ids |= {"imdb": row.get("imdb_id", ""), "tmdb": row.get("tmdb_id", "")}
    named = parse_title(row.get("title", ""))
    film = {"title": named.title, "year": str(named.year or "")}
    return _row(at=row.get("timestamp", ""), value=row["rating"] or NO_VALUE, **ids, **film)


def _from_criticker(row: Row) -> Row:
    named = parse_title(_first(row, "film name", "filmname", "title", "name"))
    return _row(
        at=_first(row, "date rated", "rated date", "reviewdate", "rating date", "date"),
        title=named.title,
        year=_first(row, "year") or str(named.year or ""),
        imdb=_first(row, "imdb id", "imdbid", "imdb_id"),
        value=_of_hundred(_first(row, "score", "rating")),
    )


# -- JSON and XML -----------------------------------------------------------------------------------------


def _read_trakt(found: HistoryFile, text: str, kind: str = "") -> None:
    """Read lists of the Trakt API: ratings, history, watched and watchlist. `line` counts entries."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as broken:
        raise UnknownFile(_("The file is no JSON that is known here.")) from broken
    if isinstance(entries, dict):
        entries = [entry for part in entries.values() if isinstance(part, list) for entry in part]
    for number, entry in enumerate(entries, 1):
        film = entry.get("movie") if isinstance(entry, dict) else None
        if not isinstance(film, dict):
            reason = _("This site has no film “%(name)s”.") % {"name": _trakt_name(entry)}
            found.rejected.append(RejectedRow(number, reason, kind))
        elif not found.add(number, _from_trakt(entry, film), kind):
            return


def _from_trakt(entry: dict[str, Any], film: dict[str, Any]) -> Row:
    """Trakt rates from 1 to 10."""
    ids = film.get("ids")
    ids = ids if isinstance(ids, dict) else {}
    named = {"title": _text(film.get("title")), "year": _text(film.get("year"))}
    named |= {"imdb": _text(ids.get("imdb")), "tmdb": _text(ids.get("tmdb"))}
    if "rating" in entry:
        return _row(at=_text(entry.get("rated_at")), value=_scaled(_text(entry["rating"]), 2), **named)
    if "listed_at" in entry:
        return _row("watchlist", at=_text(entry["listed_at"]), **named)
    return _row("click", at=_text(entry.get("watched_at") or entry.get("last_watched_at")), **named)


def _trakt_name(entry: Any) -> str:
    other = next((each for each in entry.values() if isinstance(each, dict)), {}) if entry else {}
    return _text(other.get("title")) if isinstance(entry, dict) else ""


def _read_xml(text: str) -> HistoryFile:
    """Read an export of Criticker. A document that declares entities is refused: they may grow."""
    if "<!" in text.replace("<!--", "").replace("<![CDATA[", ""):
        raise UnknownFile(_("The file is no XML that is known here."))
    try:
        root = ET.fromstring(text.lstrip())  # noqa: S314 - entities are refused above
    except (ET.ParseError, ValueError, LookupError) as broken:
        raise UnknownFile(_("The file is no XML that is known here.")) from broken
    found = HistoryFile("criticker")
    for number, film in enumerate(root.iter("film"), 1):
        cells = {part.tag.casefold(): (part.text or "").strip() for part in film}
        if not found.add(number, _from_criticker(cells) if cells else {}):
            break
    if not found.rows:
        raise UnknownFile(_("The file is no XML that is known here."))
    return found


# -- cells ------------------------------------------------------------------------------------------------


def _first(row: Row, *names: str) -> str:
    return next((row[name] for name in names if row.get(name)), "")


def _text(value: Any) -> str:
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
