import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.knowledge_graph.graph import INVERSE, KnowledgeGraph, KnowledgeGraphError
from datasets.knowledge_graph.statistics import graph_statistics, relation_coverage
from datasets.knowledge_graph.storage import (
    META,
    graph_arrays,
    graph_from_parts,
    graph_words,
    load_graph,
    read_about,
    save_graph,
)

HEAT, COLLATERAL, CASINO = "movie:1", "movie:2", "movie:9"
ENTITIES = [
    ("person:5", "Michael Mann"),
    (HEAT, "Heat (1995)"),
    ("person:7", "Robert De Niro"),
    (COLLATERAL, "Collateral (2004)"),
    (CASINO, ""),
    ("genre:Drama", "Drama"),
]
TRIPLES = [
    (HEAT, "starring", "person:7"),
    (HEAT, "directed_by", "person:5"),
    (COLLATERAL, "directed_by", "person:5"),
    (HEAT, "written_by", "person:5"),
    (HEAT, "directed_by", "person:5"),
    (CASINO, "starring", "person:7"),
    (CASINO, "in_genre", "genre:Drama"),
]


@pytest.fixture
def graph():
    return KnowledgeGraph.from_triples(ENTITIES, TRIPLES)


def stated(graph):
    """Every edge, both directions, in words."""
    return {
        (
            graph.keys[entity],
            graph.relation_label(int(graph.relations[row])),
            graph.keys[graph.tails[row]],
        )
        for entity in range(graph.n_entities)
        for row in range(graph.indptr[entity], graph.indptr[entity + 1])
    }


def both_ways(triples):
    return {*triples, *((tail, name + INVERSE, head) for head, name, tail in triples)}


# -- making one ----------------------------------------------------------------------------------


def test_films_come_first_and_types_lie_side_by_side(graph):
    assert graph.keys == (HEAT, COLLATERAL, CASINO, "person:5", "person:7", "genre:Drama")
    assert graph.names == ("Heat (1995)", "Collateral (2004)", "9", "Michael Mann", "Robert De Niro", "Drama")
    assert graph.type_names == ("movie", "person", "genre")
    assert graph.types.tolist() == [0, 0, 0, 1, 1, 2]
    assert (graph.n_movies, graph.n_entities) == (3, 6)
    assert [graph.entities_of(name) for name in (*graph.type_names, "country")] == [
        range(3), range(3, 5), range(5, 6), range(0),
    ]  # fmt: skip


def test_each_triple_is_there_once_with_its_inverse(graph):
    assert stated(graph) == both_ways(TRIPLES)
    assert len(graph.tails) == 2 * graph.n_edges == 12
    assert (graph.indptr.dtype, graph.tails.dtype, graph.relations.dtype, graph.types.dtype) == (
        np.int64, np.int32, np.uint8, np.uint8,
    )  # fmt: skip


def test_forward_and_inverse_codes_lie_r_apart(graph):
    heads, relations, tails = graph.triples()
    forward = {(int(h), int(r), int(t)) for h, r, t in zip(heads, relations, tails, strict=True)}
    assert max(relations) < graph.n_relations
    for head, relation, tail in forward:
        row = slice(graph.indptr[tail], graph.indptr[tail + 1])
        back = set(zip(graph.relations[row].tolist(), graph.tails[row].tolist(), strict=True))
        assert (relation + graph.n_relations, head) in back


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", "c"]), st.integers(0, 7)), max_size=60)
)
@settings(max_examples=60, deadline=None)
def test_any_triples_come_back_sorted_and_once(drawn):
    entities = [(f"x:{n}", "") for n in range(8)] + [(f"movie:{n}", "") for n in range(6)]
    triples = [(f"movie:{film}", name, f"x:{thing}") for film, name, thing in drawn]
    graph = KnowledgeGraph.from_triples(entities, triples, relation_names=("a", "b", "c"))
    assert stated(graph) == both_ways(triples)
    assert graph.n_edges == len(set(triples))
    assert graph.degrees.sum() == len(graph.tails)
    for entity in range(graph.n_entities):
        row = slice(graph.indptr[entity], graph.indptr[entity + 1])
        edges = list(zip(graph.relations[row].tolist(), graph.tails[row].tolist(), strict=True))
        assert edges == sorted(set(edges))


def test_keys_are_found_and_unknown_ones_are_said_to_be(graph):
    assert [graph.index_of(key) for key in graph.keys] == list(range(6))
    assert graph.index_of("movie:3") is None
    assert graph.indices_of(["person:5", "movie:3", HEAT]).tolist() == [3, -1, 0]


