"""RecBole's .kg (head_id, relation_id, tail_id) and .link (item_id, entity_id), tabs, a typed header."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from datasets.knowledge_graph.graph import INVERSE, MOVIE
from datasets.knowledge_graph.triples import (
    ENTITY,
    Facts,
    Rejected,
    TypedEdges,
    find_files,
    numbered_lines,
    require_entities,
)
from datasets.readers.source import DatasetError, plain_name

# The film relations of Freebase that RecBole's data sets use (KB4Rec, Zhao et al., Data Intelligence
# 2019). Most edges are stated twice, from either end; under one name they are one edge.
_FREEBASE = {
    "film.film.directed_by": ("directed_by", "person"),
    "film.director.film": ("directed_by", "person"),
    "film.film.written_by": ("written_by", "person"),
    "film.writer.film": ("written_by", "person"),
    "film.film.actor": ("starring", "person"),
    "film.actor.film": ("starring", "person"),
    "film.film.produced_by": ("produced_by", "person"),
    "film.producer.film": ("produced_by", "person"),
    "film.film.cinematography": ("shot_by", "person"),
    "film.cinematographer.film": ("shot_by", "person"),
    "film.film.genre": ("in_genre", "genre"),
    "film.film_genre.films_in_this_genre": ("in_genre", "genre"),
    "film.film.country": ("from_country", "country"),
    "film.film.language": ("in_language", "language"),
    "film.film.production_companies": ("made_by", "company"),
    "film.production_company.films": ("made_by", "company"),
    "film.film.subjects": ("about", "subject"),
    "film.film_subject.films": ("about", "subject"),
    "film.film.rating": ("certified", "certificate"),
    "film.content_rating.film": ("certified", "certificate"),
    "film.film.award_won": ("won", "award"),
    "film.film.award_nomination": ("nominated_for", "award"),
}
_HEADERS = {".kg": ("head_id", "relation_id", "tail_id"), ".link": ("item_id", "entity_id")}


def read_recbole(path: Path) -> Facts:
    """Read RecBole's .kg and .link. Films have the ids of the .inter file; there are no names.

    Relations of Freebase get the names and types that this project uses. Others keep their name, with
    INVERSE where the edge was turned, and what they lead to has the type `entity`.
    """
    (graph,) = find_files(path, "*.kg")
    (link,) = find_files(
        path if path.is_dir() else path.parent, f"{plain_name(graph).removesuffix('.kg')}.link", "*.link"
    )
    facts = Facts()
    films: defaultdict[str, list[str]] = defaultdict(list)
    for number, line, cells in _atomic_rows(link, ".link", facts):
        if (key := f"{MOVIE}:{cells[0]}") in facts.entities:
            facts.rejected.append(Rejected(link, number, f"film {cells[0]} was stated before", line))
        else:
            facts.entities[key] = cells[0]
            films[cells[1]].append(key)
    require_entities(facts, link, "item_id <tab> entity_id")
    edges = TypedEdges(facts)
    for _number, _line, (head, label, tail) in _atomic_rows(graph, ".kg", facts):
        relation, kind = _FREEBASE.get(label, (label, ENTITY))
        if head in films and tail in films:
            pairs = ((one, other) for one in films[head] for other in films[tail] if one != other)
            facts.triples += [(one, relation, other) for one, other in pairs]
        elif head in films:
            edges.add(films[head], relation, kind, tail)
        elif tail in films:
            turned = relation if label in _FREEBASE else relation + INVERSE
            edges.add(films[tail], turned, kind, head)
        else:
            facts.left_out += 1
    edges.write()
    if not facts.triples:
        raise DatasetError(graph, "no row leads to a film of the .link file", expected="ids of one data set")
    return facts


def _atomic_rows(file: Path, suffix: str, facts: Facts) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the rows of an atomic file with their columns in our order, whatever theirs is."""
    wanted = _HEADERS[suffix]
    typed = " <tab> ".join(f"{name}:token" for name in wanted)
    positions: list[int] | None = None
    width = 0
    for number, line in numbered_lines(file):
        cells = [cell.strip() for cell in line.split("\t")]
        if positions is None:
            names, width = [cell.partition(":")[0] for cell in cells], len(cells)
            if any(":" not in cell for cell in cells) or not set(wanted) <= set(names):
                raise DatasetError(file, f"the header is {line[:80]!r}", expected=typed, line=number)
            positions = [names.index(name) for name in wanted]
        elif len(cells) != width or not all(cells[position] for position in positions):
            facts.rejected.append(Rejected(file, number, f"expected {typed}", line))
        else:
            yield number, line, [cells[position] for position in positions]
    if positions is None:
        raise DatasetError(file, "the file is empty", expected=typed)
