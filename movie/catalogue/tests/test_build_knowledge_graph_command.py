import csv
import io
import os
import signal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from datasets.knowledge_graph.readers import SOURCES
from datasets.knowledge_graph.statistics import graph_statistics
from datasets.knowledge_graph.storage import load_graph, read_about
from movie.catalogue import knowledge_graph
from movie.catalogue.models import Credit, ExternalId, Movie, MovieTag
from movie.catalogue.tests.films import make_film

pytestmark = pytest.mark.django_db

RKGE = "id:273|genre:Crime|director:Michael Mann|actors:Al Pacino\nid:9|genre:Drama\n"


@pytest.fixture
def folder(settings, tmp_path):
    settings.KNOWLEDGE_GRAPH_DIR = tmp_path / "graph"
    return settings.KNOWLEDGE_GRAPH_DIR


@pytest.fixture
def films(folder):
    heat = make_film("Heat", 1995, genres=["Crime"], directors=["Michael Mann"], stars=[4, 5, 5])
    collateral = make_film("Collateral", 2004, genres=["Crime"], directors=["michael mann"], stars=[3])
    ExternalId.objects.create(movie=heat, source="ml-100k", value="273")
    return heat, collateral


@pytest.fixture
def rkge(tmp_path):
    path = tmp_path / "rkge"
    path.mkdir()
    (path / "auxiliary.txt").write_text(RKGE)
    return path


def build(*arguments, **options):
    out, errors = io.StringIO(), io.StringIO()
    call_command(
        "build_knowledge_graph", *map(str, arguments), no_progress=True, stdout=out, stderr=errors, **options
    )
    return out.getvalue(), errors.getvalue()


def row(out, first):
    """The cells of the table row that begins so."""
    (line,) = (line for line in out.splitlines() if line.startswith(("│" + first + " ", "│ " + first + " ")))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_catalogue_is_written_where_the_settings_say(films, folder):
    out, _ = build()
    graph = load_graph(folder)
    assert graph.keys[:2] == tuple(f"movie:{film.pk}" for film in films)
    assert graph.n_edges == 6
    assert "6 entities and 6 edges written to" in out
    assert read_about(folder)["ids"] == "site"


def test_entities_edges_and_coverage_are_said(films):
    Credit.objects.filter(movie=films[1]).delete()
    out, _ = build()
    assert row(out, "movie")[:4] == ["movie", "2", "2", "2.5"]
    assert row(out, "genre")[4] == "Crime: 2"
    # Heat has three of the four ratings and is one of two films; its director leads to no other film
    assert row(out, "directed_by") == ["directed_by", "1", "50.0%", "75.0%", "0.0%"]
    assert row(out, "in_genre") == ["in_genre", "2", "100.0%", "100.0%", "100.0%"]
    assert row(out, "any")[1:3] == ["5", "100.0%"]


def test_coverage_is_kept_with_the_graph(films, folder):
    build()
    about = read_about(folder)
    assert about["coverage"]["directed_by"] == {"films": 1.0, "weighted": 1.0, "onward": 1.0}
    assert about["statistics"]["types"]["person"]["entities"] == 1  # one director in two spellings


def test_building_again_follows_the_catalogue(films, folder):
    build()
    Movie.objects.get(pk=films[0].pk).delete()
    build()
    assert load_graph(folder).n_movies == 1


def test_films_can_have_the_ids_of_a_data_set(films, tmp_path):
    out, _ = build("--ids", "ml-100k", "--output", tmp_path / "other")
    assert load_graph(tmp_path / "other").keys[0] == "movie:273"
    assert "1 films have no id in ml-100k and are left out." in out
    assert row(out, "directed_by")[3] == "100.0%"
    with pytest.raises(CommandError, match="No film has an id in netflix; known: ml-100k"):
        build("--ids", "netflix")


def test_tags_and_hub_limits_are_options(films, folder):
    MovieTag.objects.bulk_create([MovieTag(movie=film, name="heist", count=3) for film in films])
    build()
    assert "tagged" not in load_graph(folder).relation_names
    build("--tags")
    assert load_graph(folder).index_of("tag:heist") is not None
    build("--tags", "7")
    assert load_graph(folder).index_of("tag:heist") is None
    build("--hub-limit", "1")
    graph = load_graph(folder)
    assert graph.degrees[graph.index_of("genre:Crime")] == 0
    assert graph.degrees[graph.index_of("decade:1990")] == 1
    assert read_about(folder)["hub_limit"] == 1


