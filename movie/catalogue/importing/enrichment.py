"""Complete movies with people, countries, languages and running times."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from django.utils import timezone

from movie.catalogue.importing.relations import NameCache, People, link_table, transaction_of_names
from movie.catalogue.importing.reports import ProgressCallback, RejectReport, ignore_progress
from movie.catalogue.importing.rows import LONGEST_PERSON
from movie.catalogue.importing.wikidata_films import WikidataEntry, WikidataTable, default_path
from movie.catalogue.models import Country, Credit, ExternalId, Language, Movie
from movie.catalogue.titles import match_key, search_key
from movie.core.batches import write_in_batches
from movie.core.database import retry_on_deadlock

LONGEST_PLACE = 128
NO_MATCH = "no film of that title within a year"
NO_YEAR = "the film has no year to look it up by"
AMBIGUOUS = "several films of that title and year"


@dataclass
class Enrichment:
    """Counts the movies found (`matched`), changed and not found."""

    matched: int = 0
    by_imdb: int = 0
    changed: int = 0
    credits: int = 0
    people: int = 0
    unmatched: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False

    @property
    def unchanged(self) -> int:
        return self.matched - self.changed

    def add(self, batch: Enrichment) -> None:
        """Count a batch."""
        for name in ("matched", "by_imdb", "changed", "credits", "people"):
            setattr(self, name, getattr(self, name) + getattr(batch, name))


def enrich_movies(
    path: Path | None = None,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    batch: int | None = None,
    report: RejectReport | None = None,
    pauses: bool = True,
    progress: ProgressCallback = ignore_progress,
) -> Enrichment:
    """Complete movies from a movie table (default: the one that bokeh-sampledata ships).

    A movie is found by its IMDb id, else by its titles and year. Only what is empty is filled - the
    IMDb id, running time, countries, languages, and each of directors, writers and cast if the movie
    has none - unless `overwrite`. `batch` and `pauses` are as for `write_in_batches`. Raises CatalogueError
    when the table cannot be used.
    """
    table = WikidataTable(path or default_path())
    report = report if report is not None else RejectReport()
    outcome = Enrichment(unmatched=report.reasons)
    writer = _Writer(overwrite)
    total = Movie.objects.count()
    done = 0

    @retry_on_deadlock
    def write_or_nothing(some: list[int]) -> tuple[Enrichment, list[tuple[Movie, str]]]:
        written = Enrichment()
        with transaction_of_names(writer.names.values(), dry_run=dry_run):
            found, missed = _match(table, some, written)
            writer.write(found, written)
        return written, missed

    def write(some: list[int]) -> int:
        written, missed = write_or_nothing(some)
        outcome.add(written)
        for movie, reason in missed:
            report.note("", movie.pk, reason, str(movie))
        return len(some)

    pks = list(Movie.objects.order_by("pk").values_list("pk", flat=True))
    try:
        for n_movies in write_in_batches(pks, write, size=batch, pauses=pauses):
            done += n_movies
            progress(done / total, "{n} films".format(n=f"{done:,}"))
    except KeyboardInterrupt:
        outcome.interrupted = True
    return outcome


def _match(
    table: WikidataTable, pks: list[int], outcome: Enrichment
) -> tuple[dict[Movie, WikidataEntry], list[tuple[Movie, str]]]:
    """Return the entries of movies, and why other movies have none."""
    missed: list[tuple[Movie, str]] = []
    movies = Movie.objects.filter(pk__in=pks).prefetch_related("titles", "external_ids", "credits")
    rows: dict[Movie, int] = {}
    for movie in movies:
        keys = {match_key(title) for title in (movie.title, *(each.title for each in movie.titles.all()))}
        imdb = [each.value for each in movie.external_ids.all() if each.source == "imdb"]
        row = next((row for value in imdb if (row := table.by_imdb(value, keys)) is not None), None)
        if row is not None:
            outcome.by_imdb += 1
        else:
            # A movie whose IMDb id the table does not have is another movie, whatever its title.
            candidates = [] if imdb else table.by_title(keys - {""}, movie.year)
            if len(candidates) != 1:
                reason = AMBIGUOUS if candidates else NO_MATCH if movie.year else NO_YEAR
                missed.append((movie, reason))
                continue
            (row,) = candidates
        rows[movie] = row
    entries = dict(table.entries(set(rows.values())))
    outcome.matched += len(rows)
    return {movie: entries[row] for movie, row in rows.items()}, missed


class _Writer:
    def __init__(self, overwrite: bool) -> None:
        self._overwrite = overwrite
        self.names = {"countries": NameCache(Country), "languages": NameCache(Language)}

    def write(self, found: dict[Movie, WikidataEntry], outcome: Enrichment) -> None:
        changed = self._ids(found) | self._runtimes(found)
        changed |= self._credits(found, outcome)
        for relation in self.names:
            changed |= self._related(relation, found)
        # Whoever keeps movies in memory reads those again that were changed since.
        Movie.objects.filter(pk__in=changed).update(updated=timezone.now())
        outcome.changed += len(changed)

    def _ids(self, found: dict[Movie, WikidataEntry]) -> set[int]:
        wanted: dict[str, int] = {}
        for movie, entry in found.items():
            if not any(each.source == "imdb" for each in movie.external_ids.all()):
                wanted.setdefault(entry.imdb, movie.pk)  # a data set may list a movie twice; the first has it
        taken = ExternalId.objects.filter(source="imdb", value__in=wanted).values_list("value", flat=True)
        for value in list(taken):
            del wanted[value]
        ids = [ExternalId(source="imdb", value=value, movie_id=pk) for value, pk in wanted.items()]
        ExternalId.objects.bulk_create(ids)
        return set(wanted.values())

    def _runtimes(self, found: dict[Movie, WikidataEntry]) -> set[int]:
        changed = []
        for movie, entry in found.items():
            stale = movie.runtime is None or (self._overwrite and movie.runtime != entry.runtime)
            if entry.runtime and stale:
                movie.runtime = entry.runtime
                changed.append(movie)
        Movie.objects.bulk_update(changed, ["runtime"])
        return {movie.pk for movie in changed}

    def _credits(self, found: dict[Movie, WikidataEntry], outcome: Enrichment) -> set[int]:
        everybody = People()
        people = everybody.ids(
            name
            for entry in found.values()
            for name in (*entry.directors, *entry.writers, *entry.cast)
            if len(name) <= LONGEST_PERSON
        )
        outcome.people += everybody.added
        new: list[Credit] = []
        replaced: list[int] = []
        for movie, entry in found.items():
            there: dict[str, dict[int, Credit]] = {}
            for credit in movie.credits.all():
                there.setdefault(credit.role, {})[credit.person_id] = credit
            stated = {
                Credit.Role.DIRECTOR: entry.directors,
                Credit.Role.WRITER: entry.writers,
                Credit.Role.CAST: entry.cast,
            }
            for role, names in stated.items():
                ids = [people[key] for name in names if (key := search_key(name)) in people]
                old = there.get(role, {})
                if not ids or (old and not self._overwrite) or old.keys() == set(ids):
                    continue
                replaced += [credit.pk for credit in old.values()]
                new += [
                    Credit(movie=movie, person_id=pk, role=role, order=order)
                    for order, pk in enumerate(dict.fromkeys(ids))
                ]
        Credit.objects.filter(pk__in=replaced).delete()
        Credit.objects.bulk_create(new, batch_size=5000)
        outcome.credits += len(new)
        return {credit.movie_id for credit in new}

    def _related(self, relation: str, found: dict[Movie, WikidataEntry]) -> set[int]:
        """Set countries or languages of movies that have none (of all, when overwriting)."""
        through, column = link_table(relation)
        there: dict[int, set[int]] = {}
        old = through._default_manager.filter(movie__in=[movie.pk for movie in found])
        for pk, related in old.values_list("movie_id", column):
            there.setdefault(pk, set()).add(related)
        links = []
        changed: set[int] = set()
        for movie, entry in found.items():
            names = [name for name in getattr(entry, relation) if len(name) <= LONGEST_PLACE]
            if not names or (movie.pk in there and not self._overwrite):
                continue
            wanted = set(self.names[relation].ids(names))
            if wanted != there.get(movie.pk):
                changed.add(movie.pk)
                links += [through(**{"movie_id": movie.pk, column: each}) for each in wanted]
        through._default_manager.filter(movie__in=changed & there.keys()).delete()
        through._default_manager.bulk_create(links)
        return changed
