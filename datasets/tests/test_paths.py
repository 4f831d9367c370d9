"""The path search against an enumeration by loops, and its promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.interactions import Interactions
from datasets.knowledge_graph.graph import KnowledgeGraph
from datasets.knowledge_graph.path_graph import PathGraph, build_path_graph
from datasets.knowledge_graph.paths import FEATURES, HUB, LINK, LONG, PEOPLE, Caps, Histories, Paths, Targets
from datasets.knowledge_graph.search import candidates, find_paths
from datasets.knowledge_graph.trie import build_trie

N_FILMS, N_PEOPLE = 12, 30
ENOUGH = Caps(1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000)  # nothing is cut


def rows(seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    met = rng.random((N_PEOPLE, N_FILMS)) < 0.25
    users, items = np.nonzero(met)
    return Interactions.from_columns(
        users, items, user_ids=np.arange(N_PEOPLE), item_ids=np.arange(100, 100 + N_FILMS)
    )


def knowledge(seed: int = 0) -> tuple[KnowledgeGraph, list[tuple[int, str, str]]]:
    """A graph and its triples by item; film 999 is in no rating."""
    rng = np.random.default_rng(seed)
    keys = [f"movie:{100 + item}" for item in range(N_FILMS)] + ["movie:999"]
    persons = [f"person:{number}" for number in range(6)]
    genres = ["genre:a", "genre:b"]
    triples = []
    for key in keys:
        for relation, pool, chance in (
            ("directed_by", persons, 0.2),
            ("written_by", persons, 0.2),
            ("in_genre", genres, 0.8),
        ):
            triples += [(key, relation, tail) for tail in pool if rng.random() < chance]
    graph = KnowledgeGraph.from_triples([(key, key) for key in [*keys, *persons, *genres]], triples)
    return graph, [
        (int(key[6:]) - 100, relation, tail) for key, relation, tail in triples if "999" not in key
    ]


def asked(history: list[int], films: list[int]) -> tuple[Histories, Targets]:
    targets = Targets(np.array(films, dtype=np.int64), np.zeros(len(films), dtype=np.int64))
    return Histories.from_items([np.array(history)], 100), targets


def written(graph: PathGraph, known: list[str], paths: Paths) -> set[tuple]:
    """Paths as (film, relation, x, relation, film[, ...]) by name."""
    n_relations = graph.n_relations

    def entity(index: int) -> str:
        return "user" if index == graph.user else known[index - graph.n_items]

    found = set()
    for films, via, relations in zip(
        paths.films.tolist(), paths.via.tolist(), paths.relations.tolist(), strict=True
    ):
        names = [graph.relation_names[code % n_relations] for code in relations]
        path: tuple = (films[0], names[0], entity(via[0]), names[1])
        if films[1] >= 0:
            path += (films[1], names[2], entity(via[1]), names[3])
        found.add((*path, films[2]))
    assert len(found) == len(paths), "a path was found twice"
    return found


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_short_paths_are_those_that_loops_find(seed: int) -> None:
    train = rows(seed)
    knowledge_graph, triples = knowledge(seed)
    graph, entities = build_path_graph(train, knowledge_graph, hub_limit=4)
    known = [knowledge_graph.keys[each] for each in entities]
    history, films = [0, 3, 5], [1, 2, 7, 11]
    paths = find_paths(graph, *asked(history, films), ENOUGH)
    short = paths.kind != LONG
    met = {item: set(train.users[train.items == item].tolist()) for item in range(N_FILMS)}
    expected = {
        (start, "rated_by", "user", "rated_by", end)
        for start in history
        for end in films
        if met[start] & met[end]
    }
    expected |= {
        (start, there, x, back, end)
        for start, there, x in triples
        for end, back, y in triples
        if x == y and start in history and end in films
    }
    kept = Paths(*(column[short] for column in vars(paths).values()))
    assert written(graph, known, kept) == expected
    for row in np.flatnonzero(paths.kind == PEOPLE):
        assert paths.people[row, 0] == len(met[paths.films[row, 0]] & met[paths.films[row, 2]])


def test_long_paths_lead_over_edges_and_through_nothing_known() -> None:
    train, (knowledge_graph, triples) = rows(), knowledge()
    graph, entities = build_path_graph(train, knowledge_graph, hub_limit=4)
    known = [knowledge_graph.keys[each] for each in entities]
    history, films = [0, 3, 5], [1, 2, 7, 11]
    paths = find_paths(graph, *asked(history, films), ENOUGH)
    long = Paths(*(column[paths.kind == LONG] for column in vars(paths).values()))
    assert len(long) > 0
    edges = set(triples)
    met = {item: set(train.users[train.items == item].tolist()) for item in range(N_FILMS)}
    for start, r1, x, r2, middle, r3, y, r4, end in written(graph, known, long):
        assert middle not in (*history, end)
        assert x != y or x == "user"
        for left, there, via, back, right in ((start, r1, x, r2, middle), (middle, r3, y, r4, end)):
            if via == "user":
                assert met[left] & met[right]
            else:
                assert {(left, there, via), (right, back, via)} <= edges


def test_hubs_are_joined_and_small_entities_enumerated() -> None:
    train, (knowledge_graph, _) = rows(), knowledge()
    one, _ = build_path_graph(train, knowledge_graph, hub_limit=4)
    other, _ = build_path_graph(train, knowledge_graph, hub_limit=1000)
    assert len(one.hub_of) > 0
    assert len(other.hub_of) == 0
    by_hub = find_paths(one, *asked([0, 3], [1, 7]), ENOUGH)
    by_hop = find_paths(other, *asked([0, 3], [1, 7]), ENOUGH)
    assert (by_hub.kind == HUB).any()

    def short(paths: Paths) -> set[tuple]:
        rows = np.concatenate([paths.films, paths.via, paths.relations], axis=1)
        return set(map(tuple, rows[paths.kind != LONG].tolist()))

    assert short(by_hub) == short(by_hop)


def test_caps_keep_the_strongest_of_each_kind() -> None:
    train, (knowledge_graph, _) = rows(), knowledge()
    graph, _ = build_path_graph(train, knowledge_graph, hub_limit=4)
    history, targets = asked([0, 3, 5, 6], [1, 2, 7, 11])
    everything = find_paths(graph, history, targets, ENOUGH)
    few = find_paths(graph, history, targets, replace(ENOUGH, people=2, link=1, hub=1, long=1))
    for kind, most in ((PEOPLE, 2), (LINK, 1), (HUB, 1), (LONG, 1)):
        for target in range(4):
            all_of = np.flatnonzero((everything.kind == kind) & (everything.target == target))
            kept = np.flatnonzero((few.kind == kind) & (few.target == target))
            assert len(kept) == min(most, len(all_of))
            np.testing.assert_array_equal(few.films[kept], everything.films[all_of[: len(kept)]])
            np.testing.assert_array_equal(few.via[kept], everything.via[all_of[: len(kept)]])


def test_the_open_search_finds_new_films_only_and_the_same_every_time() -> None:
    train, (knowledge_graph, _) = rows(), knowledge()
    graph, _ = build_path_graph(train, knowledge_graph, hub_limit=4)
    history, _ = asked([0, 3], [])
    found = candidates(graph, history, [np.array([0, 3, 4])], ENOUGH)[0]
    assert len(found) > 5
    assert not {0, 3, 4} & set(found.tolist())
    assert len(set(found.tolist())) == len(found)
    np.testing.assert_array_equal(found, candidates(graph, history, [np.array([0, 3, 4])], ENOUGH)[0])
    some = candidates(graph, history, [np.array([0, 3, 4])], replace(ENOUGH, candidates=3))[0]
    np.testing.assert_array_equal(some, found[:3])


def test_hubs_alone_lead_to_films_nobody_met() -> None:
    """A film without a rating in a catalogue of genres is reached all the same."""
    train = Interactions.from_columns(
        np.array([0]), np.array([0]), user_ids=np.arange(1), item_ids=np.arange(100, 104)
    )
    triples = [(f"movie:{film}", "in_genre", "genre:a") for film in (100, 101, 102)]
    keys = [*(f"movie:{film}" for film in range(100, 104)), "genre:a"]
    graph, _ = build_path_graph(
        train, KnowledgeGraph.from_triples([(key, "") for key in keys], triples), hub_limit=2
    )
    history, targets = asked([0], [1, 2, 3])
    assert candidates(graph, history, [np.array([0])], Caps())[0].tolist() == [1, 2]
    paths = find_paths(graph, history, targets, Caps())
    assert paths.target.tolist() == [0, 1]
    assert paths.kind.tolist() == [HUB, HUB]


def test_several_histories_at_once_are_searched_as_one_by_one() -> None:
    train, (knowledge_graph, _) = rows(), knowledge()
    graph, _ = build_path_graph(train, knowledge_graph, hub_limit=4)
    histories = [np.array([0, 3]), np.array([5]), np.array([3, 6, 8])]
    films = [np.array([1, 7]), np.array([0, 2]), np.array([1])]
    together = find_paths(
        graph,
        Histories.from_items(histories, 100),
        Targets(np.concatenate(films), np.repeat(np.arange(3), [2, 2, 1])),
        Caps(),
    )
    first = 0
    for history, wanted in zip(histories, films, strict=True):
        alone = find_paths(graph, *asked(history.tolist(), wanted.tolist()), Caps())
        mine = (together.target >= first) & (together.target < first + len(wanted))
        np.testing.assert_array_equal(together.films[mine], alone.films)
        np.testing.assert_array_equal(together.relations[mine], alone.relations)
        np.testing.assert_array_equal(together.features[mine], alone.features)
        first += len(wanted)


def test_the_person_who_is_asked_is_left_out_of_the_count() -> None:
    """In training a person's own meeting of both films must not be a path to what is to be found."""
    train = rows()
    graph, _ = build_path_graph(train)
    history, targets = asked([0, 3, 5], [1, 2, 7, 11])
    plain = find_paths(graph, history, targets, ENOUGH)
    known = np.array([True, False, True, False])
    without = find_paths(graph, history, targets, ENOUGH, known=known)
    for target, fewer in enumerate(known.tolist()):
        before = plain.people[(plain.target == target) & (plain.kind == PEOPLE), 0] - fewer
        after = without.people[(without.target == target) & (without.kind == PEOPLE), 0]
        assert sorted(before[before > 0].tolist()) == sorted(after.tolist())
    column = FEATURES.index("people")
    short = without.kind == PEOPLE
    np.testing.assert_allclose(
        without.features[short, column], np.log(without.people[short, 0]), rtol=1e-5, atol=1e-6
    )


