"""Numbers about a knowledge graph: its size and how many films its relations reach."""

from __future__ import annotations

from typing import Any

import numpy as np

from datasets.knowledge_graph.graph import KnowledgeGraph, KnowledgeGraphError


def graph_statistics(graph: KnowledgeGraph) -> dict[str, Any]:
    """Count entities by type, triples by relation, and the largest entity of each type, as JSON.

    `linked` counts the entities of a type with at least one edge; `degree` is edges per linked
    entity; `hub` is the one with most edges.
    """
    by_type: dict[str, Any] = {}
    for name in graph.type_names:
        entities = graph.entities_of(name)
        degrees = graph.degrees[entities.start : entities.stop]
        linked = int(np.count_nonzero(degrees))
        largest = entities.start + int(degrees.argmax()) if linked else None
        by_type[name] = {
            "entities": len(entities),
            "linked": linked,
            "degree": float(degrees.sum() / linked) if linked else 0.0,
            "hub": None
            if largest is None
            else {
                "key": graph.keys[largest],
                "name": graph.names[largest],
                "edges": int(graph.degrees[largest]),
            },
        }
    counts = np.bincount(graph.relations, minlength=2 * graph.n_relations)
    return {
        "entities": graph.n_entities,
        "edges": graph.n_edges,
        "types": by_type,
        "relations": {name: int(counts[code]) for code, name in enumerate(graph.relation_names)},
    }


def relation_coverage(
    graph: KnowledgeGraph, weights: np.ndarray | None = None
) -> dict[str, dict[str, float]]:
    """Return the share of the films that have an edge of each relation, and of any.

    weights  (n_movies,) how much each film counts in `weighted`, such as its ratings; all alike if None

    Returns by relation, and under "" for all of them: `films`, the share with an edge; `weighted`, the
    same by weight; `onward`, the share by weight from which the edge leads on to another film, so that a
    path can pass.
    """
    n = graph.n_movies
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (n,):
        raise KnowledgeGraphError(f"{n} films but weights of shape {weight.shape}")
    heads, relations, tails = graph.triples()
    from_film = heads < n
    heads, relations, tails = heads[from_film], relations[from_film], tails[from_film]
    pairs = np.unique(heads * max(graph.n_entities, 1) + tails)  # a person of two roles counts once
    shared = np.bincount(pairs % max(graph.n_entities, 1), minlength=graph.n_entities) > 1
    shared[:n] = True  # a film that is an end itself

    def share(chosen: np.ndarray) -> dict[str, float]:
        has, onward = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        has[heads[chosen]] = True
        onward[heads[chosen & shared[tails]]] = True
        total = weight.sum() or 1.0
        return {
            "films": float(has.mean()) if n else 0.0,
            "weighted": float(weight[has].sum() / total),
            "onward": float(weight[onward].sum() / total),
        }

    by_relation = {name: share(relations == code) for code, name in enumerate(graph.relation_names)}
    return by_relation | {"": share(np.ones(len(heads), dtype=bool))}
