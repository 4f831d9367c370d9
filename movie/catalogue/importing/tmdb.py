"""Complete movies that have an IMDb or TMDB id with what TMDB says of them.

One movie after the other, the most rated first: everything about it is fetched, then written in one
transaction together with the time of the lookup. An interrupted import therefore goes on with the next movie.
What somebody wrote or removed by hand stays, and so do facts of other sources; what TMDB gave earlier and
nobody changed is brought up to date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from movie.catalogue import photographs
from movie.catalogue.fact_sources import FactOrigin, FactSource, TmdbLookup, order_text
from movie.catalogue.importing.enrichment import People
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.reports import ImportResult, ProgressCallback, RejectReport, ignore_progress
from movie.catalogue.importing.tmdb_answers import Details
from movie.catalogue.importing.tmdb_client import TmdbClient, TmdbFailure
from movie.catalogue.models import Credit, ExternalId, Movie, MovieQuerySet, MovieTitle
from movie.catalogue.titles import search_key
from movie.core.database import retry_on_deadlock

SOURCE, LICENCE = "TMDB", "TMDB API Terms of Use"
MAX_AGE = timedelta(days=180)  # TMDB allows to keep what it says for six months
MOST_FAILURES = 5  # in a row, before the import gives up
ROLES = {"directors": Credit.Role.DIRECTOR, "cast": Credit.Role.CAST}
TITLES = {"ko": "ko", "zh-hans": "zh_hans"}  # code of the title's language -> fact
FIELDS = ("runtime", "synopsis", "photograph", "trailer_url")
UNKNOWN, CONFLICT = "TMDB has no film of this id", "its ids at TMDB are those of another film"
NO_POSTER = "the poster could not be used"


@dataclass
class Lookup:
    """Holds what TMDB says of one movie."""

    outcome: TmdbLookup.Outcome
    tmdb: str = ""
    details: Details | None = None
    photograph: bytes = b""


@dataclass
class TmdbResult(ImportResult):
    """Counts of an import; `failed` movies are tried again by the next one."""

    failed: int = 0
    facts: dict[str, int] = field(default_factory=dict)  # fact -> movies that got it


def import_tmdb(
    client: TmdbClient,
    *,
    max_age: timedelta = MAX_AGE,
    limit: int | None = None,
    dry_run: bool = False,
    report: RejectReport | None = None,
    progress: ProgressCallback = ignore_progress,
) -> TmdbResult:
    """Look up movies that were not looked up within `max_age`, `limit` of them at most.

    Raises CatalogueError for a refused key, and after MOST_FAILURES failures in a row.
    """
    report = report if report is not None else RejectReport()
    result = TmdbResult(rejected=report.reasons)
    pks = list(_due(max_age).values_list("pk", flat=True)[:limit])
    in_a_row = 0
    try:
        for n_done, pk in enumerate(pks):
            movie = Movie.objects.filter(pk=pk).first()
            if movie is None:
                continue
            progress(n_done / len(pks), f"{n_done:,} of {len(pks):,} films")
            try:
                lookup = _look_up(client, movie, report)
                written = _write(movie.pk, lookup, dry_run=dry_run)
                in_a_row = 0
            except TmdbFailure as error:
                result.failed, in_a_row = result.failed + 1, in_a_row + 1
                report.note("", movie.pk, error.reason, f"{movie}: {error.detail}")
                if in_a_row == MOST_FAILURES:
                    raise CatalogueError(
                        f"{error}: {MOST_FAILURES} films failed one after the other. "
                        f"{result.accepted:,} films are done; the same command goes on from there."
                    ) from error
                continue
            if lookup.outcome != TmdbLookup.Outcome.FOUND:
                reason = UNKNOWN if lookup.outcome == TmdbLookup.Outcome.UNKNOWN else CONFLICT
                report.note("", movie.pk, reason, str(movie))
                continue
            result.add(1, 0, int(bool(written)))
            for fact in written:
                result.facts[fact] = result.facts.get(fact, 0) + 1
    except KeyboardInterrupt:
        result.interrupted = True
    finally:
        if not dry_run:
            _credit()
    return result


def _due(max_age: timedelta) -> MovieQuerySet:
    fresh = TmdbLookup.objects.filter(looked_up__gt=timezone.now() - max_age)
    known = ExternalId.objects.filter(source__in=("imdb", "tmdb"))
    return (
        Movie.objects.visible()
        .filter(pk__in=known.values("movie"))
        .exclude(pk__in=fresh.values("movie"))
        .most_rated()
    )


def _look_up(client: TmdbClient, movie: Movie, report: RejectReport) -> Lookup:
    """Fetch everything about a movie. Raises TmdbFailure."""
    ids = dict(movie.external_ids.filter(source__in=("imdb", "tmdb")).values_list("source", "value"))
    tmdb = ids.get("tmdb") or client.find(ids["imdb"])
    details = client.details(tmdb) if tmdb else None
    if details is None:
        return Lookup(TmdbLookup.Outcome.UNKNOWN)
    owner = ExternalId.objects.filter(source="tmdb", value=tmdb).values_list("movie", flat=True).first()
    if (details.imdb_id and ids.get("imdb", details.imdb_id) != details.imdb_id) or owner not in (
        None,
        movie.pk,
    ):
        return Lookup(TmdbLookup.Outcome.CONFLICT)
    lookup = Lookup(TmdbLookup.Outcome.FOUND, tmdb, details)
    if details.poster_path and _is_open(movie.photograph, _origins(movie.pk).get("photograph")):
        content = client.poster(details.poster_path, photographs.LARGEST)
        try:
            photographs.name_of(content)
            lookup.photograph = content
        except photographs.NotAnImage as error:
            report.add_note("", movie.pk, NO_POSTER, f"{movie}: {details.poster_path}: {error}")
    return lookup


def _origins(pk: int) -> dict[str, FactOrigin]:
    return {each.fact: each for each in FactOrigin.objects.filter(movie=pk)}


def _is_open(value: str, origin: FactOrigin | None) -> bool:
    """Return whether TMDB may set a fact: nobody else decided it, and nobody changed what TMDB gave."""
    return not value if origin is None else origin.is_of(SOURCE, value)


@retry_on_deadlock
def _write(pk: int, lookup: Lookup, *, dry_run: bool) -> set[str]:
    """Write a movie's facts and the time of its lookup in one transaction; return the changed facts."""
    with transaction.atomic():
        changed: set[str] = set()
        if lookup.details is not None:
            movie = Movie.objects.get(pk=pk)
            name = "" if dry_run else _stored(lookup.photograph)
            writer = _Writer(movie, _origins(pk))
            writer.fields(lookup.details, name)
            writer.people(lookup.details)
            writer.titles(lookup.details)
            writer.save()
            changed = writer.changed
            given = writer.given | _add_ids(movie, lookup)
            FactOrigin.objects.record(
                SOURCE,
                {(pk, fact): value for fact, value in given.items()},
                {(pk, fact): value for fact, value in writer.before.items()},
            )
        TmdbLookup.objects.update_or_create(
            movie_id=pk, defaults={"outcome": lookup.outcome, "looked_up": timezone.now()}
        )
        if dry_run:
            transaction.set_rollback(True)
    return changed


