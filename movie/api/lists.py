"""Ranked lists for the API: as `movie.recommendations.rank_for`, for one history or a thousand, with wishes.

The model that was asked for answers, else the next of the site's defaults that can, and the list says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from movie.api.choosing import Placement, diverse, placement_of, pool_size, refused_items, refused_rows
from movie.api.film_table import FilmTable, film_table
from movie.api.problems import TRAINING_SECONDS, unavailable
from movie.api.schemas import Wishes
from movie.api.together import score
from movie.api.told import Told
from movie.experiments import default_models
from movie.explanations import explain
from movie.interactions import new_event_id
from movie.metrics.counting import ListOfFilms, count_fallback, count_ranking
from movie.models import Movie
from movie.recommendations import (
    ABOUT,
    MOST_RATED,
    RATINGS_TO_EXPECT_FROM,
    STAR_PREDICTOR,
    WHY_NOT,
    registry,
)
from movie.request_log import handed_out
from predictors.base import Predictor, Query, top_k
from predictors.capabilities import PredictsStars
from predictors.errors import PredictorError

AT_ONCE = 64  # histories scored together; the scores of 60,000 films for them take 15 MB
NOT_TRAINED = "not_trained"


@dataclass(slots=True)
class MadeList:
    """Films, best first, and who ranked them. `fallback` says why it was not the model asked for."""

    told: Told
    model: str
    version: str
    films: list[int]
    scores: list[float]
    unknown: list[int]
    fallback: dict[str, str] | None = None
    recommendation_id: str = field(default_factory=new_event_id)

    def as_dict(self, table: FilmTable) -> dict[str, Any]:
        films = zip(self.films, self.scores, strict=True)
        return {
            "recommendation_id": self.recommendation_id,
            "model": self.model,
            "version": self.version,
            "recommendations": [
                {"rank": rank, "movie_id": film, "title": table.title_of(film), "score": short(value)}
                for rank, (film, value) in enumerate(films, start=1)
            ],
            "unknown_ids": self.unknown,
            "fallback": self.fallback,
        }


def lists_for(tolds: Sequence[Told], wishes: Wishes) -> tuple[list[MadeList], FilmTable]:
    """One list for each history. Raises Problem: 422 for a genre or language that nothing has, 503 while no
    model is trained."""
    table = film_table()
    refused = refused_rows(wishes.filters, table)
    if not tolds:
        return [], table
    chain = list(dict.fromkeys(filter(None, [wishes.model, *default_models()])))
    made: list[MadeList | None] = [None] * len(tolds)
    why: dict[int, str] = {}  # what the model that was asked for could not do, by place
    any_model = False
    for name in chain:
        places = [place for place, each in enumerate(made) if each is None]
        if not places:
            break
        try:
            predictor = registry().get(name)
        except PredictorError:
            if name == wishes.model:
                why = dict.fromkeys(places, NOT_TRAINED)
            continue
        any_model = True
        queries = {}
        for place in places:
            query = tolds[place].query(predictor)
            if len(query.liked) >= predictor.min_history:
                queries[place] = query
            elif name == wishes.model:
                why[place] = "no_known_films" if query.unknown else "history_too_short"
        ranking = _Ranking(predictor, placement_of(predictor, table), wishes, refused)
        for place, (films, scores) in zip(queries, ranking.of(queries, tolds), strict=True):
            unknown = [int(film) for film in queries[place].unknown]
            made[place] = MadeList(tolds[place], name, predictor.version, films, scores, unknown)
    if not any_model:
        raise unavailable("No model is trained yet.", TRAINING_SECONDS)
    lists = [each or _most_rated(tolds[place], wishes, table, refused) for place, each in enumerate(made)]
    for place, reason in why.items():
        lists[place].fallback = _told_off(wishes.model, reason)
        count_fallback(wishes.model, reason)
    handed_out(ListOfFilms(each.recommendation_id, each.model, each.films) for each in lists)
    return lists, table


class _Ranking:
    """One model's lists under one set of wishes."""

    def __init__(
        self, predictor: Predictor, placement: Placement, wishes: Wishes, refused: np.ndarray | None
    ) -> None:
        self.predictor, self.placement, self.wishes = predictor, placement, wishes
        self.refused = refused_items(placement, refused)
        if wishes.exclude:
            self.refused = np.union1d(self.refused, predictor.ids.indices_of(wishes.exclude)[0])

    def of(self, queries: dict[int, Query], tolds: Sequence[Told]) -> Iterable[tuple[list[int], list[float]]]:
        if len(queries) == 1:
            ((place, query),) = queries.items()
            started = time.perf_counter()
            one = self._list(score(self.predictor, query), tolds[place])
            count_ranking(self.predictor.name, time.perf_counter() - started)
            yield one
            return
        asked = list(queries.items())
        for start in range(0, len(asked), AT_ONCE):
            some = asked[start : start + AT_ONCE]
            rows = self.predictor.score([query for _place, query in some])
            for (place, _query), row in zip(some, rows, strict=True):
                yield self._list(row, tolds[place])

    def _list(self, scores: np.ndarray, told: Told) -> tuple[list[int], list[float]]:
        scores[self.refused] = -np.inf
        if self.wishes.exclude_seen:
            scores[self.predictor.ids.indices_of(told.taken)[0]] = -np.inf
        k, diversity = self.wishes.k, self.wishes.diversity
        indices, best = top_k(scores[None], pool_size(k, diversity))
        n = int((indices[0] >= 0).sum())
        items, values = indices[0, :n].tolist(), best[0, :n].tolist()
        if diversity:
            rows = self.placement.rows[indices[0, :n]].tolist()
            chosen = diverse(rows, values, self.placement.table, k=k, diversity=diversity)
            items, values = [items[place] for place in chosen], [values[place] for place in chosen]
        return [int(self.predictor.ids.ids[item]) for item in items], values


