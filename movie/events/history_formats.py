"""Recognise the files that film sites export, and turn their rows into rows of the site's own export."""

from __future__ import annotations

import codecs
import io
import json
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from django.utils.translation import gettext as _

from movie.catalogue.importing.errors import RejectReason
from movie.catalogue.importing.reading import read_columns, split_quoted, utf16_without_mark
from movie.core.request_limits import HISTORY_BYTES
from movie.events.history_rows import NEEDED, NoFilm, Row, converter, from_criticker, from_trakt, text_of

MOST_ROWS = 10_000
MOST_UNPACKED = 8 * HISTORY_BYTES
LETTERBOXD_FILES = ("diary.csv", "watched.csv", "watchlist.csv", "ratings.csv")


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
    n_lines: int = 0

    def add(self, line: int, rows: list[Row], kind: str = "") -> bool:
        """Add the rows of a line; return False when there are too many lines."""
        if self.n_lines >= MOST_ROWS:
            reason = _("A file may have %(n)d rows; this and later rows are left out.")
            self.rejected.append(RejectedRow(line, reason % {"n": MOST_ROWS}, kind))
            return False
        told = [cells for cells in rows if any(cells.values())]
        self.n_lines += bool(told)
        self.rows += [FileRow(line, cells, kind) for cells in told]
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


def read_csv(text: str, kind: str = "", found: HistoryFile | None = None) -> HistoryFile:
    """Read a CSV file by its header into `found`. Raises UnknownFile where no known site writes it."""
    found = found or HistoryFile()
    lines = ((n, line.rstrip("\r\n")) for n, line in enumerate(io.StringIO(text, newline=""), 1))
    columns, delimiter, _line = read_columns(next(lines, (1, ""))[1], lines)
    names = [name.strip("\ufeff \t").casefold() for name in columns]
    source, convert = converter(names, kind)
    if convert is None:
        raise UnknownFile(_unknown_columns(names))
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
            if not found.add(record.line, convert(row) if any(row.values()) else [], kind):
                break
        except NoFilm as refused:
            found.rejected.append(RejectedRow(record.line, str(refused), kind))
    return found


def _unknown_columns(names: list[str]) -> str:
    """Say that a header was not recognised, and what it lacks where it is nearly the site's own."""
    missing = [name for name in NEEDED if name not in names]
    if len(missing) == len(NEEDED):
        return _("The file was not recognised: no site that is known here writes these columns.")
    text = _("The file was not recognised. What this site saves has these columns, too: %(names)s.")
    return text % {"names": ", ".join(missing)}


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
                    _read_list(text, kind, found)
                else:
                    found.source = "trakt"
                    _read_trakt(found, text, kind)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as damaged:
        raise UnknownFile(_("The zip file is damaged or locked.")) from damaged
    if not found.source:
        raise UnknownFile(_("The zip file has no list of films that is known here."))
    if found.source == "letterboxd":
        found.rows = list(_without_repeats(found.rows))
    return found


def _read_list(text: str, kind: str, found: HistoryFile) -> None:
    """Read a list of several; one that was not recognised leaves the others as they are."""
    try:
        read_csv(text, kind, found)
    except UnknownFile as unknown:
        found.rejected.append(RejectedRow(1, str(unknown), kind))


def _without_repeats(rows: list[FileRow]) -> Iterator[FileRow]:
    """Yield the rows without those that another list tells better.

    These are films of the watched list that the diary or the ratings have, and stars of the list of ratings
    that the diary has at the latest viewing.
    """
    told = {(row.cells["title"], row.cells["year"]) for row in rows if row.kind in ("diary", "ratings")}
    viewings: dict[tuple[str, str], dict[str, set[str]]] = {}  # the stars by the day of the viewing
    for row in rows:
        film, day = (row.cells["title"], row.cells["year"]), row.cells["at"][:10]
        if row.kind == "diary":
            stars = viewings.setdefault(film, {}).setdefault(day, set())
            stars.update({row.cells["value"]} if row.cells["kind"] == "rating" else ())
        if row.kind == "ratings" and film in viewings and day <= (latest := max(viewings[film])):
            if viewings[film][latest] == {row.cells["value"]}:
                continue
            # The stars that stand are those of the list of ratings, after every viewing.
            row.cells["at"] = f"{latest}T00:00:01"
        if row.kind != "watched" or film not in told:
            yield row


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
        elif not found.add(number, [from_trakt(entry, film)], kind):
            return


def _trakt_name(entry: Any) -> str:
    other = next((each for each in entry.values() if isinstance(each, dict)), {}) if entry else {}
    return text_of(other.get("title")) if isinstance(entry, dict) else ""


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
        if not found.add(number, [from_criticker(cells)] if cells else []):
            break
    if not found.rows:
        raise UnknownFile(_("The file is no XML that is known here."))
    return found
