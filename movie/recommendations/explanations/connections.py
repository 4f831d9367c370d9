"""Connections: paths of the knowledge graph from the history to a movie, over the people who made both.

KPRN finds the paths, whichever model made the list. A path is shown when every edge of it is in the
catalogue as it is now, and when the person at its end directed, wrote or had a leading part in both movies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from django.urls import reverse
from django.utils.translation import gettext

from movie.catalogue.models import Movie
from movie.recommendations.explanations.explanation import Connection, Path, PathNode
from movie.recommendations.explanations.verification import Hop, PathVerifier, parse_path
from movie.recommendations.explanations.wording import Link, Node, role_names, sentence, short_action
from movie.training.registry import registry
from predictors.errors import PredictorError
from predictors.explain import SOMEONE, Explainer
from predictors.explain import Explanation as PathExplanation
from predictors.history import History

KPRN = "kprn"
MAX_CONNECTIONS = 3
CANDIDATES = 24  # paths asked for; what is shown is chosen from those that are true
MIN_SHARE = 0.2  # a smaller share of the paths is not worth a number

ScoredPath = tuple[tuple[Hop, ...], float]


def connections(
    movie_ids: Sequence[int], history: History, *, model: str
) -> dict[int, tuple[Connection, ...]]:
    """Return up to MAX_CONNECTIONS connections of each movie, heaviest first; nothing without KPRN."""
    explainer = _kprn()
    if explainer is None or not history.liked:
        return {}
    paths = {pk: _paths_to(pk, found, history) for pk, found in _ask(explainer, movie_ids, history).items()}
    catalogue = PathVerifier(hops for of_movie in paths.values() for hops, _share in of_movie)
    return {pk: _shown(of_movie, catalogue, history, model) for pk, of_movie in paths.items()}


def _kprn() -> Explainer | None:
    try:
        predictor = registry().get(KPRN)
    except PredictorError:
        return None
    return predictor if isinstance(predictor, Explainer) else None


def _ask(explainer: Explainer, ids: Sequence[int], history: History) -> dict[int, PathExplanation]:
    """Ask for all movies at once; none of their paths begins at the movie itself."""
    found = explainer.explain(history, ids, CANDIDATES)
    return {int(explanation.movie_id): explanation for explanation in found}


def _paths_to(movie_id: int, explanation: PathExplanation, history: History) -> list[ScoredPath]:
    """Return the paths over people who made movies, from a liked movie to this one over no disliked one."""
    paths = []
    for reason in explanation.reasons:
        if any(step.entity == SOMEONE for step in reason.steps):
            continue
        hops = parse_path(reason)
        if not hops or hops[-1].kind != "person" or hops[-1].after != movie_id:
            continue
        is_liked = hops[0].before in history.strength and hops[0].before != movie_id
        if is_liked and not any(hop.after in history.disliked for hop in hops):
            paths.append((hops, reason.share))
    return paths


def _shown(
    paths: Sequence[ScoredPath], catalogue: PathVerifier, history: History, model: str
) -> tuple[Connection, ...]:
    """Return the heaviest verified paths, one for each person. `paths` come heaviest first."""
    shown: dict[str, Connection] = {}
    for hops, share in paths:
        links = catalogue.links(hops)
        if not links or links[-1].node.name in shown:
            continue
        percent = round(100 * share) if model == KPRN and share >= MIN_SHARE else 0
        shown[links[-1].node.name] = Connection(
            sentence(links, history), _drawn_path(links, catalogue, history), percent
        )
        if len(shown) == MAX_CONNECTIONS:
            break
    return tuple(shown.values())


def _drawn_path(links: Sequence[Link], catalogue: PathVerifier, history: History) -> Path:
    """Return the nodes to draw: You - Heat - Michael Mann - Collateral."""
    first = links[0].before
    nodes = [
        PathNode(Node("you", gettext("You"), reverse("pages:history"))),
        PathNode(first, short_action(first, history), _film_of(first, catalogue)),
    ]
    for link in links:
        nodes.append(PathNode(link.node, role_names(link.roles_before)))
        nodes.append(PathNode(link.after, role_names(link.roles_after), _film_of(link.after, catalogue)))
    return tuple(nodes)


def _film_of(node: Node, catalogue: PathVerifier) -> Movie:
    return catalogue.films[cast(int, node.pk)]
