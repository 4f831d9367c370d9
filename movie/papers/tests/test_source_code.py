"""The source of a name, found without importing it."""

import sys

import pytest

from movie.papers.source_code import SourceNotFound, find_source


def test_a_method_with_its_lines():
    source = find_source("pytorch_models.graph.lightgcn.LightGCN.forward")
    assert source.path == "pytorch_models/graph/lightgcn.py"
    assert source.text.lstrip().startswith("def forward(")
    assert source.last_line - source.first_line == source.text.count("\n")


def test_a_decorated_function_begins_with_its_decorator():
    assert find_source("movie.pages.views.pages.home").text.startswith("@require_safe")


def test_a_class_a_constant_and_a_whole_module():
    assert find_source("movie.catalogue.names.Genre").text.startswith("class Genre(")
    assert find_source("movie.catalogue.models.HALF_STARS").text.startswith("HALF_STARS = ")
    assert find_source("predictors.history").text.startswith('"""')


def test_nothing_is_imported():
    before = "pytorch_models.graph.ngcf" in sys.modules
    find_source("pytorch_models.graph.ngcf.NGCF")
    assert ("pytorch_models.graph.ngcf" in sys.modules) is before


@pytest.mark.parametrize(
    "dotted",
    [
        "os.path.join",
        "movie",
        "movie.nothing",
        "movie.catalogue.models.Nothing",
        "movie.catalogue.models.Movie.nothing",
        "movie.catalogue.models.HALF_STARS.x",
        "movie..models",
        "movie.catalogue.models.",
        "movie/models",
        "../etc.passwd",
        "webapp.settings\n",
        "movie.catalogue.models.Ｍovie",
        "",
    ],
)
def test_what_is_not_ours_is_not_found(dotted):
    with pytest.raises(SourceNotFound):
        find_source(dotted)
