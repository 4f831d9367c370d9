"""An explainer that finds its paths in the catalogue itself, for tests that need no trained model."""

import math
import random
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from unittest import mock

from movie.catalogue.models import Credit, Movie, Rating
from movie.recommendations.explanations import explain as explaining
from movie.recommendations.explanations.explanation import Explanation
from predictors.explain import (
    CLICKED,
    RATED,
    SOMEONE,
    WATCHLIST,
    Explainer,
    PathReason,
    PathStep,
)
from predictors.explain import (
    Explanation as PathExplanation,
)
from predictors.history import LIKED_FROM, History, MovieId

RELATIONS = {"director": "directed_by", "writer": "written_by", "cast": "starring"}
LONG_PATHS = 8  # of each film explained


class CataloguePaths:
    """Every path of length 3, and some of length 5, from any film of a history to the film explained.

    Scores are drawn, so that nothing depends on a model's taste. It remembers the catalogue as it
    was when it was made: what has changed since, only the pages know.
    """

    def __init__(self, seed: int = 1, kinds: Sequence[str] = ()) -> None:
        """`kinds` are the only relations to walk; all of them when empty."""
        self.kinds = frozenset(kinds)
        self.seed, self.chance = seed, random.Random(seed)
        self.edges: dict[str, set[tuple[str, str]]] = defaultdict(set)  # film -> (relation, entity)
        self.films: dict[str, set[tuple[str, str]]] = defaultdict(set)  # entity -> (relation, film)
        for film, role, person in Credit.objects.values_list("movie_id", "role", "person_id"):
            self._add(film, RELATIONS[role], f"person:{person}")
        for film, name in Movie.genres.through.objects.values_list("movie_id", "genre__name"):
            self._add(film, "in_genre", f"genre:{name}")
        for film, name in Movie.countries.through.objects.values_list("movie_id", "country__name"):
            self._add(film, "from_country", f"country:{name}")
        for film, year in Movie.objects.exclude(year=None).values_list("pk", "year"):
            self._add(film, "of_decade", f"decade:{year // 10 * 10}")
        for film, visitor in Rating.objects.filter(value__gte=LIKED_FROM).values_list("movie_id", "visitor"):
            self._add(film, "rated_by", f"user:{visitor}")

    def explain(self, history: History, movie_ids: Sequence[MovieId], most: int = 3) -> list[PathExplanation]:
        return [self._one(history, movie_id, most) for movie_id in movie_ids]

    def _one(self, history: History, movie_id: MovieId, most: int) -> PathExplanation:
        end = f"movie:{movie_id}"
        found: set[tuple[PathStep, ...]] = set()
        for film in history.strength:
            first = PathStep(_standing(history, film), f"movie:{film}")
            found |= {(first, *hop) for hop in self._hops(f"movie:{film}", end)}
            for _ in range(LONG_PATHS):
                middle = self._wander(f"movie:{film}")
                if middle and middle[-1].entity not in (end, first.entity):
                    found |= {(first, *middle, *hop) for hop in self._hops(middle[-1].entity, end)}
        paths = sorted(found, key=str)
        weights = [self._weight(path) for path in paths]
        shares = [weight / sum(weights) for weight in weights]
        best = sorted(zip(shares, paths, strict=True), key=lambda pair: (-pair[0], str(pair[1])))
        reasons, said = [], set()
        left = {True: most, False: most}
        for share, path in best:
            says, over_people = (path[0].entity, path[-2].entity), _leads_over_people(path)
            if says not in said and left[over_people]:
                said.add(says)
                left[over_people] -= 1
                reasons.append(PathReason(path, share))
        rest = 1 - sum(reason.share for reason in reasons) if reasons else 0.0
        return PathExplanation(movie_id, tuple(reasons), rest, len(paths))

    def _weight(self, path: tuple[PathStep, ...]) -> float:
        """Always the same for the same path: e to a number between -2 and 2, less for a long one."""
        drawn = zlib.crc32(f"{self.seed} {path}".encode()) / 2**32
        return math.exp(4 * drawn - 2 - len(path) / 2)

    def _add(self, film: int, relation: str, entity: str) -> None:
        if self.kinds and relation not in self.kinds:
            return
        self.edges[f"movie:{film}"].add((relation, entity))
        self.films[entity].add((relation, f"movie:{film}"))

    def _hops(self, before: str, after: str) -> set[tuple[PathStep, PathStep]]:
        if before == after:
            return set()
        there: dict[str, list[str]] = defaultdict(list)
        for relation, entity in self.edges[before]:
            there[entity].append(relation)
        return {
            (PathStep(one, _named(entity)), PathStep(f"{back}^-1", after))
            for back, entity in self.edges[after]
            for one in there.get(entity, ())
        }

    def _wander(self, film: str) -> tuple[PathStep, PathStep] | None:
        edges = sorted(self.edges[film])
        if not edges:
            return None
        relation, entity = self.chance.choice(edges)
        back, after = self.chance.choice(sorted(self.films[entity]))
        return (PathStep(relation, _named(entity)), PathStep(f"{back}^-1", after)) if after != film else None


def _named(entity: str) -> str:
    return SOMEONE if entity.startswith("user:") else entity


def _standing(history: History, film: MovieId) -> str:
    if film in history.ratings:
        return RATED
    return WATCHLIST if film in history.watchlist else CLICKED


def _leads_over_people(path: Sequence[PathStep]) -> bool:
    return any(step.entity == SOMEONE for step in path)


def explain(
    movie_ids: Iterable[int], history: History, *, explainer: Explainer | None = None, **options: Any
) -> dict[int, Explanation]:
    """`explanations.explain`, where `explainer` stands in for KPRN."""
    if explainer is None:
        return explaining.explain(movie_ids, history, **options)
    with mock.patch("movie.recommendations.explanations.connections._kprn", return_value=explainer):
        return explaining.explain(movie_ids, history, **options)
