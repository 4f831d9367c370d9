"""Explain why a movie is in a list: up to three true reasons with shares, and the influences on its score.

Reasons are paths through the knowledge graph, weighed by KPRN. Those over people who made the films and
over genres come first, with their shares among themselves: where ratings are many, paths over people of the
same taste hold nearly all the weight and all say the same. A reason over such people stands beside the
others, and replaces them where there are none; where KPRN has no path at all, item neighbours give the
reasons. Last come the influences: the films of the history without which the score of the answering model
would fall. Every reason is verified in the catalogue as it is now (`verification`), and a dropped one has
no share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from django.utils.translation import gettext

from movie.catalogue.models import Movie
from movie.recommendations.explanations.explanation import (
    KPRN,
    NEIGHBOURS,
    Explanation,
    WeightedReasons,
    weighted_reasons,
)
from movie.recommendations.explanations.selection import RawReasons, SelectedReasons
from movie.recommendations.explanations.verification import PathVerifier
from movie.recommendations.explanations.wording import film_with_action
from movie.recommendations.ranked_list import mean_sentence
from movie.training.model_info import MODEL_INFO, MOST_RATED
from movie.training.registry import registry
from predictors.base import Predictor
from predictors.capabilities import at_familiarity
from predictors.errors import PredictorError
from predictors.explain import LIKED, SOMEONE, Explainer, PathReason, PathStep, influence
from predictors.explain import Explanation as PathExplanation
from predictors.history import History, MovieId

MAX_REASONS = 3
CANDIDATES = 24  # paths of either family asked for; what is shown is chosen from those that are true
IMPERSONAL_MODELS = ("popular", MOST_RATED)  # models that do not look at the history


def explain(
    movie_ids: Iterable[int],
    history: History,
    *,
    model: str = "",
    max_reasons: int = MAX_REASONS,
    detailed: bool = False,
    familiarity: float = 0.0,
) -> dict[int, Explanation]:
    """Explain why each movie is in the list of `model` for this history; hidden movies are left out.

    `familiarity` is where the dial of the model stood when it made the list.

    `detailed` adds `social_reason` and `influences`: queries and a batch through the model for each movie.
    """
    ids = list(dict.fromkeys(movie_ids))
    sources: dict[str, Explainer | None] = {
        KPRN: _kprn(),
        NEIGHBOURS: NeighbourPaths.active(),
    }
    found: dict[int, Explanation] = {}
    missing = ids
    for source, explainer in sources.items():
        if explainer is None or not missing or not history.liked:
            continue
        explained = _ask_explainer(explainer, missing, history, max_reasons)
        catalogue = PathVerifier(
            path for raw in explained.values() for path, _share in (*raw.catalogue_paths, *raw.social_paths)
        )
        for pk, raw in explained.items():
            shown = SelectedReasons.select(raw, catalogue, history, max_reasons, with_social_reason=detailed)
            if shown.weighted:
                found[pk] = Explanation(
                    catalogue.films[pk],
                    model,
                    source,
                    raw.n_paths,
                    shown.weighted,
                    shown.weight_share,
                    shown.social_reason,
                )
        missing = [pk for pk in missing if pk not in found]
    if missing:
        films = Movie.objects.visible().defer("synopsis").in_bulk(missing)
        for pk, film in films.items():
            found[pk] = Explanation(film, model, fallback_text=_fallback_text(film, model, history))
    if detailed:
        for pk, why in found.items():
            found[pk] = _in_detail(why, history_without(history, pk), max_reasons, familiarity)
    return {pk: found[pk] for pk in ids if pk in found}


def history_without(history: History, movie_id: MovieId) -> History:
    """Return the history without a movie: the click that led to its page is no reason for it."""
    if movie_id not in history.strength:
        return history
    return History(event for event in history if event.movie_id != movie_id)


def history_about(history: History, movie_id: MovieId) -> History:
    """Return the part of a history that is about one movie."""
    return History(event for event in history if event.movie_id == movie_id)


class NeighbourPaths:
    """Item neighbours as an explainer: how much of the score each film of the history added."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    @classmethod
    def active(cls) -> NeighbourPaths | None:
        try:
            return cls(registry().get(NEIGHBOURS))
        except PredictorError:
            return None

    def explain(
        self, history: History, movie_ids: Sequence[MovieId], most: int = MAX_REASONS
    ) -> list[PathExplanation]:
        return [self._one(history, movie_id, most) for movie_id in movie_ids]

    def _one(self, history: History, movie_id: MovieId, max_reasons: int) -> PathExplanation:
        added = influence(self.predictor, history, movie_id)
        reasons = tuple(
            PathReason(
                (
                    PathStep(LIKED, f"movie:{film.movie_id}"),
                    PathStep("rated_by", SOMEONE),
                    PathStep("rated_by^-1", f"movie:{movie_id}"),
                ),
                film.share,
            )
            for film in added[:max_reasons]
        )
        rest = sum(film.share for film in added[max_reasons:])
        return PathExplanation(movie_id, reasons, rest, len(added))


