"""A knowledge graph over the films of `small_world`, with every kind of entity a path can lead over."""

from __future__ import annotations

from datasets.knowledge_graph.graph import KnowledgeGraph
from predictors.tests.small_world import FILM_IDS


def small_graph() -> KnowledgeGraph:
    """Every third film shares a director, who also wrote every sixth; two genres, one of them a hub."""
    entities = [(f"movie:{film}", f"Film {film}") for film in FILM_IDS]
    entities += [(f"person:{number}", f"Person {number}") for number in range(16)]
    entities += [("genre:Drama", "Drama"), ("genre:Western", "Western")]
    triples = []
    for index, film in enumerate(FILM_IDS):
        triples.append((f"movie:{film}", "directed_by", f"person:{index // 3}"))
        if index % 2:
            triples.append((f"movie:{film}", "written_by", f"person:{index // 3}"))
        triples.append((f"movie:{film}", "in_genre", "genre:Western" if index % 12 == 0 else "genre:Drama"))
    return KnowledgeGraph.from_triples(entities, triples)