def _most_rated(told: Told, wishes: Wishes, table: FilmTable, refused: np.ndarray | None) -> MadeList:
    """The answer of last resort, from the database; all scores are 0."""
    gone = {*wishes.exclude, *(told.taken if wishes.exclude_seen else ())}
    ids = Movie.objects.visible().most_rated().values_list("pk", flat=True)
    if refused is None:
        ids = ids[: wishes.k + len(gone)]
    films = [pk for pk in ids if pk in table and pk not in gone]
    if refused is not None:
        films = [pk for pk, row in zip(films, table.rows_of(films), strict=True) if not refused[row]]
    unknown = [int(film) for film in told.taken if film not in table]
    films = films[: wishes.k]
    return MadeList(told, MOST_RATED, "", films, [0.0] * len(films), unknown)


def _told_off(requested: str, reason: str) -> dict[str, str]:
    detail = WHY_NOT[reason] % {"model": ABOUT[requested].label}
    return {"requested": requested, "reason": reason, "detail": str(detail)}


# -- what can be said of each film -----------------------------------------------------------------


def add_expected_stars(answer: dict[str, Any], told: Told) -> None:
    """`predicted_rating` where the star predictor knows the visitor and the film."""
    if told.n_ratings < RATINGS_TO_EXPECT_FROM:
        return
    try:
        predictor = registry().get(STAR_PREDICTOR)
    except PredictorError:
        return
    if not isinstance(predictor, PredictsStars):
        return
    films = [entry["movie_id"] for entry in answer["recommendations"]]
    expected = predictor.predict_stars(told.history, films)
    for entry in answer["recommendations"]:
        stars = expected.get(entry["movie_id"])
        if stars is not None:
            entry["predicted_rating"] = round(stars, 2)


def add_reasons(answer: dict[str, Any], told: Told) -> None:
    """True sentences with their shares, or what the score came from where nothing connects the film."""
    films = [entry["movie_id"] for entry in answer["recommendations"]]
    whys = explain(films, told.history, model=answer["model"])
    for entry in answer["recommendations"]:
        why = whys.get(entry["movie_id"])
        facts = {"reasons": [], "rest": 0.0, "instead": ""} if why is None else why.as_dict()
        entry.update({name: facts[name] for name in ("reasons", "rest", "instead")})


def short(value: float) -> float:
    """Seven digits, which is what float32 holds."""
    return float(f"{value:.7g}")
