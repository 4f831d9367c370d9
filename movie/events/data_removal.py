"""Remove what a source brought: the ratings of its people, its ids, and films that nothing else holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.reports import ProgressCallback, ignore_progress
from movie.catalogue.models import SHARED_SOURCES, ExternalId, Movie, Rating
from movie.catalogue.removal import delete_movies
from movie.core.batches import write_all_in_batches
from movie.core.database import retry_on_deadlock
from movie.events.models import Event
from movie.events.ratings import delete_ratings
from movie.visitors.visitor import ACTING

FILMS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Removal:
    """What the removal of a source's data takes away, by primary keys of ratings, movies and external ids.

    to_delete  movies that no other source names and that nobody else rated or met
    to_hide    movies that no other source names and that somebody else rated or met: their history stays
    """

    source: str
    ratings: list[int]
    ids: list[int]
    to_delete: list[int]
    to_hide: list[int]

    @property
    def n_kept(self) -> int:
        """Return how many movies stay as they are, but for the id: another source names them too."""
        kept = ExternalId.objects.filter(pk__in=self.ids).exclude(movie__in=[*self.to_delete, *self.to_hide])
        return kept.values("movie").distinct().count()


def plan_removal(source: str, visitors: Sequence[str] = ()) -> Removal:
    """Find what a source brought. Its people are those of `visitors`, by default of the source's own name.

    Raises CatalogueError for an id space that all sources share and for visitors who act here.
    """
    if source in SHARED_SOURCES:
        raise CatalogueError(f"Ids of {source} are no data of one source: films of every source have them.")
    names = list(visitors) or [source]
    for name in names:
        if name.partition(":")[0].casefold() in ACTING:
            raise CatalogueError(f"Visitors “{name}” act on this site; they are no people of a source.")
    theirs = Q()
    for name in names:
        theirs |= Q(visitor__startswith=f"{name}:")
    own = ExternalId.objects.filter(source=source)
    elsewhere = ExternalId.objects.filter(movie=OuterRef("pk")).exclude(source=source)
    alone = Movie.objects.filter(pk__in=own.values("movie")).exclude(Exists(elsewhere))
    met = Exists(Event.objects.filter(movie=OuterRef("pk")))
    rated = Exists(Rating.objects.filter(movie=OuterRef("pk")).exclude(theirs))
    to_hide = set(alone.filter(met | rated).values_list("pk", flat=True))
    return Removal(
        source,
        ratings=list(Rating.objects.filter(theirs).order_by("pk").values_list("pk", flat=True)),
        ids=list(own.values_list("pk", flat=True)),
        to_delete=[pk for pk in alone.order_by("pk").values_list("pk", flat=True) if pk not in to_hide],
        to_hide=sorted(to_hide),
    )


def remove_data(plan: Removal, progress: ProgressCallback = ignore_progress) -> None:
    """Take away what a plan names, in small batches; done again after an interruption it does the rest."""
    n_all = len(plan.ratings) + len(plan.to_delete) + 1
    n_done = 0

    @retry_on_deadlock
    def remove_ratings(some: list[int]) -> None:
        nonlocal n_done
        with transaction.atomic():
            delete_ratings(Rating.objects.filter(pk__in=some))
        n_done += len(some)
        progress(n_done / n_all, "ratings")

    write_all_in_batches(plan.ratings, remove_ratings)
    for start in range(0, len(plan.to_delete), FILMS_AT_ONCE):
        some = plan.to_delete[start : start + FILMS_AT_ONCE]
        delete_movies(some)
        n_done += len(some)
        progress(n_done / n_all, "films")
    now = timezone.now()
    write_all_in_batches(
        plan.to_hide, lambda some: Movie.objects.filter(pk__in=some).update(is_visible=False, updated=now)
    )
    write_all_in_batches(plan.ids, lambda some: ExternalId.objects.filter(pk__in=some).delete())
