"""Import facts about movies of the catalogue: directors, casts in billing order, titles, running times.

A file of facts is a table with a header (CSV or TSV, any of the encodings and compressions that movie files
may have) with a column `imdb`, and any of `title`, `year`, `directors`, `writers`, `cast`, `runtime`, `ko`
and `zh_hans`. Lists are joined by a bar, in the order of the credits. A column `src` names the source of each
fact ("dir=wikidata;cast=hand"); without it `source` names that of all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from movie.catalogue.fact_sources import FactOrigin, FactSource, order_text
from movie.catalogue.importing.cells import imdb_id, is_missing, parse_names, parse_runtime, parse_year
from movie.catalogue.importing.errors import CatalogueError, RejectReason, RowError
from movie.catalogue.importing.matching import match_rows
from movie.catalogue.importing.reading import TextFile, header, read_columns, split_plain, split_quoted
from movie.catalogue.importing.relations import ROLES, People
from movie.catalogue.importing.reports import ImportResult, ProgressCallback, RejectReport, ignore_progress
from movie.catalogue.importing.rows import LONGEST_PERSON, MovieRow, RejectedRow
from movie.catalogue.models import Credit, ExternalId, Movie, MovieTitle
from movie.catalogue.titles import search_key
from movie.core.batches import write_in_batches
from movie.core.database import retry_on_deadlock

LONGEST_TITLE = 255
LANGUAGES = {"ko": "ko", "zh_hans": "zh-hans"}  # column -> code of the title's language
COLUMNS = ("imdb", "title", "year", *ROLES, "runtime", *LANGUAGES, "src")
# What a column `src` calls the facts; the rest are called like their columns.
SHORT_NAMES = {"dir": "directors", "wr": "writers", "cast": "cast", "rt": "runtime", "zh": "zh_hans"}
_SOURCE = re.compile(r"(?P<fact>\w+)=(?P<source>[^;~]+)~?")


@dataclass(frozen=True, slots=True)
class MovieFacts:
    """Holds the facts of one row; empty where the row says nothing."""

    line: int
    raw: str
    imdb: str
    title: str = ""
    year: int | None = None
    people: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # column of ROLES -> names
    runtime: int | None = None
    titles: Mapping[str, str] = field(default_factory=dict)  # language code -> title
    sources: Mapping[str, str] = field(default_factory=dict)  # column -> source


def import_facts(
    path: Path,
    *,
    licences: Mapping[str, str],
    source: str = "",
    overwrite: bool = False,
    dry_run: bool = False,
    report: RejectReport | None = None,
    pauses: bool = True,
    progress: ProgressCallback = ignore_progress,
) -> ImportResult:
    """Fill the movies that the catalogue has; rows about others are counted as refused.

    licences   the licence of each source that the file names
    pauses     as for `write_in_batches`
    overwrite  replaces what movies say; without it only what is empty is filled. A stated cast always
               comes first in its order, before the names that are there; directors and writers who are
               there already, all of them and nobody else, are put in the stated order

    Raises CatalogueError for a file that cannot be used, and for a source without a licence.
    """
    report = report if report is not None else RejectReport()
    outcome = ImportResult(rejected=report.reasons)
    writer = _Writer(path, licences, overwrite=overwrite)
    credited: Counter[tuple[str, str]] = Counter()  # (source, column) -> movies
    with TextFile(path) as file:

        @retry_on_deadlock
        def write_or_nothing(some: list[MovieFacts]) -> _Written:
            with transaction.atomic():
                written = writer.write(some)
                if dry_run:
                    transaction.set_rollback(True)
            return written

        def write(some: list[MovieFacts]) -> int:
            written = write_or_nothing(some)
            outcome.add(written.n_movies, 0, written.n_changed)
            credited.update(written.credited)
            for refused in written.refused:
                report.add(path, refused)
            return len(some)

        try:
            for _ in write_in_batches(_rows(file, source, report), write, pauses=pauses):
                progress(file.done, f"{outcome.accepted:,} films")
        except KeyboardInterrupt:
            outcome.interrupted = True
    if not dry_run:
        FactSource.objects.credit(credited, licences)
    return outcome


def _rows(file: TextFile, source: str, report: RejectReport) -> Iterator[MovieFacts]:
    lines = file.lines()
    columns, delimiter, first = read_columns(header(file.path, lines), lines)
    places = {name: columns.index(name) for name in COLUMNS if name in columns}
    if "imdb" not in places or len(places.keys() - {"imdb", "title", "year", "src"}) == 0:
        raise CatalogueError(
            f"{file.path}: expected a column imdb and one of {', '.join(COLUMNS[3:-1])}; found {first!r}"
        )
    if "src" not in places and not source:
        raise CatalogueError(f"{file.path} has no column src: name the source of its facts")
    split = split_plain if delimiter == "\t" and '"' not in first else split_quoted
    for line, raw, cells, problem in split(lines, delimiter, len(columns)):
        if cells is None:
            report.add(file.path, RejectedRow(line, problem or RejectReason.BROKEN, raw))
            continue
        try:
            yield _facts(line, raw, {name: cells[place].strip() for name, place in places.items()}, source)
        except RowError as error:
            report.add(file.path, RejectedRow(line, error.reason, raw))


def _facts(line: int, raw: str, cells: Mapping[str, str], source: str) -> MovieFacts:
    """Read one row. Raises RowError without an IMDb id."""
    stated = {name: text for name, text in cells.items() if text and not is_missing(text)}
    imdb = imdb_id(stated.get("imdb", ""))
    if not imdb:
        raise RowError(RejectReason.NO_ID)
    found = {SHORT_NAMES.get(each["fact"], each["fact"]): each["source"] for each in _SOURCE.finditer(
        stated.get("src", "")
    )}  # fmt: skip
    people = {
        name: tuple(each for each in parse_names(stated[name]) if len(each) <= LONGEST_PERSON)
        for name in ROLES
        if name in stated
    }
    return MovieFacts(
        line,
        raw,
        imdb,
        stated.get("title", ""),
        parse_year(stated["year"]) if "year" in stated else None,
        people,
        parse_runtime(stated["runtime"]) if "runtime" in stated else None,
        {code: stated[name][:LONGEST_TITLE] for name, code in LANGUAGES.items() if name in stated},
        {name: found.get(name, source) for name in (*ROLES, "runtime", *LANGUAGES) if name in stated},
    )


@dataclass
class _Written:
    """Counts what one transaction wrote, with the rows that it refused."""

    n_movies: int = 0
    n_changed: int = 0
    credited: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, column) -> movies
    refused: list[RejectedRow] = field(default_factory=list)


class _Writer:
    def __init__(self, path: Path, licences: Mapping[str, str], *, overwrite: bool) -> None:
        self._path, self._licences, self._overwrite = path, licences, overwrite

    def write(self, rows: Sequence[MovieFacts]) -> _Written:
        """Write the facts of rows whose movie is here, and count whom each fact is owed to."""
        written = _Written()
        matches = match_rows([_as_movie_row(row) for row in rows], "imdb")
        movies = Movie.objects.prefetch_related("titles", "credits").in_bulk(matches.movies.values())
        self._ordered: dict[str, dict[tuple[int, str], str]] = {}  # source -> orders that it decided
        # What the rows replace and add, by movie and role or language: written in one statement each.
        self._old_credits: set[int] = set()
        self._new_credits: dict[tuple[int, str], list[int]] = {}
        self._old_titles: set[int] = set()
        self._new_titles: dict[tuple[int, str], str] = {}
        people = People().ids(name for row in rows for names in row.people.values() for name in names)
        changed = set()
        for row in rows:
            pk = matches.movies.get(row.imdb)
            if pk is None:
                conflict = matches.conflicts.get(row.imdb, "")
                reason = RejectReason.CONFLICT if conflict else RejectReason.UNKNOWN_MOVIE
                written.refused.append(RejectedRow(row.line, reason, row.raw, conflict))
                continue
            self._require_licences(row)
            movie = movies[pk]
            facts = self._credits(movie, row, people) | self._titles(movie, row)
            if row.runtime and (movie.runtime is None or self._overwrite) and movie.runtime != row.runtime:
                Movie.objects.filter(pk=pk).update(runtime=row.runtime)
                facts.add("runtime")
            if row.imdb not in matches.by_own_id:
                ExternalId.objects.create(movie=movie, source="imdb", value=row.imdb)
            written.credited.update((row.sources[name], name) for name in facts)
            if facts:
                changed.add(pk)
            written.n_movies += 1
            written.n_changed += bool(facts)
        self._write_credits_and_titles()
        # Whoever keeps movies in memory reads those again that were changed since.
        Movie.objects.filter(pk__in=changed).update(updated=timezone.now())
        for source, ordered in self._ordered.items():
            FactOrigin.objects.record(source, ordered)
        return written

    def _require_licences(self, row: MovieFacts) -> None:
        for name, source in row.sources.items():
            if not self._licences.get(source):
                where = f"{self._path}, line {row.line}"
                raise CatalogueError(f"{where}: the licence of {source or name} is not stated")

    def _credits(self, movie: Movie, row: MovieFacts, people: Mapping[str, int]) -> set[str]:
        written = set()
        for name, stated in row.people.items():
            role = ROLES[name]
            there = [credit.person_id for credit in movie.credits.all() if credit.role == role]
            ids = list(dict.fromkeys(people[key] for each in stated if (key := search_key(each)) in people))
            if name == "cast":
                ids += [pk for pk in there if pk not in ids]
            elif there and not self._overwrite and set(ids) != set(there):
                continue
            if not ids:
                continue
            self._ordered.setdefault(row.sources[name], {})[movie.pk, name] = order_text(ids)
            if ids == there:
                continue
            self._old_credits.update(credit.pk for credit in movie.credits.all() if credit.role == role)
            self._new_credits[movie.pk, role] = ids
            written.add(name)
        return written

    def _titles(self, movie: Movie, row: MovieFacts) -> set[str]:
        written = set()
        there = {each.search_key: each for each in movie.titles.all()}
        spoken = {each.language for each in movie.titles.all()}
        for name, code in LANGUAGES.items():
            title = row.titles.get(code)
            if title is None or (code in spoken and not self._overwrite):
                continue
            same = there.get(search_key(title)[:255])
            if same is not None and (same.title, same.language) == (title, code):
                continue
            self._old_titles.update(
                each.pk for each in movie.titles.all() if each is same or each.language == code
            )
            self._new_titles[movie.pk, code] = title
            written.add(name)
        return written

    def _write_credits_and_titles(self) -> None:
        Credit.objects.filter(pk__in=self._old_credits).delete()
        Credit.objects.bulk_create(
            Credit(movie_id=movie, person_id=person, role=role, order=order)
            for (movie, role), people in self._new_credits.items()
            for order, person in enumerate(people)
        )
        MovieTitle.objects.filter(pk__in=self._old_titles).delete()
        MovieTitle.objects.bulk_create(
            MovieTitle(movie_id=movie, title=title, language=code, search_key=search_key(title)[:255])
            for (movie, code), title in self._new_titles.items()
        )


def _as_movie_row(row: MovieFacts) -> MovieRow:
    return MovieRow(row.line, row.raw, row.imdb, row.title, row.title, row.year, imdb=row.imdb)
