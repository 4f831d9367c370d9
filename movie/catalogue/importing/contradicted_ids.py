"""Compare the movie file beside a rating file with the catalogue: do its ids mean the same movies?"""

from __future__ import annotations

import itertools
from pathlib import Path

from movie.catalogue.importing import formats
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.matching import match_rows
from movie.catalogue.importing.rows import MovieRow, movie_rows
from movie.catalogue.models import ExternalId

AT_ONCE = 1_000
EXAMPLES = 3


def contradicted_ids(ratings: Path, source: str) -> dict[str, str] | None:
    """Return the ids that mean another movie in the catalogue than in the file beside, each with the reason.

    None where no movie file lies beside the ratings, so that nothing can be compared.
    """
    try:
        path = formats.locate(ratings.parent, "movies")
        if path == ratings:
            return None
        known = formats.format_of(path, "movies")
        with formats.open_file(path, known) as file:
            rows = (
                row for row in movie_rows(formats.read(file, known, "movies")) if isinstance(row, MovieRow)
            )
            conflicts: dict[str, str] = {}
            while some := list(itertools.islice(rows, AT_ONCE)):
                conflicts |= match_rows(some, source, by_title=False).conflicts
    except CatalogueError:  # none, several or an unreadable one
        return None
    return conflicts


def examples_of(source: str) -> str:
    """Return what the first ids of a source mean: "1 is Toy Story (1995), 2 is Jumanji (1995)"."""
    first = ExternalId.objects.filter(source=source).select_related("movie").order_by("pk")[:EXAMPLES]
    return ", ".join(f"{each.value} is {each.movie}" for each in first)
