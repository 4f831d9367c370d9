"""Load the demonstration catalogue: MovieLens 100K from the recbole wheel, movies from bokeh-sampledata.

Both packages only carry the data; they are found without being imported, because their own
dependencies are not installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.db.models import Sum

from datasets.readers.packaged import movielens_100k
from movie import catalogue
from movie.catalogue.fact_sources import FactSource
from movie.catalogue.importing.enrichment import Enrichment, enrich_movies
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.fact_table import import_facts
from movie.catalogue.importing.formats import MOVIELENS_100K
from movie.catalogue.importing.movies import import_movies
from movie.catalogue.importing.reports import ImportResult, ProgressCallback, ignore_progress
from movie.catalogue.models import Movie
from movie.events.models import Event
from movie.events.rating_import import import_ratings

RATINGS = 100_000
OWN, OWN_FACTS = "Reelgraph", Path(catalogue.__file__).parent / "data" / "film_facts.tsv"
MOVIELENS = "MovieLens 100K (GroupLens Research, University of Minnesota)"
LICENCES = {
    OWN: "CC0 1.0",
    "Wikidata": "CC0 1.0",
    MOVIELENS: "research use; no commercial use without permission, no redistribution; doi:10.1145/2827872",
}
WIKIDATA_FACTS = ("directors", "writers", "cast", "countries", "languages", "runtime")
NEARLY_ALL = 0.95

MOVIELENS_TERMS = (
    "The ratings are MovieLens 100K, collected by the GroupLens Research Project at the University of "
    "Minnesota. They may be used for research. They may not be used for commercial or revenue-bearing "
    "purposes without permission of a faculty member of GroupLens, may not be redistributed without "
    "separate permission, and nobody may state or imply an endorsement by the University of Minnesota or "
    "GroupLens. Publications must cite F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and "
    "Context, ACM TiiS 5 (4), 2015, doi:10.1145/2827872. Directors, writers, casts and countries come from "
    "Wikidata (CC0)."
)


@dataclass(frozen=True, slots=True)
class Demo:
    """Report of a load; `already` when everything was there before."""

    already: bool
    movies: ImportResult | None = None
    ratings: ImportResult | None = None
    enrichment: Enrichment | None = None


def data_folder() -> Path:
    """Return the folder of MovieLens 100K. Raises CatalogueError when it is not installed."""
    try:
        return movielens_100k()
    except FileNotFoundError as error:
        raise CatalogueError(str(error)) from error


def is_loaded() -> bool:
    """Return whether the movies and ratings are there and counted.

    A few that an admin removed stay removed.
    """
    movies = Movie.objects.filter(external_ids__source=MOVIELENS_100K)
    return (movies.aggregate(total=Sum("rating_count"))["total"] or 0) >= NEARLY_ALL * RATINGS


def load_demo(progress: ProgressCallback = ignore_progress) -> Demo:
    """Load movies, ratings and credits. Everything that is there already stays as it is.

    `progress` hears how far the whole is, 0 to 1, and what is being done. Raises CatalogueError.
    """
    if is_loaded():
        progress(1.0, "The films and ratings are there already.")
        return Demo(already=True)
    folder = data_folder()

    def part(start: float, share: float) -> ProgressCallback:
        return lambda done, text: progress(start + share * done, text)

    # The movie people come before the ratings, so that a loaded demo is a complete one.
    pauses = Event.objects.exists()  # else nobody is on the site yet
    movies = import_movies(folder, pauses=pauses, progress=part(0.0, 0.1))
    enrichment = enrich_movies(pauses=pauses, progress=part(0.1, 0.45))
    counts = {("Wikidata", fact): enrichment.changed for fact in WIKIDATA_FACTS}
    counts |= {(MOVIELENS, fact): movies.accepted for fact in ("titles", "genres", "ratings")}
    FactSource.objects.credit(counts, LICENCES)
    facts = import_facts(
        OWN_FACTS, licences=LICENCES, source=OWN, overwrite=True, pauses=pauses, progress=part(0.55, 0.05)
    )
    ratings = import_ratings(folder, pauses=pauses, progress=part(0.6, 0.4))
    if any(part.interrupted for part in (movies, enrichment, facts, ratings)):
        raise KeyboardInterrupt
    return Demo(False, movies, ratings, enrichment)
