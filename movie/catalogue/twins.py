"""Find movies that the catalogue holds twice: one title, one year and no ids that contradict each other."""

from __future__ import annotations

from itertools import combinations

from django.db.models import Count

from movie.catalogue.availability import available_now
from movie.catalogue.models import SHARED_SOURCES, ExternalId, MovieTitle

MOST_TWINS = 20  # so many films of one title and year are no twins but a title such as "Untitled"
KEYS_AT_ONCE = 5_000  # databases bound the size of a statement


def find_twins() -> list[list[int]]:
    """Return groups of visible movies that are probably one, by primary key."""
    titles = MovieTitle.objects.filter(available_now("movie__"), movie__year__isnull=False).order_by()
    shared = titles.values("search_key", "movie__year").annotate(n=Count("pk")).filter(n__gt=1)
    wanted = set(shared.values_list("search_key", "movie__year"))
    if not wanted:
        return []
    members: dict[tuple[str, int | None], set[int]] = {}
    keys = sorted({key for key, _year in wanted})
    for start in range(0, len(keys), KEYS_AT_ONCE):
        found = titles.filter(search_key__in=keys[start : start + KEYS_AT_ONCE])
        for key, year, pk in found.values_list("search_key", "movie__year", "movie_id"):
            if (key, year) in wanted:
                members.setdefault((key, year), set()).add(pk)
    small = [pks for pks in members.values() if len(pks) <= MOST_TWINS]
    pairs = sorted({pair for pks in small for pair in combinations(sorted(pks), 2)})
    ids: dict[int, dict[str, str]] = {}
    stated = ExternalId.objects.filter(
        movie__in={pk for pair in pairs for pk in pair}, source__in=SHARED_SOURCES
    )
    for pk, source, value in stated.values_list("movie_id", "source", "value"):
        ids.setdefault(pk, {})[source] = value
    groups: dict[int, list[int]] = {}
    for first, second in pairs:
        group = groups.setdefault(first, [first])
        if second in groups or any(_contradict(ids.get(pk, {}), ids.get(second, {})) for pk in group):
            continue
        group.append(second)
        groups[second] = group
    return [list(group) for pk, group in groups.items() if pk == group[0] and len(group) > 1]


def _contradict(one: dict[str, str], other: dict[str, str]) -> bool:
    return any(one[source] != other[source] for source in one.keys() & other.keys())