def test_the_latest_films_of_a_long_history_count() -> None:
    histories = Histories.from_items([np.arange(10), np.array([7])], 3)
    assert histories.films.tolist() == [7, 8, 9, 7]
    assert histories.owner.tolist() == [0, 0, 0, 1]
    assert histories.age.tolist() == [2, 1, 0, 0]


def test_a_tree_holds_each_beginning_once() -> None:
    train, (knowledge_graph, _) = rows(), knowledge()
    graph, _ = build_path_graph(train, knowledge_graph, hub_limit=4)
    paths = find_paths(graph, *asked([0, 3, 5], [1, 2, 7, 11]), ENOUGH)
    trie = build_trie(graph, paths)
    assert sorted([*trie.short, *trie.long]) == list(range(len(paths)))
    starts = {
        (film, relation) for film, relation in zip(paths.films[:, 0], paths.relations[:, 0], strict=True)
    }
    assert len(trie.levels[0].entity) == len(starts) < len(paths)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    graph, _ = build_path_graph(rows(), knowledge()[0], hub_limit=4)
    tensors = graph.tensors()
    words = (graph.type_names, graph.relation_names)
    again = PathGraph.from_tensors(tensors, *words)
    np.testing.assert_array_equal(again.hop_film, graph.hop_film)
    for name, wrong in (
        ("hop_film", tensors["hop_film"] + N_FILMS),
        ("hop_indptr", tensors["hop_indptr"][:-1]),
        ("hub_of", tensors["hub_of"] + 1000),
        ("types", tensors["types"][:3]),
    ):
        with pytest.raises(ValueError, match=name):
            PathGraph.from_tensors({**tensors, name: wrong}, *words)
    del tensors["strongest"]
    with pytest.raises(ValueError, match="strongest"):
        PathGraph.from_tensors(tensors, *words)