@pytest.mark.parametrize(
    ("entities", "triples", "options", "message"),
    [
        ([*ENTITIES, (HEAT, "Heat again")], [], {}, "'movie:1' occurs more than once"),
        (ENTITIES, [(HEAT, "starring", "person:8")], {}, "triple 1 names the entity 'person:8'"),
        (ENTITIES, [*TRIPLES, ("movie:4", "starring", "person:7")], {}, "names the entity 'movie:4'"),
        (ENTITIES, TRIPLES, {"relation_names": ["starring"]}, "triple 2 names the relation 'directed_by'"),
        (ENTITIES, [], {"type_names": ["movie", "person"]}, "'genre:Drama' has none of the types"),
        (ENTITIES, [], {"type_names": ["person", "movie", "genre"]}, "first type must be 'movie'"),
        (ENTITIES, [], {"relation_names": ["a", "b", "a"]}, "relation 'a' occurs more than once"),
        ([("Heat", "")], [], {}, "'Heat' is no key"),
        ([("movie:", "")], [], {}, "'movie:' is no key"),
        (ENTITIES, [(HEAT, "sequel", HEAT)], {}, "from 'movie:1' to itself"),
        (ENTITIES, [], {"relation_names": [f"r{n}" for n in range(129)]}, "129 relations are too many"),
    ],
)  # fmt: skip
def test_what_makes_no_graph_is_refused(entities, triples, options, message):
    with pytest.raises(KnowledgeGraphError, match=message):
        KnowledgeGraph.from_triples(entities, triples, **options)


def test_a_graph_without_anything_is_a_graph():
    graph = KnowledgeGraph.from_triples({}, [])
    assert (graph.n_entities, graph.n_edges, graph.type_names) == (0, 0, ("movie",))
    assert relation_coverage(graph) == {"": {"films": 0.0, "weighted": 0.0, "onward": 0.0}}


# -- deriving another ----------------------------------------------------------------------------


def test_films_without_facts_can_be_added(graph):
    more = graph.with_movies(["movie:77", HEAT, "movie:77"])
    assert more.keys == (HEAT, COLLATERAL, CASINO, "movie:77", "person:5", "person:7", "genre:Drama")
    assert more.n_movies == 4
    assert stated(more) == both_ways(TRIPLES)
    with pytest.raises(KnowledgeGraphError, match="'person:8' is no film"):
        graph.with_movies(["person:8"])


def test_a_hub_loses_its_edges_and_keeps_its_place(graph):
    pruned = graph.without_hubs(2)  # Mann has three edges, Heat too, but films are no hubs
    assert pruned.keys == graph.keys
    assert stated(pruned) == both_ways([row for row in TRIPLES if row[2] != "person:5"])
    assert stated(graph.without_hubs(3)) == stated(graph)
    with pytest.raises(KnowledgeGraphError, match="1 or more"):
        graph.without_hubs(0)


# -- describing ----------------------------------------------------------------------------------


def test_statistics_count_each_triple_once(graph):
    facts = json.loads(json.dumps(graph_statistics(graph)))
    assert (facts["entities"], facts["edges"]) == (6, 6)
    assert facts["relations"] == {"starring": 2, "directed_by": 2, "written_by": 1, "in_genre": 1}
    assert facts["types"]["person"] == {
        "entities": 2, "linked": 2, "degree": 2.5,
        "hub": {"key": "person:5", "name": "Michael Mann", "edges": 3},
    }  # fmt: skip


def test_coverage_is_a_share_of_films_and_of_their_weight(graph):
    coverage = relation_coverage(graph, np.array([6, 3, 1]))
    assert coverage["directed_by"] == pytest.approx({"films": 2 / 3, "weighted": 0.9, "onward": 0.9})
    assert coverage["written_by"] == pytest.approx({"films": 1 / 3, "weighted": 0.6, "onward": 0.6})
    assert coverage["in_genre"] == pytest.approx({"films": 1 / 3, "weighted": 0.1, "onward": 0.0})
    assert coverage[""] == pytest.approx({"films": 1.0, "weighted": 1.0, "onward": 1.0})


def test_two_roles_in_one_film_lead_nowhere():
    graph = KnowledgeGraph.from_triples(
        ENTITIES, [(HEAT, "directed_by", "person:5"), (HEAT, "written_by", "person:5")]
    )
    assert relation_coverage(graph)[""]["onward"] == 0.0
    assert relation_coverage(graph)[""]["films"] == pytest.approx(1 / 3)


