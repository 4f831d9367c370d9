"""Endless lists: which films a client was given, so that the next list goes on with others."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from movie.api.authentication import Caller
from movie.api.models import ApiClient, RememberedList
from movie.api.problems import Problem, field_problem
from movie.recommendations.ranked_list import RankedList

REMEMBERED_FOR = timedelta(days=1)
MOST_DELETED = 100  # forgotten lists, with each one that is stored
LONGEST = 10_000  # films of an endless list; of a longer one the first films may come again


def films_before(caller: Caller, list_id: str) -> list[int]:
    """Return the films of an endless list and of those before it.

    Raises Problem: 401 without a key, 422 for a list that is not remembered or is another client's.
    """
    require_client(caller)
    found = RememberedList.objects.filter(
        pk=list_id, client__slug=caller.client, created__gte=timezone.now() - REMEMBERED_FOR
    ).first()
    if found is None:
        detail = "No list of yours with this id is remembered; it must have been `endless`, within a day."
        raise field_problem("body", "after", detail)
    return list(found.movie_ids)


def remember(caller: Caller, ranked: RankedList, before: list[int]) -> None:
    """Store the films of a list and of those before it, and delete lists that are too old."""
    now = timezone.now()
    RememberedList.objects.create(
        recommendation_id=ranked.recommendation_id,
        client=ApiClient.objects.get(slug=caller.client),
        movie_ids=[*before, *ranked.films][-LONGEST:],
        created=now,
    )
    old = RememberedList.objects.filter(created__lt=now - REMEMBERED_FOR).order_by()
    forgotten = list(old.values_list("pk", flat=True)[:MOST_DELETED])
    if forgotten:
        RememberedList.objects.filter(pk__in=forgotten).delete()


def require_client(caller: Caller) -> None:
    """Raise Problem (401) without a key."""
    if not caller.client:
        raise Problem(401, "Endless lists need an API key: send Authorization: Bearer rg_...")
