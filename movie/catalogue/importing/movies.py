"""Import movies of a data set into the catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from django.db import connection, models, transaction

from movie.catalogue.importing import formats, movielens_csv
from movie.catalogue.importing.errors import RejectReason
from movie.catalogue.importing.matching import match_rows
from movie.catalogue.importing.reading import TextFile
from movie.catalogue.importing.reports import ImportResult, ProgressCallback, RejectReport, ignore_progress
from movie.catalogue.importing.rows import MovieRow, RejectedRow, movie_rows
from movie.catalogue.models import Country, ExternalId, Genre, Language, Movie, MovieTitle
from movie.catalogue.titles import search_key
from movie.core.batches import write_in_batches
from movie.core.database import retry_on_deadlock

BATCH = 1_000  # rows in one statement
RELATIONS: dict[str, type[Genre] | type[Country] | type[Language]] = {
    "genres": Genre,
    "countries": Country,
    "languages": Language,
}
PLAIN_FIELDS = ("year", "runtime", "synopsis", "poster_path")


def create_all(model: type[models.Model], objects: Sequence[models.Model]) -> None:
    """Insert objects and give them their primary keys, also where the database does not return them."""
    if connection.features.can_return_rows_from_bulk_insert:
        model._default_manager.bulk_create(objects, batch_size=BATCH)
    else:
        for each in objects:
            each.save_base(force_insert=True)


def link_table(relation: str) -> tuple[type[models.Model], str]:
    """Return the table behind genres, countries or languages of movies, and its column for the other side."""
    field = Movie._meta.get_field(relation)
    if not isinstance(field, models.ManyToManyField) or field.remote_field.through is None:
        raise TypeError(f"{relation} is no many-to-many relation")
    return field.remote_field.through, f"{field.m2m_reverse_field_name()}_id"


class NameCache:
    """Keeps genres, countries or languages by name, compared without case."""

    def __init__(self, model: type[Genre] | type[Country] | type[Language]) -> None:
        self._model = model
        self.reread()

    def reread(self) -> None:
        """Read the names again: a rollback has removed new ones."""
        self._ids: dict[str, int] = {search_key(each.name): each.pk for each in self._model.objects.all()}

    def ids(self, names: Iterable[str]) -> list[int]:
        wanted = {search_key(name): name for name in names}
        missing = {key: name for key, name in wanted.items() if key not in self._ids}
        if missing:
            made = self._model.objects.named(missing.values())
            self._ids.update({search_key(name): each.pk for name, each in made.items()})
        return [self._ids[key] for key in wanted]


class MovieWriter:
    """Saves batches of movies of one id space.

    `matching` finds the movie of a row; so a second data set adds its ids to the movies that are there.
    A movie that exists keeps what it says: only what is empty is filled, unless `overwrite`.
    """

    def __init__(self, source: str, *, overwrite: bool = False, by_title: bool = True) -> None:
        self.source = source
        self.overwrite = overwrite
        self.by_title = by_title
        self._names = {name: NameCache(model) for name, model in RELATIONS.items()}

    def rolled_back(self) -> None:
        for names in self._names.values():
            names.reread()

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
                    is_visible=not row.is_placeholder,
                    **{name: getattr(row, name) for name in PLAIN_FIELDS},
                )
                new.append((row, movie))
            elif self._fill(row, movie):
                changed.add(movie.pk)
            movies[row.id] = movie
        create_all(Movie, [movie for _row, movie in new])
        fresh = {movie.pk for _row, movie in new}
        for movie in known.values():
            if movie.pk in changed:
                movie.save_base()
        changed |= self._add_ids(rows, movies)
        changed |= self._add_titles(rows, movies, () if self.overwrite else matches.by_own_id)
        for relation in self._names:
            changed |= self._add_related(relation, rows, movies, fresh)
        return len(new), len(changed - fresh), matches.conflicts

    def _fill(self, row: MovieRow, movie: Movie) -> bool:
        before = {name: getattr(movie, name) for name in ("title", "sort_title", *PLAIN_FIELDS)}
        for name in PLAIN_FIELDS:
            stated = getattr(row, name)
            if stated not in (None, "") and (self.overwrite or before[name] in (None, "")):
                setattr(movie, name, stated)
        if self.overwrite:
            movie.title, movie.sort_title = row.title, row.sort_title
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

    def _add_related(
        self, relation: str, rows: Sequence[MovieRow], movies: Mapping[str, Movie], fresh: set[int]
    ) -> set[int]:
        """Set genres, countries or languages of movies that have none (of all, when overwriting)."""
        stating = {movies[row.id].pk: getattr(row, relation) for row in rows if getattr(row, relation)}
        through, column = link_table(relation)
        there: dict[int, set[int]] = {}
        old = through._default_manager.filter(movie__in=stating.keys() - fresh)
        for pk, related in old.values_list("movie_id", column):
            there.setdefault(pk, set()).add(related)
        changed: dict[int, set[int]] = {}
        for pk, names in stating.items():
            if pk in there and not self.overwrite:
                continue
            wanted = set(self._names[relation].ids(names))
            if wanted != there.get(pk):
                changed[pk] = wanted
        through._default_manager.filter(movie__in=changed.keys() & there.keys()).delete()
        links = [through(**{"movie_id": pk, column: each}) for pk, ids in changed.items() for each in ids]
        through._default_manager.bulk_create(links, batch_size=BATCH)
        return set(changed)


def import_movies(
    path: Path,
    *,
    source: str | None = None,
    format_name: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    overwrite: bool = False,
    by_title: bool = True,
    dry_run: bool = False,
    batch: int | None = None,
    report: RejectReport | None = None,
    pauses: bool = True,
    progress: ProgressCallback = ignore_progress,
) -> ImportResult:
    """Import a file of movies, or the movie file of a folder with the links beside it.

    Every batch is one transaction; a second run changes nothing. `batch` and `pauses` are as for
    `write_in_batches`. Raises CatalogueError for a file that cannot be used.
    """
    path = formats.locate(path, "movies")
    known = formats.format_of(path, "movies", format_name)
    source = source or formats.source_of(path, known)
    report = report if report is not None else RejectReport()
    outcome = ImportResult()
    links = _links(path, report) if known.name == "movielens-csv" else {}
    refused_before = report.reasons.copy()
    with formats.open_file(path, known, encoding) as file:
        table = formats.read(file, known, "movies", columns)
        rows = _linked(movie_rows(table), links, path, report)
        writer = MovieWriter(source, overwrite=overwrite, by_title=by_title)

        @retry_on_deadlock
        def write(chunk: list[MovieRow]) -> tuple[list[MovieRow], int, int, dict[str, str]]:
            with transaction.atomic():
                added, changed, conflicts = writer.write(chunk)
                if dry_run:
                    transaction.set_rollback(True)
            if dry_run:
                writer.rolled_back()
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