# -- keeping -------------------------------------------------------------------------------------


def test_what_is_saved_comes_back(graph, tmp_path):
    save_graph(graph, tmp_path / "graph", about={"source": "catalogue"})
    loaded = load_graph(tmp_path / "graph")
    assert (loaded.keys, loaded.names) == (graph.keys, graph.names)
    assert (loaded.type_names, loaded.relation_names) == (graph.type_names, graph.relation_names)
    for name, array in graph_arrays(graph).items():
        np.testing.assert_array_equal(graph_arrays(loaded)[name], array, strict=True)
    about = read_about(tmp_path / "graph")
    assert about["source"] == "catalogue"
    assert about["statistics"] == graph_statistics(graph)


def test_arrays_cannot_be_written_to(graph, tmp_path):
    save_graph(graph, tmp_path)
    for one in (graph, load_graph(tmp_path)):
        with pytest.raises(ValueError, match="read-only"):
            one.tails[0] = 0


def test_saving_again_replaces_the_old_graph(graph, tmp_path):
    save_graph(graph, tmp_path)
    save_graph(graph.with_movies(["movie:77"]), tmp_path)
    assert load_graph(tmp_path).n_movies == 4
    assert len(list(tmp_path.iterdir())) == 3
    save_graph(graph, tmp_path)
    save_graph(graph, tmp_path)
    assert load_graph(tmp_path).n_movies == 3


def test_a_reader_meets_the_old_graph_or_the_new_one(graph, tmp_path):
    bigger = graph.with_movies([f"movie:{n}" for n in range(100, 150)])
    save_graph(graph, tmp_path)
    done = threading.Event()

    def write():
        for turn in range(30):
            save_graph((bigger, graph)[turn % 2], tmp_path)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    met = set()
    while not done.is_set():
        met.add(load_graph(tmp_path).n_movies)
    writer.join()
    assert met <= {3, 53}
    assert met


def test_a_writing_that_broke_off_is_written_over(graph, tmp_path):
    save_graph(graph, tmp_path)
    (tmp_path / META).unlink()
    save_graph(graph, tmp_path)
    assert load_graph(tmp_path).keys == graph.keys


@pytest.mark.parametrize("pattern", ["arrays-*", "words-*"])
def test_a_damaged_file_is_refused_by_name(graph, tmp_path, pattern):
    save_graph(graph, tmp_path)
    (path,) = tmp_path.glob(pattern)
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(KnowledgeGraphError, match=f"{path.name} is damaged"):
        load_graph(tmp_path)
    path.unlink()
    with pytest.raises(KnowledgeGraphError, match=f"lacks a file that graph.json names: .*{path.name}"):
        load_graph(tmp_path)


def test_folders_of_others_are_neither_read_nor_written(graph, tmp_path):
    with pytest.raises(KnowledgeGraphError, match=r"holds no graph\.json"):
        load_graph(tmp_path)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(KnowledgeGraphError, match="holds other things"):
        save_graph(graph, tmp_path)
    with pytest.raises(KnowledgeGraphError, match="is no folder"):
        save_graph(graph, tmp_path / "letter.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_graph_of_another_format_or_place_is_refused(graph, tmp_path):
    save_graph(graph, tmp_path)
    meta = json.loads((tmp_path / META).read_text())
    (tmp_path / META).write_text(json.dumps(meta | {"format": 99}))
    with pytest.raises(KnowledgeGraphError, match="format 99"):
        load_graph(tmp_path)
    (tmp_path / META).write_text(json.dumps(meta | {"files": {"../arrays": "0"}}))
    with pytest.raises(KnowledgeGraphError, match="outside the folder"):
        load_graph(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tails", np.array([99] * 12, np.int32)),
        ("relations", np.array([8] * 12, np.uint8)),
        ("types", np.zeros(5, np.uint8)),
        ("types", np.array([0, 1, 0, 1, 1, 2], np.uint8)),
        ("indptr", np.array([0, 3, 4, 6, 9, 11, 13])),
        ("indptr", np.array([0, 4, 3, 6, 9, 11, 12])),
    ],
)
def test_parts_that_do_not_fit_are_refused(graph, name, value):
    with pytest.raises(KnowledgeGraphError, match="do not fit"):
        graph_from_parts({**graph_arrays(graph), name: value}, graph_words(graph))
    assert graph_from_parts(graph_arrays(graph), graph_words(graph)).keys == graph.keys
