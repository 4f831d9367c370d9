"""Endless lists: which films a client was given, so that the next list goes on with others."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from movie.api.authentication import Caller
from movie.api.models import ApiClient, RememberedList
from movie.api.problems import Problem, field_problem
from movie.recommendations.ranked_list import RankedList

REMEMBERED_FOR = timedelta(days=1)
MOST_FILMS, MOST_PAGES = 10_000, 1_000  # of an endless list
LISTS_ENDED, MOST_DELETED = 10, 100  # that are looked at, and pages deleted, with each page that is stored


def find_endless_page(caller: Caller, list_id: str) -> RememberedList:
    """Return a page of an endless list of this client's.

    Raises Problem: 401 without a key, 422 for a page that is not remembered or is another client's.
    """
    require_client(caller)
    found = RememberedList.objects.filter(
        pk=list_id, client__slug=caller.client, created__gte=timezone.now() - REMEMBERED_FOR
    ).first()
    if found is None:
        detail = "No list of yours with this id is remembered; it must have been `endless`, within a day."
        raise field_problem("body", "after", detail)
    return found


def load_endless_films(last: RememberedList) -> list[int]:
    """Return the films of a page and of those before it, in their order.

    Raises Problem (422) where they are MOST_FILMS, or where the list has MOST_PAGES in all its branches.
    """
    list_pages = RememberedList.objects.filter(first=last.first)
    previous = dict(list_pages.values_list("pk", "previous")[:MOST_PAGES])
    if len(previous) < MOST_PAGES:
        ids = []
        page = last.pk
        while page in previous:
            ids.append(page)
            page = previous[page]
        pages = dict(RememberedList.objects.filter(pk__in=ids).values_list("pk", "movie_ids"))
        films = [pk for page in reversed(ids) for pk in pages.get(page, ())]
        if len(films) < MOST_FILMS:
            return films
    detail = f"An endless list has at most {MOST_FILMS:,} films and {MOST_PAGES:,} pages; begin a new one."
    raise field_problem("body", "after", detail)


def store_endless_page(caller: Caller, ranked: RankedList, after: RememberedList | None) -> None:
    """Store the films of a list that goes on from another one, and delete lists that nobody went on with."""
    now, own_id = timezone.now(), ranked.recommendation_id
    # Its first page is as young as its latest one. A list that was deleted meanwhile begins anew.
    goes_on = after and RememberedList.objects.filter(pk=after.first).update(created=now)
    RememberedList.objects.create(
        recommendation_id=own_id,
        client=ApiClient.objects.get(slug=caller.client),
        first=after.first if after and goes_on else own_id,
        previous=after.pk if after and goes_on else "",
        movie_ids=list(ranked.films),
        created=now,
    )
    ended = RememberedList.objects.filter(previous="", created__lt=now - REMEMBERED_FOR).order_by()
    firsts = list(ended.values_list("pk", flat=True)[:LISTS_ENDED])
    if firsts:
        pages = RememberedList.objects.filter(first__in=firsts).order_by("-previous")  # the first ones last
        forgotten = list(pages.values_list("pk", flat=True)[:MOST_DELETED])
        RememberedList.objects.filter(pk__in=forgotten).delete()


def require_client(caller: Caller) -> None:
    """Raise Problem (401) without a key."""
    if not caller.client:
        raise Problem(401, "Endless lists need an API key: send Authorization: Bearer rg_...")
