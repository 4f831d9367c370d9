import io
import subprocess
import sys
from importlib.util import find_spec
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

from datasets.readers import packaged
from movie.catalogue.fact_sources import FactSource
from movie.catalogue.models import Credit, Movie, Rating
from movie.operations import demo_data

HAVE_DATA = find_spec("recbole") is not None and find_spec("bokeh_sampledata") is not None


def run():
    out = io.StringIO()
    call_command("load_demo_data", stdout=out, no_progress=True)
    return out.getvalue()


@pytest.mark.django_db
@pytest.mark.skipif(not HAVE_DATA, reason="the packages of requirements-data.txt are not installed")
def test_the_demo_is_movielens_100k_with_who_made_the_films_and_loads_once():
    text = run()
    assert "may not be used for commercial" in " ".join(text.split())
    assert "19 films are in the catalogue more than once" in text and "Chasing Amy (1997)" in text
    assert Movie.objects.count() == 1682
    assert Rating.objects.filter(visitor__startswith="ml-100k:").count() == 100_000
    film = Movie.objects.get(external_ids__source="ml-100k", external_ids__value="64")
    assert (film.title, film.year, film.rating_count) == ("The Shawshank Redemption", 1994, 283)
    assert film.director_names == ["Frank Darabont"]
    assert Credit.objects.filter(role="cast").count() > 10_000
    star_wars = Movie.objects.get(external_ids__source="imdb", external_ids__value="tt0076759")
    assert star_wars.title == "Star Wars" and star_wars.director_names == ["George Lucas"]
    first = star_wars.credits.filter(role="cast").order_by("order").first()
    assert first.person.name == "Mark Hamill"
    assert star_wars.titles.filter(language="zh-hans", title="星球大战").exists()
    assert set(FactSource.objects.values_list("name", flat=True)) == set(demo_data.LICENCES)
    heard = []
    with mock.patch.object(demo_data, "import_ratings", side_effect=AssertionError("loads again")):
        assert demo_data.load_demo(lambda done, message: heard.append(done)).already
    assert heard == [1.0]
    assert "there already" in run()


@pytest.mark.django_db
def test_without_the_packages_it_says_what_to_install():
    with (
        mock.patch.object(packaged, "find_spec", return_value=None),
        pytest.raises(CommandError, match="recbole==1"),
    ):
        run()


@pytest.mark.skipif(not HAVE_DATA, reason="the packages of requirements-data.txt are not installed")
def test_the_packages_are_found_without_being_imported():
    code = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'webapp.settings_test'\n"
        "import django; django.setup()\n"
        "from movie.catalogue.importing import wikidata_films\n"
        "from movie.operations import demo_data\n"
        "demo_data.data_folder(); wikidata_films.default_path()\n"
        "assert not {'recbole', 'bokeh_sampledata', 'torch', 'polars', 'pandas'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
