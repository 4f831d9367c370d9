"""Import movies of a data set into the catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from django.db import connection
from django.utils import timezone

from movie.catalogue.importing import formats, movielens_csv
from movie.catalogue.importing.errors import RejectReason
from movie.catalogue.importing.matching import match_rows
from movie.catalogue.importing.reading import TextFile
from movie.catalogue.importing.relations import (
    BATCH,
    RELATIONS,
    ROLES,
    NameCache,
    create_all,
    set_names,
    set_people,
    set_tags,
    transaction_of_names,
)
from movie.catalogue.importing.reports import (
    ImportResult,
    ProgressCallback,
    RejectReport,
    ignore_progress,
    require_few_refused,
)
from movie.catalogue.importing.rows import MovieRow, RejectedRow, Table, movie_rows
from movie.catalogue.importing.sampling import Announce, file_line, say_nothing
from movie.catalogue.importing.sync import MAX_HIDDEN, hide_movies, movies_to_hide, read_content
from movie.catalogue.models import ExternalId, Movie, MovieTitle
from movie.catalogue.titles import search_key
from movie.core.batches import write_in_batches
from movie.core.database import retry_on_deadlock

PLAIN_FIELDS = ("year", "runtime", "synopsis", "poster_path")
WINDOW = ("available_from", "available_until")
WRITTEN = ("title", "sort_title", "is_visible", "updated", *PLAIN_FIELDS, *WINDOW)


class MovieWriter:
    """Saves batches of movies of one id space.

    `matching` finds the movie of a row; so a second data set adds its ids to the movies that are there.
    A movie that exists keeps what it says: only what is empty is filled, unless `overwrite`. Visibility and
    window are always as the rows state them; with `is_complete`, rows of a complete file, a movie whose row
    states no window has none.
    """

    def __init__(
        self,
        source: str,
        *,
        overwrite: bool = False,
        by_title: bool = True,
        is_complete: bool = False,
    ) -> None:
        self.source, self.is_complete = source, is_complete
        self.overwrite = overwrite
        self.by_title = by_title
        self.names = {name: NameCache(model) for name, model in RELATIONS.items()}

    def write(self, rows: Sequence[MovieRow]) -> tuple[int, int, dict[str, str]]:
        """Save rows with distinct ids. Returns (added, changed, conflicts by the id of a refused row)."""
        matches = match_rows(rows, self.source, by_title=self.by_title, overwrite=self.overwrite)
        found = matches.movies
        rows = [row for row in rows if row.id not in matches.conflicts]
        known = {movie.pk: movie for movie in Movie.objects.filter(pk__in=found.values())}
        changed: set[int] = set()
        new: list[tuple[MovieRow, Movie]] = []
        movies: dict[str, Movie] = {}
        for row in rows:
            movie = known.get(found[row.id]) if row.id in found else None
            if movie is None:
                movie = Movie(
                    title=row.title,
                    sort_title=row.sort_title,
                    is_visible=not row.is_placeholder if row.visible is None else row.visible,
                    available_from=row.available_from,
                    available_until=row.available_until,
                    **{name: getattr(row, name) for name in PLAIN_FIELDS},
                )
                new.append((row, movie))
            elif self._fill(row, movie):
                changed.add(movie.pk)
            movies[row.id] = movie
        create_all(Movie, [movie for _row, movie in new])
        fresh = {movie.pk for _row, movie in new}
        saved = set(changed)
        for movie in known.values():
            if movie.pk in saved:
                movie.save_base(update_fields=WRITTEN)  # not the figures of its ratings, which may have moved
        changed |= self._add_ids(rows, movies)
        changed |= self._add_titles(rows, movies, () if self.overwrite else matches.by_own_id)
        only_where_empty = not self.overwrite
        for relation, names in self.names.items():
            stated = _stated(relation, rows, movies)
            changed |= set_names(relation, stated, names, only_where_empty=only_where_empty)
        for role in ROLES:
            changed |= set_people(role, _stated(role, rows, movies), only_where_empty=only_where_empty)
        changed |= set_tags(_stated("tags", rows, movies), only_where_empty=only_where_empty)
        # Whoever keeps movies in memory reads those again that were changed since.
        Movie.objects.filter(pk__in=changed - fresh - saved).update(updated=timezone.now())
        return len(new), len(changed - fresh), matches.conflicts

    def _fill(self, row: MovieRow, movie: Movie) -> bool:
        before = {name: getattr(movie, name) for name in WRITTEN if name != "updated"}
        for name in PLAIN_FIELDS:
            stated = getattr(row, name)
            if stated not in (None, "") and (self.overwrite or before[name] in (None, "")):
                setattr(movie, name, stated)
        if self.overwrite:
            movie.title, movie.sort_title = row.title, row.sort_title
        if row.visible is not None:
            movie.is_visible = row.visible
        for name in WINDOW:
            if self.is_complete or getattr(row, name) is not None:
                setattr(movie, name, getattr(row, name))
        return any(getattr(movie, name) != value for name, value in before.items())

    def _add_ids(self, rows: Sequence[MovieRow], movies: Mapping[str, Movie]) -> set[int]:
        wanted: dict[tuple[str, str], int] = {}
        for row in rows:
            for source, value in ((self.source, row.id), ("imdb", row.imdb), ("tmdb", row.tmdb)):
                if value:
                    wanted.setdefault((source, value), movies[row.id].pk)
        values = {value for _source, value in wanted}
        sources = {self.source, "imdb", "tmdb"}
        there = ExternalId.objects.filter(source__in=sources, value__in=values)
        for pair in there.values_list("source", "value"):
            wanted.pop(pair, None)  # an IMDb id that another movie has stays with that movie
        # A movie has one IMDb and one TMDB id; what an admin entered is not doubled.
        has = set(
            ExternalId.objects.filter(
                source__in=("imdb", "tmdb"), movie__in=set(wanted.values())
            ).values_list("source", "movie_id")
        )
        ids = [
            ExternalId(source=source, value=value, movie_id=pk)
            for (source, value), pk in wanted.items()
            if (source, pk) not in has
        ]
        ExternalId.objects.bulk_create(ids, batch_size=BATCH)
        return {each.movie_id for each in ids}

    def _add_titles(
        self, rows: Sequence[MovieRow], movies: Mapping[str, Movie], ours: Collection[str]
    ) -> set[int]:
        """Add titles that are not there yet.

        Of movies known by their id the main one was added before: where it is gone, somebody renamed the
        movie.
        """
        pks = {movie.pk for movie in movies.values()}
        there = set(MovieTitle.objects.filter(movie__in=pks).values_list("movie_id", "search_key"))
        titles = []
        for row in rows:
            for title in row.alternatives if row.id in ours else (row.title, *row.alternatives):
                key = (movies[row.id].pk, search_key(title)[:255])
                if key not in there:
                    there.add(key)
                    titles.append(MovieTitle(movie_id=key[0], title=title, search_key=key[1]))
        # Databases that compare without accents see "Léon" and "Leon" as one title.
        MovieTitle.objects.bulk_create(titles, batch_size=BATCH, ignore_conflicts=True)
        return {each.movie_id for each in titles} if connection.vendor != "mysql" else set()


def _stated(name: str, rows: Sequence[MovieRow], movies: Mapping[str, Movie]) -> dict[int, tuple[str, ...]]:
    """Return what rows state, by movie; rows that state nothing are left out."""
    return {movies[row.id].pk: getattr(row, name) for row in rows if getattr(row, name)}


def import_movies(
    path: Path,
    *,
    source: str | None = None,
    format_name: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    list_separator: str = "",
    overwrite: bool = False,
    by_title: bool = True,
    sync: bool = False,
    max_hidden: float = MAX_HIDDEN,
    dry_run: bool = False,
    batch: int | None = None,
    report: RejectReport | None = None,
    pauses: bool = True,
    progress: ProgressCallback = ignore_progress,
    announce: Announce = say_nothing,
    max_refused: float | None = None,
) -> ImportResult:
    """Import a file of movies, or the movie file of a folder with the links beside it.

    With `sync` the file is all that its source has: movies of the source that it does not hold are hidden, by
    an end of their window, at most a share of `max_hidden` of those that are shown; a movie that comes back
    is shown again. How the file is read is told to `announce` first; with `max_refused`, a share, all rows
    are checked before any is written. Every batch is one transaction; a second run changes nothing. `batch`
    and `pauses` are as for `write_in_batches`. Raises CatalogueError for a file that cannot be used.
    """
    path = formats.locate(path, "movies")
    known = formats.format_of(path, "movies", format_name)
    source = source or formats.source_of(path, known)
    report = report if report is not None else RejectReport()
    outcome = ImportResult()
    links = _links(path, report) if known.name == "movielens-csv" else {}
    refused_before = report.reasons.copy()

    def read(file: formats.OpenFile) -> Table:
        table = formats.read(file, known, "movies", columns)
        return dataclasses.replace(table, list_separator=list_separator)

    missing: list[int] = []
    if sync or max_refused is not None:
        with formats.open_file(path, known, encoding) as file:
            content = read_content(movie_rows(read(file)), path)
        if max_refused is not None:
            require_few_refused(content.n_usable, content.report, max_refused)
        if sync:
            missing = movies_to_hide(source, content, max_hidden)
    with formats.open_file(path, known, encoding) as file:
        table = read(file)
        announce(file_line(file, known, table))
        rows = _linked(movie_rows(table), links, path, report)
        writer = MovieWriter(source, overwrite=overwrite, by_title=by_title, is_complete=sync)

        @retry_on_deadlock
        def write(chunk: list[MovieRow]) -> tuple[list[MovieRow], int, int, dict[str, str]]:
            with transaction_of_names(writer.names.values(), dry_run=dry_run):
                added, changed, conflicts = writer.write(chunk)
            return chunk, added, changed, conflicts

        try:
            for chunk, added, changed, conflicts in write_in_batches(
                rows, write, size=batch, length=lambda row: len(row.raw), pauses=pauses
            ):
                outcome.add(len(chunk) - len(conflicts), added, changed)
                _report(path, chunk, conflicts, report)
                progress(file.done, "{n} films".format(n=f"{outcome.accepted:,}"))
        except KeyboardInterrupt:
            outcome.interrupted = True
    outcome.rejected = report.reasons - refused_before
    if not outcome.interrupted and missing:
        outcome.hidden = len(missing) if dry_run else hide_movies(missing)
    return outcome


def _report(path: Path, rows: Sequence[MovieRow], conflicts: Mapping[str, str], report: RejectReport) -> None:
    for row in rows:
        if detail := conflicts.get(row.id):
            report.add(path, RejectedRow(row.line, RejectReason.CONFLICT, row.raw, detail))
            continue
        for reason in row.notes:
            report.add_note(path, row.line, str(reason.label), row.raw)


def beside(path: Path, name: str) -> Path | None:
    """Return the file `name`, perhaps compressed, in the folder of `path`."""
    for suffix in ("", ".gz", ".xz"):
        other = path.with_name(name + suffix)
        if other.is_file():
            return other
    return None


def tags_beside(path: Path, format_name: str | None = None) -> Path | None:
    """Return the tags.csv beside a movie file, where the format has one."""
    path = formats.locate(path, "movies")
    if formats.format_of(path, "movies", format_name).name != "movielens-csv":
        return None
    return beside(path, "tags.csv")


def _links(path: Path, report: RejectReport) -> dict[str, tuple[str, str]]:
    """Return IMDb and TMDB ids by MovieLens id, from the links.csv beside movies.csv, if there is one."""
    file = beside(path, "links.csv")
    if file is None:
        return {}
    result: dict[str, tuple[str, str]] = {}
    with TextFile(file) as text:
        for link in movielens_csv.links(text):
            if isinstance(link, RejectedRow):
                report.add(file, link)
            elif link[0] in result:
                report.add(file, RejectedRow(0, RejectReason.DUPLICATE, ",".join(link)))
            else:
                result[link[0]] = link[1:]
    return result


def _linked(
    rows: Iterator[MovieRow | RejectedRow],
    links: Mapping[str, tuple[str, str]],
    path: Path,
    report: RejectReport,
) -> Iterator[MovieRow]:
    for row in rows:
        if isinstance(row, RejectedRow):
            report.add(path, row)
        elif row.id in links:
            imdb, tmdb = links[row.id]
            yield dataclasses.replace(row, imdb=row.imdb or imdb, tmdb=row.tmdb or tmdb)
        else:
            yield row
