"""Explain why a movie is in a list: the movies of the history that moved its score, and what else connects.

The reason on a card, the first sentence of "Why?" and the bars under it come from one function, the
influences of the model that made the list (`Predictor.influences`), so they cannot contradict each other.
Paths of the knowledge graph follow as connections; each is verified in the catalogue as it is now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import compress

from django.utils.translation import gettext

from movie.catalogue.models import Movie
from movie.catalogue.translations import load_local_titles
from movie.recommendations.explanations.connections import connections
from movie.recommendations.explanations.explanation import Explanation, Influence, whole_percents
from movie.recommendations.explanations.wording import Node, because, film_with_action
from movie.recommendations.movie_index import movie_index
from movie.recommendations.new_films import with_new_films
from movie.recommendations.ranked_list import mean_sentence
from movie.training.model_info import IMPERSONAL_MODELS, MODEL_INFO
from movie.training.registry import registry
from predictors.capabilities import FindsSimilar, at_familiarity
from predictors.errors import PredictorError
from predictors.history import History, MovieId

MAX_INFLUENCES = 5
READ = 2 * MAX_INFLUENCES  # movies of the history that are read: some may be hidden by now

Shares = list[tuple[int, float]]  # movies of the history with their shares, largest first


def explain(
    movie_ids: Iterable[int],
    history: History,
    *,
    model: str = "",
    familiarity: float = 0.0,
    about: MovieId | None = None,
    connected: bool = True,
) -> dict[int, Explanation]:
    """Explain why each movie is in the list of `model` for this history; hidden movies are left out.

    `familiarity` is where the dial of the model stood when it made the list. `about` is the movie that a row
    of similar movies is about, of which `history_about` is the history. `connected` adds the paths of the
    knowledge graph.
    """
    ids = list(dict.fromkeys(movie_ids))
    shares = (
        _influences(ids, history, model, familiarity) if about is None else _similar_to(about, ids, model)
    )
    wanted = {*ids, *(pk for each in shares.values() for pk, _share in each[:READ])}
    movies = Movie.objects.visible().defer("synopsis").in_bulk(wanted)
    load_local_titles(movies.values())
    ids = [pk for pk in ids if pk in movies]
    found = {pk: _explanation(movies[pk], model, history, shares.get(pk, []), movies) for pk in ids}
    if connected:
        for pk, chains in connections(ids, history, model=model).items():
            found[pk] = replace(found[pk], connections=chains)
    return found


def history_without(history: History, movie_id: MovieId) -> History:
    """Return the history without a movie: the click that led to its page is no reason for it."""
    if movie_id not in history.strength:
        return history
    return history.filtered(lambda each: each != movie_id)


def history_about(history: History, movie_id: MovieId) -> History:
    """Return the part of a history that is about one movie."""
    return history.filtered(lambda each: each == movie_id)


def _influences(ids: Sequence[int], history: History, model: str, familiarity: float) -> dict[int, Shares]:
    """Ask the model for the movies of the history that support each movie."""
    if model in IMPERSONAL_MODELS or not history.liked:
        return {}
    try:
        predictor = with_new_films(at_familiarity(registry().get(model), familiarity))
    except PredictorError:
        return {}
    targets, unknown = predictor.ids.indices_of(ids)
    supporters = predictor.supporters(predictor.encode(history), targets)
    known = [pk for pk in ids if pk not in unknown]
    return {
        pk: [(int(movie_id), share) for movie_id, share in ranked]
        for pk, ranked in zip(known, supporters, strict=True)
    }


def _similar_to(about: MovieId, ids: Sequence[int], model: str) -> dict[int, Shares]:
    """Give the movie of a row all that speaks for those movies which the model calls similar to it."""
    try:
        predictor = registry().get(model)
        similar = predictor.similar(about, len(predictor.ids)) if isinstance(predictor, FindsSimilar) else []
    except PredictorError:
        return {}
    found = {each.movie_id for each in similar}
    return {pk: [(int(about), 1.0)] for pk in ids if pk in found}


def _explanation(
    movie: Movie, model: str, history: History, shares: Shares, movies: Mapping[int, Movie]
) -> Explanation:
    """Return the explanation by the largest shares; movies hidden since then have no part in them."""
    shown = [(movies[pk], share) for pk, share in shares[:READ] if pk in movies]
    index = movie_index()  # which of the others are visible is known without a query
    is_visible = index.are_visible([pk for pk, _share in shares[READ:]])
    others = compress([share for _pk, share in shares[READ:]], is_visible)
    total = sum([share for _movie, share in shown]) + sum(others)
    if not (shown and total):
        return Explanation(movie, model, fallback_text=_fallback_text(movie, model, history))
    parts = [share / total for _movie, share in shown[:MAX_INFLUENCES]]
    rest = max(0.0, 1.0 - sum(parts))
    *percents, rest_percent = whole_percents([*parts, rest])
    influences = []
    for (source, _share), part, percent in zip(shown, parts, percents, strict=False):
        node = Node("movie", source.display_title, source.get_absolute_url(), source.pk)
        sentence = because(node.phrase, source.pk, history)
        influences.append(Influence(source, film_with_action(node, history), sentence, part, percent))
    return Explanation(movie, model, tuple(influences), rest, rest_percent)


def _fallback_text(film: Movie, model: str, history: History) -> str:
    """Say where the score of a movie comes from that no movie of the history supports."""
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
            gettext("None of the films you like best adds to its score. It came from %(model)s. %(summary)s")
            % facts
        )
    return gettext("None of the films you like best adds to its score.")
