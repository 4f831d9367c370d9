import gzip
import lzma
from importlib.util import find_spec
from pathlib import Path

import pytest

from datasets.knowledge_graph.readers import SOURCES, read_facts
from datasets.knowledge_graph.statistics import graph_statistics
from datasets.knowledge_graph.triples import Facts
from datasets.readers.source import DatasetError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BESIDE = pytest.mark.skipif(not DATA.exists(), reason="the data folder is not beside this checkout")


def read(source, path):
    return read_facts(source, path, fold=str.casefold)


def refused(facts):
    return [(rejected.path.name, rejected.line, rejected.reason) for rejected in facts.rejected]


# -- RKGE ----------------------------------------------------------------------------------------

RKGE = """\ufeffid:1|genre:Animation,Comedy|director:John Lasseter|actors:Tom Hanks, Tim Allen
id:40|genre:Comedy|director: Beeban  Kidron|Actors:tom hanks,Wesley Snipes \r
id:1581:genre:Mystery|director:Anthony Asquith|actors:Jean Kent

id:2|genre:N/A|director:N/A|actors:N/A,
id:1|genre:Drama|director:Nobody|actors:Nobody
id:x|genre:Drama|director:Nobody|actors:Nobody
id:3|genre:Comedy|director:John Lasseter,Anthony Stacchi(co-director)|actors:N/A
"""


@pytest.fixture
def rkge(tmp_path):
    (tmp_path / "auxiliary.txt").write_text(RKGE, encoding="utf-8")
    return tmp_path


def test_rkge_rows_become_films_and_edges(rkge):
    facts = read("rkge", rkge)
    assert [key for key in facts.entities if key.startswith("movie:")] == [
        "movie:1",
        "movie:40",
        "movie:2",
        "movie:3",
    ]
    assert set(facts.triples) == {
        ("movie:1", "in_genre", "genre:Animation"),
        ("movie:1", "in_genre", "genre:Comedy"),
        ("movie:1", "directed_by", "person:John Lasseter"),
        ("movie:1", "starring", "person:Tom Hanks"),
        ("movie:1", "starring", "person:Tim Allen"),
        ("movie:40", "in_genre", "genre:Comedy"),
        ("movie:40", "directed_by", "person:Beeban Kidron"),
        ("movie:40", "starring", "person:Tom Hanks"),
        ("movie:40", "starring", "person:Wesley Snipes"),
        ("movie:3", "in_genre", "genre:Comedy"),
        ("movie:3", "directed_by", "person:John Lasseter"),
        ("movie:3", "directed_by", "person:Anthony Stacchi"),
    }
    assert facts.graph().n_movies == 4


def test_bad_rkge_rows_are_named_and_skipped(rkge):
    row = "expected id:NUMBER|genre:...|director:...|actors:..."
    assert refused(read("rkge", rkge)) == [
        ("auxiliary.txt", 3, row),
        ("auxiliary.txt", 6, "film 1 was stated before"),
        ("auxiliary.txt", 7, row),
    ]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_packed_files_are_read_as_they_are(rkge, suffix, pack):
    plain = read("rkge", rkge)
    (rkge / f"auxiliary.txt{suffix}").write_bytes(pack(RKGE.encode()))
    (rkge / "auxiliary.txt").unlink()
    assert read("rkge", rkge).triples == plain.triples
    assert read("rkge", rkge / f"auxiliary.txt{suffix}").triples == plain.triples


def test_the_same_fold_is_the_same_person(rkge):
    exact = read_facts("rkge", rkge, fold=str)
    assert {"person:Tom Hanks", "person:tom hanks"} <= exact.entities.keys()
    assert "person:tom hanks" not in read("rkge", rkge).entities


# -- DBpedia -------------------------------------------------------------------------------------

WIKI = "http://dbpedia.org/resource/"


