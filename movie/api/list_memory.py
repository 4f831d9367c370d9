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


def find_list(caller: Caller, list_id: str) -> RememberedList:
    """Return a list of this client's.

    Raises Problem: 401 without a key, 422 for a list that is not remembered or is another client's.
    """
    require_client(caller)
    found = RememberedList.objects.filter(
        pk=list_id, client__slug=caller.client, created__gte=timezone.now() - REMEMBERED_FOR
    ).first()
    if found is None:
        detail = "No list of yours with this id is remembered; it must have been `endless`, within a day."
        raise field_problem("body", "after", detail)
    return found


def films_up_to(last: RememberedList) -> list[int]:
    """Return the films of a list and of those before it, in their order."""
    pages = [last.movie_ids]
    if last.previous:
        rows = RememberedList.objects.filter(first=last.first).values_list("pk", "previous", "movie_ids")
        lists = {pk: (previous, movie_ids) for pk, previous, movie_ids in rows}
        previous = last.previous
        while previous in lists:
            previous, movie_ids = lists[previous]
            pages.append(movie_ids)
    return [pk for page in reversed(pages) for pk in page][-LONGEST:]


def remember(caller: Caller, ranked: RankedList, after: RememberedList | None) -> None:
    """Store the films of a list that goes on from another one, and delete lists that are too old."""
    now = timezone.now()
    RememberedList.objects.create(
        recommendation_id=ranked.recommendation_id,
        client=ApiClient.objects.get(slug=caller.client),
        first=after.first if after else ranked.recommendation_id,
        previous=after.pk if after else "",
        movie_ids=list(ranked.films),
        created=now,
    )
    oldest = now - REMEMBERED_FOR
    in_use = RememberedList.objects.filter(created__gte=oldest).values("first")
    old = RememberedList.objects.filter(created__lt=oldest).exclude(first__in=in_use).order_by()
    forgotten = list(old.values_list("pk", flat=True)[:MOST_DELETED])
    if forgotten:
        RememberedList.objects.filter(pk__in=forgotten).delete()


def require_client(caller: Caller) -> None:
    """Raise Problem (401) without a key."""
    if not caller.client:
        raise Problem(401, "Endless lists need an API key: send Authorization: Bearer rg_...")
