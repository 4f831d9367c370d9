"""Read the Wikidata movie table: 17,472 movies of 1940-2014 with people, countries, languages, running time.

An SQLite file with a table `omdb` keyed by `imdbID`, shipped by the package bokeh-sampledata as
`_data/movies.db` (data CC0). Its lists are joined by ", ", so a name that holds a comma comes apart.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from movie.catalogue.importing.cells import LONGEST_RUNTIME
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.titles import clean, match_key, parse_title

PACKAGE = "bokeh_sampledata"
COLUMNS = ("imdbID", "Title", "Year", "Runtime", "Director", "Writer", "Cast", "Country", "Language")
YEARS_APART = 1  # release years differ by a year between catalogues (festival, country)

# What may follow a comma inside one name: "Ed Begley, Jr.", "Leander Ward, 6th Earl of Dudley".
_SUFFIX = re.compile(
    r"^(?:(?:Jr|Sr|Esq|Ph\.?D|M\.?D)\.?|I{2,3}|IV"
    r"|\d+(?:st|nd|rd|th) (?:Earl|Baron|Duke|Marquess|Viscount)\b.*)$"
)
_JUNIOR = re.compile(r",? (Jr|Sr)\.?$")
_NOT_A_NAME = re.compile(r"^(?:list of |Q\d+$)", re.IGNORECASE)
_REMARK = re.compile(r" \((?:\d{4} film|film|\d{4})\)$")


@dataclass(frozen=True, slots=True)
class WikidataEntry:
    imdb: str
    title: str
    year: int
    runtime: int | None
    directors: tuple[str, ...]
    writers: tuple[str, ...]
    cast: tuple[str, ...]
    countries: tuple[str, ...]
    languages: tuple[str, ...]


def split_names(text: str | None) -> tuple[str, ...]:
    """Return the names in a cell, in order and once each, with suffixes put back: "George Tillman Jr."."""
    names: list[str] = []
    for part in clean(text or "").split(", "):
        if names and _SUFFIX.match(part):
            names[-1] = f"{names[-1]}, {part}"
        elif part and not _NOT_A_NAME.match(part):
            names.append(part)
    return tuple(dict.fromkeys(_JUNIOR.sub(r" \1.", name) for name in names))


def default_path() -> Path:
    """Return the path of the table in the installed package, without importing the package.

    Raises CatalogueError.
    """
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "_data" / "movies.db"
        if path.is_file():
            return path
    message = "The film table is not installed. Run pip install --no-deps bokeh-sampledata==2026.1."
    raise CatalogueError(message)


class WikidataTable:
    """Keeps an index of the table's titles in memory and reads the rest on request."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise CatalogueError(f"There is no file {path}.")
        self.path = path
        self._rowids: dict[str, list[int]] = {}
        self._titles: dict[str, list[tuple[int, int]]] = {}
        for rowid, imdb, title, year in self._query('SELECT rowid, "imdbID", "Title", "Year" FROM omdb'):
            self._rowids.setdefault(imdb, []).append(rowid)
            name = _REMARK.sub("", title or "")
            parsed = parse_title(name)
            titles = {name, parsed.title, *parsed.alternatives}
            for key in {match_key(each) for each in titles} - {""}:
                self._titles.setdefault(key, []).append((year or 0, rowid))

    def _query(self, sql: str, parameters: Iterable[object] = ()) -> list[tuple]:
        try:
            with closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)) as database:
                return database.execute(sql, tuple(parameters)).fetchall()
        except sqlite3.Error as error:
            message = (
                "%(path)s should be an SQLite file with a table omdb of the columns %(columns)s: %(why)s"
            )
            raise CatalogueError(
                message % {"path": self.path, "columns": ", ".join(COLUMNS), "why": error}
            ) from error

    def __len__(self) -> int:
        return sum(map(len, self._rowids.values()))

    def by_imdb(self, imdb: str, keys: Iterable[str] = ()) -> int | None:
        """Return the row of an IMDb id.

        Where the table has two (a movie and its later cut), the title decides.
        """
        rowids = self._rowids.get(imdb, [])
        if len(rowids) > 1:
            named = {rowid for key in keys for _year, rowid in self._titles.get(key, ())}
            rowids = [rowid for rowid in rowids if rowid in named] or rowids
        return rowids[0] if rowids else None

    def by_title(self, keys: Iterable[str], year: int | None) -> list[int]:
        """Return rows with one of these title keys (`titles.match_key`): of that year, else of the years
        beside it. Several mean that titles and year do not tell."""
        if year is None:
            return []
        found = {(abs(at - year), rowid) for key in keys for at, rowid in self._titles.get(key, ())}
        for apart in range(YEARS_APART + 1):
            if rowids := sorted(rowid for distance, rowid in found if distance == apart):
                return rowids
        return []

    @cached_property
    def films_of(self) -> Counter[str]:
        """Count in how many films of the table each person plays."""
        casts = self._query('SELECT "Cast" FROM omdb WHERE "Cast" <> \'\'', [])
        return Counter(name for (cast,) in casts for name in cast.split(", "))

    def _by_prominence(self, cast: tuple[str, ...]) -> tuple[str, ...]:
        """Order a cast by how many films each plays in: the table lists casts by the alphabet."""
        return tuple(sorted(cast, key=lambda name: -self.films_of[name]))

    def entries(self, rowids: Iterable[int]) -> Iterator[tuple[int, WikidataEntry]]:
        """Yield entries by row. `rowids` at most a few hundred at a time."""
        wanted = list(rowids)
        marks = ",".join("?" * len(wanted))
        names = ", ".join(f'"{column}"' for column in COLUMNS)
        rows = self._query(f"SELECT rowid, {names} FROM omdb WHERE rowid IN ({marks})", wanted)  # noqa: S608
        for rowid, imdb, title, year, runtime, director, writer, cast, country, language in rows:
            minutes = round(runtime) if runtime else 0
            yield (
                rowid,
                WikidataEntry(
                    imdb=imdb,
                    title=clean(title or ""),
                    year=year,
                    runtime=minutes if 0 < minutes <= LONGEST_RUNTIME else None,
                    directors=split_names(director),
                    writers=split_names(writer),
                    cast=self._by_prominence(split_names(cast)),
                    countries=split_names(country),
                    languages=split_names(language),
                ),
            )
