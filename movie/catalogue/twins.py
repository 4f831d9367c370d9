"""Find movies that the catalogue holds twice: one title, one year and no ids that contradict each other."""

from __future__ import annotations

from django.db import connection

from movie.catalogue.models import ExternalId, Movie, MovieTitle


def find_twins() -> list[list[int]]:
    """Return groups of movies that are probably one, by primary key, in one query over all titles."""
    quote = connection.ops.quote_name
    titles, movies = (quote(model._meta.db_table) for model in (MovieTitle, Movie))
    sql = (
        "SELECT DISTINCT a.movie_id, b.movie_id "  # noqa: S608 - our own names
        f"FROM {titles} a JOIN {titles} b ON b.search_key = a.search_key AND b.movie_id > a.movie_id "
        f"JOIN {movies} x ON x.id = a.movie_id JOIN {movies} y ON y.id = b.movie_id AND y.year = x.year "
        "WHERE x.is_visible AND y.is_visible ORDER BY 1, 2"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql)
        pairs = cursor.fetchall()
    ids: dict[int, dict[str, str]] = {}
    concerned = {pk for pair in pairs for pk in pair}
    shared = ExternalId.objects.filter(movie__in=concerned, source__in=("imdb", "tmdb"))
    for pk, source, value in shared.values_list("movie_id", "source", "value"):
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
