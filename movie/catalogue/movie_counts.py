"""Counts the movies of people, and writes the numbers so that nobody who credits them meets a deadlock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from django.db import connection, transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from movie.core.database import retry_on_deadlock

COUNTED_AT_ONCE = 500  # people whose movies are counted in one statement


def write_movie_counts(people: QuerySet[Any], ids: Sequence[int], stored: Literal["lt", "gt"]) -> None:
    """Count the movies of these people, and write the numbers where the stored ones are less, or greater.

    With MariaDB and MySQL a transaction that credits people shares the locks of their rows, in an order of
    its own. So this waits for no row while it holds another one: rows that are locked are left out at first,
    and then written one by one. In a transaction that is open already all are held until it ends.
    """
    for start in range(0, len(ids), COUNTED_AT_ONCE):
        _write_some(people, ids[start : start + COUNTED_AT_ONCE], f"movie_count__{stored}")


@retry_on_deadlock
def _write_some(people: QuerySet[Any], ids: Sequence[int], condition: str) -> None:
    own = people.model._meta.get_field("credits").related_model.objects.filter(person=OuterRef("pk"))
    n = own.order_by().values("person").annotate(n=Count("movie", distinct=True)).values("n")
    counted = Coalesce(Subquery(n), 0)

    def differing(some: Iterable[int]) -> QuerySet[Any]:
        return people.filter(pk__in=some, **{condition: counted}).order_by()

    wanted = set(differing(ids).values_list("pk", flat=True))
    if not wanted:
        return
    with transaction.atomic():
        unlocked = people.filter(pk__in=wanted).order_by()
        skip = connection.features.has_select_for_update_skip_locked
        free = set(unlocked.select_for_update(skip_locked=skip).values_list("pk", flat=True))
        differing(free).update(movie_count=counted)
    for pk in wanted - free:
        differing([pk]).update(movie_count=counted)