def _stored(photograph: bytes) -> str:
    """Store a poster and return its name; "" for none. Raises CatalogueError."""
    try:
        return photographs.store(photograph) if photograph else ""
    except OSError as error:
        raise CatalogueError(f"A poster cannot be stored: {error.strerror or error}") from error


def _add_ids(movie: Movie, lookup: Lookup) -> dict[str, str]:
    """Give a movie the ids that it lacks and that no other has; return them by source."""
    given = {}
    there = set(movie.external_ids.values_list("source", flat=True))
    imdb = lookup.details.imdb_id if lookup.details else ""
    for source, value in (("tmdb", lookup.tmdb), ("imdb", imdb)):
        is_taken = ExternalId.objects.filter(source=source, value=value).exists()
        if value and source not in there and not is_taken:
            ExternalId.objects.create(movie=movie, source=source, value=value)
            given[source] = value
    return given


class _Writer:
    """Writes the facts of one movie that are open to TMDB."""

    def __init__(self, movie: Movie, origins: Mapping[str, FactOrigin]) -> None:
        self._movie, self._origins = movie, origins
        self.given: dict[str, str] = {}  # fact -> its value now, where it is TMDB's
        self.before: dict[str, str] = {}  # fact -> its value before TMDB gave any
        self.changed: set[str] = set()

    def _give(self, fact: str, value: str, before: str) -> None:
        origin = self._origins.get(fact)
        self.given[fact], self.before[fact] = value, origin.before if origin else before
        if value != before:
            self.changed.add(fact)

    def fields(self, details: Details, photograph: str) -> None:
        stated: dict[str, str | int] = {
            "runtime": details.minutes,
            "synopsis": details.synopsis,
            "photograph": photograph,
            "trailer_url": details.trailer,
        }
        for name in FIELDS:
            before = str(getattr(self._movie, name) or "")
            value = stated[name]
            if value and _is_open(before, self._origins.get(name)):
                setattr(self._movie, name, value)
                self._give(name, str(value), before)

    def save(self) -> None:
        """Save the movie's own fields; its poster changes with its directors, too."""
        if self.changed:
            self._movie.save(update_fields=[*(self.changed & {*FIELDS}), "updated"])

    def people(self, details: Details) -> None:
        """Put the cast in billing order and the directors in theirs.

        A cast of unknown origin keeps everybody, behind the billed ones; directors of unknown origin are
        put in order when they are the same people.
        """
        ids = People().ids([*details.cast, *details.directors])
        for fact, role in ROLES.items():
            names = getattr(details, fact)
            stated = list(dict.fromkeys(pk for name in names if (pk := ids.get(search_key(name)))))
            credits = Credit.objects.filter(movie=self._movie, role=role)
            there = list(credits.order_by("order").values_list("person", flat=True))
            origin = self._origins.get(fact)
            is_open = _is_open(order_text(there), origin)
            if origin is None:
                is_open = is_open or fact == "cast" or set(stated) == set(there)
            if not stated or not is_open:
                continue
            if fact == "cast":
                stated += [pk for pk in there if pk not in stated]
            if stated != there:
                credits.delete()
                Credit.objects.bulk_create(
                    Credit(movie=self._movie, person_id=pk, role=role, order=order)
                    for order, pk in enumerate(stated)
                )
            self._give(fact, order_text(stated), order_text(there))

    def titles(self, details: Details) -> None:
        """Add the titles in the site's languages that differ from the titles that the movie has."""
        rows = list(MovieTitle.objects.filter(movie=self._movie).order_by("pk"))
        for code, title in details.titles.items():
            fact = TITLES[code]
            own = next((row for row in rows if row.language == code), None)
            before = own.title if own else ""
            key = search_key(title)[:255]
            if not _is_open(before, self._origins.get(fact)):
                continue
            if any(row.search_key == key and row is not own for row in rows):
                continue
            if own is None:
                own = MovieTitle(movie=self._movie, language=code)
                rows.append(own)
            own.title = title
            own.save()
            self._give(fact, title, before)


def _credit() -> None:
    counted = FactOrigin.objects.filter(source=SOURCE).order_by().values_list("fact")
    counts = {(SOURCE, fact): n for fact, n in counted.annotate(n=Count("pk"))}
    FactSource.objects.credit(counts, {SOURCE: LICENCE})