@pytest.fixture
def dbpedia(tmp_path):
    for name in ("graphs", "original"):
        (tmp_path / name).mkdir()
    (tmp_path / "original" / "mappings.tsv").write_text(
        f"6\tHeat (1995)\t{WIKI}Heat_(1995_film)\n"
        f"7\tRun, Lola (1998)\t{WIKI}Lola\n"
        f"8\tAlso Lola (1998)\t{WIKI}Lola\n"
        "9\tNo address\n"
        f"6\tHeat again\t{WIKI}Other\n",
        encoding="utf-8",
    )
    edges = {
        "dbo:director": [
            "Heat_(1995_film) Michael_Mann_(director)",
            "Lola Tom_Tykwer",
            "Unknown Tom_Tykwer",
            "Lola",
        ],
        "dbo:starring": ["Lola Beno%C3%AEt_Magimel"],
        "dbo:distributor": ["Heat_(1995_film) Warner_Bros.", "Lola X", "Heat_(1995_film) X"],
        "dbo:producer": ["Lola X"],
        "dbo:narrator": ["Lola Somebody"],
    }
    for name, rows in edges.items():
        lines = [" ".join(WIKI + end for end in row.split()) for row in rows]
        (tmp_path / "graphs" / f"{name}.edgelist").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_edge_lists_become_relations_of_the_films_in_the_mapping(dbpedia):
    facts = read("dbpedia", dbpedia)
    assert set(facts.triples) == {
        ("movie:6", "directed_by", "person:Michael_Mann_(director)"),
        ("movie:7", "directed_by", "person:Tom_Tykwer"),
        ("movie:8", "directed_by", "person:Tom_Tykwer"),
        ("movie:7", "starring", "person:Beno%C3%AEt_Magimel"),
        ("movie:8", "starring", "person:Beno%C3%AEt_Magimel"),
        ("movie:6", "distributed_by", "company:Warner_Bros."),
        ("movie:6", "distributed_by", "company:X"),
        ("movie:7", "distributed_by", "company:X"),
        ("movie:8", "distributed_by", "company:X"),
        ("movie:7", "produced_by", "company:X"),
        ("movie:8", "produced_by", "company:X"),
        ("movie:7", "narrator", "entity:Somebody"),
        ("movie:8", "narrator", "entity:Somebody"),
    }
    assert facts.entities["person:Michael_Mann_(director)"] == "Michael Mann"
    assert facts.entities["person:Beno%C3%AEt_Magimel"] == "Benoît Magimel"
    assert facts.entities["movie:6"] == "Heat (1995)"
    assert facts.graph().n_movies == 3


def test_bad_rows_of_edge_lists_are_named_and_skipped(dbpedia):
    assert refused(read("dbpedia", dbpedia)) == [
        ("mappings.tsv", 4, "expected id <tab> title <tab> URI of the film"),
        ("mappings.tsv", 5, "film 6 was stated before"),
        ("dbo:director.edgelist", 3, "mappings.tsv has no such film"),
        ("dbo:director.edgelist", 4, "expected URI of the film, space, URI of the entity"),
    ]


# -- RecBole -------------------------------------------------------------------------------------


@pytest.fixture
def recbole(tmp_path):
    (tmp_path / "shop.link").write_text(
        "item_id:token\tentity_id:token\na\tm.1\nb\tm.2\nb\tm.3\nbroken\n", encoding="utf-8"
    )
    (tmp_path / "shop.kg").write_text(
        "relation_id:token\thead_id:token\ttail_id:token\n"
        "film.film.directed_by\tm.1\tm.p\n"
        "film.director.film\tm.p\tm.1\n"
        "film.film.sequel\tm.1\tm.2\n"
        "film.film.sequel\tm.x\tm.2\n"
        "shop.brand\tm.2\tm.y\n"
        "people.born\tm.p\tm.z\n"
        "shop.brand\tm.2\n"
        "\tm.2\tm.y\n",
        encoding="utf-8",
    )
    return tmp_path


def test_recbole_edges_lead_from_films_and_stand_once(recbole):
    facts = read("recbole", recbole)
    graph = facts.graph()
    assert set(facts.triples) == {
        ("movie:a", "directed_by", "person:m.p"),
        ("movie:a", "film.film.sequel", "movie:b"),
        ("movie:b", "film.film.sequel^-1", "entity:m.x"),
        ("movie:b", "shop.brand", "entity:m.y"),
    }
    assert (graph.n_movies, graph.n_edges, facts.left_out) == (2, 4, 1)
    back = graph.relations[graph.indptr[graph.index_of("entity:m.x")]]
    assert graph.relation_label(int(back)) == "film.film.sequel"
    assert read("recbole", recbole / "shop.kg").triples == facts.triples


def test_bad_recbole_rows_are_named_and_skipped(recbole):
    kg = "expected head_id:token <tab> relation_id:token <tab> tail_id:token"
    assert refused(read("recbole", recbole)) == [
        ("shop.link", 4, "film b was stated before"),
        ("shop.link", 5, "expected item_id:token <tab> entity_id:token"),
        ("shop.kg", 8, kg),
        ("shop.kg", 9, kg),
    ]


# -- wrong files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
def test_a_folder_without_the_files_is_refused(source, tmp_path):
    with pytest.raises(DatasetError, match="there is no"):
        read(source, tmp_path)
    with pytest.raises(DatasetError, match="no such file or folder"):
        read(source, tmp_path / "nowhere")


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="one of rkge, dbpedia, recbole"):
        read("wikidata", tmp_path)