def test_a_dry_run_writes_nothing(films, folder):
    out, _ = build("--dry-run")
    assert "6 entities and 6 edges would be written to" in out
    assert not folder.exists()


def test_files_make_a_graph_of_their_own(folder, rkge, tmp_path):
    report = tmp_path / "report.csv"
    out, errors = build(rkge, "--from", "rkge", "--report", report)
    assert load_graph(folder).keys == (
        "movie:273",
        "genre:Crime",
        "person:Michael Mann",
        "person:Al Pacino",
    )
    assert read_about(folder)["ids"] == "files"
    assert f"{rkge / 'auxiliary.txt'}, line 2: expected id:NUMBER|genre" in errors
    assert "1 rows were refused" in out
    (refused,) = csv.DictReader(report.open())
    assert (Path(refused["file"]).name, refused["line"], refused["row"]) == (
        "auxiliary.txt",
        "2",
        "id:9|genre:Drama",
    )
    assert row(out, "directed_by") == ["directed_by", "1", "100.0%", "-", "0.0%"]


def test_files_can_be_about_the_films_of_the_catalogue(films, folder, rkge):
    out, _ = build(rkge, "--from", "rkge", "--match", "ml-100k")
    graph = load_graph(folder)
    assert graph.keys[:2] == tuple(f"movie:{film.pk}" for film in films)
    assert graph.names[0] == "Heat (1995)"
    assert row(out, "starring") == ["starring", "1", "50.0%", "75.0%", "0.0%"]


def test_names_of_files_are_one_as_those_of_the_site_are(folder, rkge):
    (rkge / "auxiliary.txt").write_text(
        "id:1|genre:Crime|director:Pénélope Cruz|actors:N/A\n"
        "id:2|genre:Crime|director:N/A|actors:PENELOPE CRUZ\n"
    )
    build(rkge, "--from", "rkge")
    assert graph_statistics(load_graph(folder))["types"]["person"]["entities"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "rkge"], "needs the PATH"),
        (["somewhere"], "PATH needs the format"),
        (["--match", "imdb"], "--match is for films of files"),
        (["x", "--from", "rkge", "--ids", "imdb"], "--ids needs --match"),
        (["x", "--from", "rkge", "--tags"], "--tags is for the catalogue"),
        (["--hub-limit", "0"], "--hub-limit: expected a number from 1 up"),
        (["--tags", "-3"], "--tags: expected a number from 1 up"),
        (["/nowhere", "--from", "recbole"], "/nowhere: there is no such file or folder"),
        ([], "The catalogue has no film yet"),
    ],
)
def test_what_cannot_be_done_is_said(folder, arguments, message):
    with pytest.raises(CommandError, match=message):
        build(*arguments)
    assert not folder.exists()


def test_files_of_the_wrong_kind_leave_the_old_graph(films, folder, tmp_path):
    build()
    before = load_graph(folder).keys
    (tmp_path / "wrong.kg").write_text("a,b,c\n")
    (tmp_path / "wrong.link").write_text("a,b\n")
    with pytest.raises(CommandError, match=r"wrong\.link, line 1: the header is 'a,b'"):
        build(tmp_path / "wrong.kg", "--from", "recbole")
    assert load_graph(folder).keys == before


def test_a_folder_with_other_things_is_left_alone(films, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(CommandError, match="holds other things"):
        build("--output", tmp_path)


def test_a_signal_ends_it_cleanly(films, folder, monkeypatch):
    build()
    make_film("Thief", 1981)
    whole = knowledge_graph.catalogue_facts

    def interrupted(**options):
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(**options)

    monkeypatch.setattr(knowledge_graph, "catalogue_facts", interrupted)
    with pytest.raises(CommandError, match="Nothing was written") as ended:
        build()
    assert ended.value.returncode == 130
    assert load_graph(folder).n_movies == 2


def test_the_formats_are_those_of_the_readers():
    from movie.catalogue.management.commands.build_knowledge_graph import FILES

    assert FILES == SOURCES