def _kprn() -> Explainer | None:
    try:
        predictor = registry().get(KPRN)
    except PredictorError:
        return None
    return predictor if isinstance(predictor, Explainer) else None


def _ask_explainer(
    explainer: Explainer, ids: Sequence[int], history: History, max_reasons: int
) -> dict[int, RawReasons]:
    """Ask the explainer for all movies at once; for those of the history one by one, without themselves."""
    raw: dict[int, RawReasons] = {}
    fresh = [pk for pk in ids if pk not in history.strength]
    groups = [(fresh, history)] if fresh else []
    groups += [([pk], history_without(history, pk)) for pk in ids if pk in history.strength]
    for some, known in groups:
        if not known.liked:
            continue
        for explanation in explainer.explain(known, some, max(max_reasons, CANDIDATES)):
            raw[int(explanation.movie_id)] = RawReasons.from_explanation(explanation, known)
    return raw


# -- influences and the fallback text ----------------------------------------------------------


def _in_detail(why: Explanation, history: History, max_reasons: int, familiarity: float) -> Explanation:
    if why.model in (KPRN, why.source) or why.model in IMPERSONAL_MODELS:  # it is said already
        return why
    return replace(why, influences=_influences(why, history, max_reasons, familiarity))


def _influences(why: Explanation, history: History, max_reasons: int, familiarity: float) -> WeightedReasons:
    """Return the movies of the history that the score of the answering model depends on."""
    if why.model not in MODEL_INFO or why.model == MOST_RATED or len(history.liked) < 2:
        return WeightedReasons()
    try:
        predictor = at_familiarity(registry().get(why.model), familiarity)
        moved = influence(predictor, history, why.movie.pk)
    except PredictorError:
        return WeightedReasons()
    catalogue = PathVerifier((), more=[int(film.movie_id) for film in moved])
    seen_here = [film for film in moved if film.movie_id in catalogue.films]
    rows = [
        ("film", film_with_action(catalogue.node_of(int(film.movie_id)), history), film.share, ())
        for film in seen_here[:max_reasons]
    ]
    return weighted_reasons(rows, sum(film.share for film in seen_here[max_reasons:]))


def _fallback_text(film: Movie, model: str, history: History) -> str:
    """Say where the score of a movie comes from that nothing connects to the history."""
    facts: Mapping[str, object] = {
        "model": MODEL_INFO[model].label if model in MODEL_INFO else "",
        "summary": MODEL_INFO[model].summary if model in MODEL_INFO else "",
    }
    if model in IMPERSONAL_MODELS:
        said = gettext("%(model)s is the same for everyone. %(summary)s") % facts
        ratings = mean_sentence(film)
        return f"{said} {ratings}." if ratings else said
    if not history.liked:
        return gettext("You have not liked a film yet, so nothing here is about your taste.")
    if model in MODEL_INFO:
        return (
            gettext(
                "Nothing in the catalogue connects it to a film you liked. "
                "Its score came from %(model)s. %(summary)s"
            )
            % facts
        )
    return gettext("Nothing in the catalogue connects it to a film you liked.")