def test_a_file_of_another_kind_is_refused(rkge, dbpedia, recbole):
    (rkge / "auxiliary.txt").write_text("userId,movieId\n1,2\n")
    with pytest.raises(
        DatasetError, match=r"auxiliary\.txt, line 1: no row could be used; expected id:NUMBER"
    ):
        read("rkge", rkge)
    (dbpedia / "original" / "mappings.tsv").write_text("one two three\n")
    with pytest.raises(DatasetError, match=r"mappings\.tsv, line 1: no row could be used"):
        read("dbpedia", dbpedia)
    (recbole / "shop.kg").write_text("m.1\tfilm.film.directed_by\tm.p\n")
    with pytest.raises(DatasetError, match=r"shop\.kg, line 1: the header is .* expected head_id:token"):
        read("recbole", recbole)
    (recbole / "shop.kg").write_text("")
    with pytest.raises(DatasetError, match=r"shop\.kg: the file is empty"):
        read("recbole", recbole)


def test_files_of_different_data_sets_are_refused(dbpedia, recbole):
    (recbole / "shop.link").write_text("item_id:token\tentity_id:token\na\tother\n")
    with pytest.raises(DatasetError, match=r"no row leads to a film of the \.link file"):
        read("recbole", recbole)
    (dbpedia / "original" / "mappings.tsv").write_text("1\tOther\thttp://example.org/other\n")
    with pytest.raises(DatasetError, match="no row could be used"):
        read("dbpedia", dbpedia)


def test_damaged_and_foreign_bytes_are_refused_with_the_name(rkge):
    (rkge / "auxiliary.txt").write_bytes(b"id:1|genre:\nid:2|\xe9\n")
    with pytest.raises(DatasetError, match=r"auxiliary\.txt, line 2: not UTF-8"):
        read("rkge", rkge)
    (rkge / "auxiliary.txt.xz").write_bytes(lzma.compress(RKGE.encode())[:-20])
    with pytest.raises(DatasetError, match=r"auxiliary\.txt\.xz: damaged"):
        read("rkge", rkge / "auxiliary.txt.xz")


def test_two_graphs_in_one_folder_have_to_be_told_apart(recbole):
    (recbole / "other.kg").write_text((recbole / "shop.kg").read_text())
    with pytest.raises(DatasetError, match=r"holds other\.kg, shop\.kg"):
        read("recbole", recbole)
    assert len(read("recbole", recbole / "shop.kg").triples) == 5  # the edge stated twice counts twice here


# -- other films ---------------------------------------------------------------------------------


def test_films_get_other_keys_and_what_nobody_leads_to_is_left_out():
    facts = Facts(
        {"movie:a": "", "movie:b": "", "person:1": "One", "person:2": "Two"},
        [
            ("movie:a", "starring", "person:1"),
            ("movie:b", "starring", "person:2"),
            ("movie:a", "sequel", "movie:b"),
        ],
    )
    moved = facts.with_films(
        {"movie:a": [("movie:10", "A"), ("movie:11", "A too")], "movie:b": [("movie:10", "A")]}
    )
    assert moved.entities == {"movie:10": "A", "movie:11": "A too", "person:1": "One", "person:2": "Two"}
    assert moved.triples == [
        ("movie:10", "starring", "person:1"),
        ("movie:11", "starring", "person:1"),
        ("movie:10", "starring", "person:2"),
        ("movie:11", "sequel", "movie:10"),
    ]
    assert facts.with_films({"movie:a": [("movie:10", "A")]}).entities == {"movie:10": "A", "person:1": "One"}


# -- the real files ------------------------------------------------------------------------------


@pytest.mark.data
@BESIDE
def test_rkge_movielens_100k():
    facts = read("rkge", DATA / "kg-rkge-ml100k")
    statistics = graph_statistics(facts.graph())
    assert statistics["relations"] == {"in_genre": 3973, "directed_by": 1799, "starring": 6533}
    assert statistics["types"]["movie"]["linked"] == 1674
    assert [(row.line, row.raw[:8]) for row in facts.rejected] == [(1576, "id:1581:")]


@pytest.mark.data
@BESIDE
def test_dbpedia_movielens_1m():
    facts = read("dbpedia", DATA / "kg-entity2rec-ml1m")
    statistics = graph_statistics(facts.graph())
    assert facts.rejected == []
    assert statistics["types"]["movie"]["entities"] == 3300
    # 34,941 rows; the one resource that two films share has ten of them
    assert statistics["edges"] == 34_951
    assert statistics["relations"]["directed_by"] == 3143


@pytest.mark.data
@pytest.mark.skipif(find_spec("recbole") is None, reason="recbole is not installed")
def test_recbole_movielens_100k():
    folder = Path(find_spec("recbole").origin).parent / "dataset_example" / "ml-100k"
    facts = read("recbole", folder)
    statistics = graph_statistics(facts.graph())
    assert facts.rejected == []
    assert statistics["types"]["movie"]["entities"] == 1598
    assert statistics["relations"]["directed_by"] == 1727
