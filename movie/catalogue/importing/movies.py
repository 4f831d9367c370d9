"""Films of a data set into the catalogue."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from django.db import connection, models, transaction

from movie.catalogue.importing import formats, movielens_csv
from movie.catalogue.importing.reading import TextFile
from movie.catalogue.importing.reports import Outcome, RejectReport, Watch, unwatched
from movie.catalogue.importing.rows import MovieRow, Reason, Rejected, movie_rows
from movie.catalogue.models import Country, ExternalId, Genre, Language, Movie, MovieTitle
from movie.catalogue.titles import search_key

BATCH = 1_000  # films in one transaction
PLAIN_FIELDS = ("year", "runtime", "synopsis", "poster_path")


def create_all(model: type[models.Model], objects: Sequence[models.Model]) -> None:
    """Insert objects and give them their primary keys, also where the database does not return them."""
    if connection.features.can_return_rows_from_bulk_insert:
        model._default_manager.bulk_create(objects, batch_size=BATCH)
    else:
        for each in objects:
            each.save_base(force_insert=True)


def link_table(relation: str) -> tuple[type[models.Model], str]:
    """The table behind genres, countries or languages of films, and its column for the other side."""
    field = Movie._meta.get_field(relation)
    if not isinstance(field, models.ManyToManyField) or field.remote_field.through is None:
        raise TypeError(f"{relation} is no many-to-many relation")
    return field.remote_field.through, f"{field.m2m_reverse_field_name()}_id"


class Names:
    """Objects by name (genres, countries, languages), remembered, compared without case."""

    def __init__(self, model: type[Genre] | type[Country] | type[Language]) -> None:
        self._model = model
        self.reread()

    def reread(self) -> None:
        """Look again; after a rollback, what was made is gone."""
        self._ids: dict[str, int] = {search_key(each.name): each.pk for each in self._model.objects.all()}

    def ids(self, names: Iterable[str]) -> list[int]:
        wanted = {search_key(name): name for name in names}
        missing = {key: name for key, name in wanted.items() if key not in self._ids}
        if missing:
            made = self._model.objects.named(missing.values())
            self._ids.update({search_key(name): each.pk for name, each in made.items()})
        return [self._ids[key] for key in wanted]


class MovieWriter:
    """Saves batches of films of one id space.

    A film is found by its id there, then by its IMDb or TMDB id, then by a title and the year, if
    exactly one film without an id of this space has them; so a second data set adds its ids to the
    films that are there. A film that exists keeps what it says: only what is empty is filled, unless
    `overwrite`.
    """

    def __init__(self, source: str, *, overwrite: bool = False, by_title: bool = True) -> None:
        self.source = source
        self.overwrite = overwrite
        self.by_title = by_title
        self._names = {"genres": Names(Genre), "countries": Names(Country), "languages": Names(Language)}

    def rolled_back(self) -> None:
        for names in self._names.values():
            names.reread()

    def write(self, rows: Sequence[MovieRow]) -> tuple[int, int]:
        """Save rows with distinct ids. Returns (added, changed)."""
        ours = self._ours(rows)
        found = self._find(rows, ours)
        known = {film.pk: film for film in Movie.objects.filter(pk__in=found.values())}
        changed: set[int] = set()
        new: list[tuple[MovieRow, Movie]] = []
        films: dict[str, Movie] = {}
        for row in rows:
            film = known.get(found[row.id]) if row.id in found else None
            if film is None:
                film = Movie(
                    title=row.title,
                    sort_title=row.sort_title,
                    is_visible=not row.is_unknown,
                    **{name: getattr(row, name) for name in PLAIN_FIELDS},
                )
                new.append((row, film))
            elif self._fill(row, film):
                changed.add(film.pk)
            films[row.id] = film
        create_all(Movie, [film for _row, film in new])
        fresh = {film.pk for _row, film in new}
        for film in known.values():
            if film.pk in changed:
                film.save_base()
        changed |= self._add_ids(rows, films)
        changed |= self._add_titles(rows, films, () if self.overwrite else ours)
        for relation in self._names:
            changed |= self._add_related(relation, rows, films, fresh)
        return len(new), len(changed - fresh)

    def _find(self, rows: Sequence[MovieRow], ours: Mapping[str, int]) -> dict[str, int]:
        """Film ids of the catalogue by ids of the file."""
        found = dict(ours)
        taken = set(found.values())
        for source in ("imdb", "tmdb"):
            wanted = {getattr(row, source): row.id for row in rows if row.id not in found}
            wanted.pop("", None)
            others = ExternalId.objects.filter(source=source, value__in=list(wanted))
            for value, pk in self._free(others).values_list("value", "movie_id"):
                if pk not in taken:
                    found[wanted[value]] = pk
                    taken.add(pk)
        if self.by_title:
            found |= self._find_by_title([row for row in rows if row.id not in found], taken)
        return found

    def _ours(self, rows: Sequence[MovieRow]) -> dict[str, int]:
        """Film ids of the catalogue by ids of this space that are known already."""
        ids = ExternalId.objects.filter(source=self.source, value__in=[row.id for row in rows])
        return dict(ids.values_list("value", "movie_id"))

    def _free(self, ids: models.QuerySet) -> models.QuerySet:
        """Leaves out films that have an id of this space already: those are other films."""
        return ids.exclude(movie__external_ids__source=self.source)

    def _find_by_title(self, rows: Sequence[MovieRow], taken: set[int]) -> dict[str, int]:
        wanted: dict[tuple[str, int], list[MovieRow]] = {}
        for row in rows:
            if row.year is not None:
                wanted.setdefault((search_key(row.title)[:255], row.year), []).append(row)
        titles = MovieTitle.objects.filter(search_key__in={key for key, _year in wanted})
        candidates: dict[tuple[str, int], set[int]] = {}
        imdb: dict[int, str] = {}
        for key, year, pk in self._free(titles).values_list("search_key", "movie__year", "movie_id"):
            if (key, year) in wanted and pk not in taken:
                candidates.setdefault((key, year), set()).add(pk)
        if candidates:
            pks = set().union(*candidates.values())
            of_imdb = ExternalId.objects.filter(source="imdb", movie__in=pks)
            imdb = dict(of_imdb.values_list("movie_id", "value"))
        found: dict[str, int] = {}
        for key, films in candidates.items():
            if len(films) == 1 and len(wanted[key]) == 1:
                (pk,), (row,) = films, wanted[key]
                if not row.imdb or imdb.get(pk, row.imdb) == row.imdb:
                    found[row.id] = pk
        return found

    def _fill(self, row: MovieRow, film: Movie) -> bool:
        before = {name: getattr(film, name) for name in ("title", "sort_title", *PLAIN_FIELDS)}
        for name in PLAIN_FIELDS:
            stated = getattr(row, name)
            if stated not in (None, "") and (self.overwrite or before[name] in (None, "")):
                setattr(film, name, stated)
        if self.overwrite:
            film.title, film.sort_title = row.title, row.sort_title
        return any(getattr(film, name) != value for name, value in before.items())

    def _add_ids(self, rows: Sequence[MovieRow], films: Mapping[str, Movie]) -> set[int]:
        wanted: dict[tuple[str, str], int] = {}
        for row in rows:
            for source, value in ((self.source, row.id), ("imdb", row.imdb), ("tmdb", row.tmdb)):
                if value:
                    wanted.setdefault((source, value), films[row.id].pk)
        values = {value for _source, value in wanted}
        sources = {self.source, "imdb", "tmdb"}
        there = ExternalId.objects.filter(source__in=sources, value__in=values)
        for pair in there.values_list("source", "value"):
            wanted.pop(pair, None)  # an IMDb id that another film has stays with that film
        # A film has one IMDb and one TMDB id; what an admin entered is not doubled.
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
        self, rows: Sequence[MovieRow], films: Mapping[str, Movie], ours: Collection[str]
    ) -> set[int]:
        """Titles that are not there yet. Of films known by their id the main one was added before: where it
        is gone, somebody renamed the film."""
        pks = {film.pk for film in films.values()}
        there = set(MovieTitle.objects.filter(movie__in=pks).values_list("movie_id", "search_key"))
        titles = []
        for row in rows:
            for title in row.alternatives if row.id in ours else (row.title, *row.alternatives):
                key = (films[row.id].pk, search_key(title)[:255])
                if key not in there:
                    there.add(key)
                    titles.append(MovieTitle(movie_id=key[0], title=title, search_key=key[1]))
        # Databases that compare without accents see "Léon" and "Leon" as one title.
        MovieTitle.objects.bulk_create(titles, batch_size=BATCH, ignore_conflicts=True)
        return {each.movie_id for each in titles} if connection.vendor != "mysql" else set()

    def _add_related(
        self, relation: str, rows: Sequence[MovieRow], films: Mapping[str, Movie], fresh: set[int]
    ) -> set[int]:
        """Genres, countries or languages of films that have none (of all, when overwriting)."""
        stating = {films[row.id].pk: getattr(row, relation) for row in rows if getattr(row, relation)}
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
    batch: int = BATCH,
    report: RejectReport | None = None,
    watch: Watch = unwatched,
) -> Outcome:
    """Import a file of films, or the film file of a folder with the links beside it.

    Every batch is one transaction; a second run changes nothing. Raises CatalogueError for a file
    that cannot be used.
    """
    path = formats.locate(path, "movies")
    known = formats.format_of(path, "movies", format_name)
    source = source or formats.source_of(path, known)
    report = report if report is not None else RejectReport()
    outcome = Outcome(rejected=report.reasons)
    links = _links(path, report) if known.name == "movielens-csv" else {}
    with formats.open_file(path, known, encoding) as file:
        table = formats.read(file, known, "movies", columns)
        rows = _linked(movie_rows(table), links, path, report)
        writer = MovieWriter(source, overwrite=overwrite, by_title=by_title)
        try:
            while chunk := list(itertools.islice(rows, batch)):
                with transaction.atomic():
                    added, changed = writer.write(chunk)
                    if dry_run:
                        transaction.set_rollback(True)
                if dry_run:
                    writer.rolled_back()
                outcome.added += added
                outcome.changed += changed
                outcome.unchanged += len(chunk) - added - changed
                watch(file.done, "{n} films".format(n=f"{outcome.read:,}"))
        except KeyboardInterrupt:
            outcome.interrupted = True
    return outcome


def beside(path: Path, name: str) -> Path | None:
    """The file `name`, perhaps compressed, in the folder of `path`."""
    for suffix in ("", ".gz", ".xz"):
        other = path.with_name(name + suffix)
        if other.is_file():
            return other
    return None


def tags_beside(path: Path, format_name: str | None = None) -> Path | None:
    """The tags.csv beside the films that a path means, where the format has one."""
    path = formats.locate(path, "movies")
    if formats.format_of(path, "movies", format_name).name != "movielens-csv":
        return None
    return beside(path, "tags.csv")


def _links(path: Path, report: RejectReport) -> dict[str, tuple[str, str]]:
    """IMDb and TMDB ids by MovieLens id, from the links.csv beside movies.csv, if there is one."""
    file = beside(path, "links.csv")
    if file is None:
        return {}
    result: dict[str, tuple[str, str]] = {}
    with TextFile(file) as text:
        for link in movielens_csv.links(text):
            if isinstance(link, Rejected):
                report.add(file, link)
            elif link[0] in result:
                report.add(file, Rejected(0, Reason.DUPLICATE, ",".join(link)))
            else:
                result[link[0]] = link[1:]
    return result


def _linked(
    rows: Iterator[MovieRow | Rejected],
    links: Mapping[str, tuple[str, str]],
    path: Path,
    report: RejectReport,
) -> Iterator[MovieRow]:
    for row in rows:
        if isinstance(row, Rejected):
            report.add(path, row)
        elif row.id in links:
            imdb, tmdb = links[row.id]
            yield dataclasses.replace(row, imdb=row.imdb or imdb, tmdb=row.tmdb or tmdb)
        else:
            yield row
