"""Models that were trained beside another database are refused, not served with other films."""

import numpy as np
import pytest

from datasets.interactions import Interactions
from evaluation.trainer import FROM_SITE
from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film
from movie.training.site_store import SiteModelStore, is_same_catalogue
from predictors.errors import ArtifactError
from predictors.plugins import predictor_class
from predictors.serving.registry import Registry

pytestmark = pytest.mark.django_db


@pytest.fixture
def store(tmp_path):
    films = [make_film(f"Film {n}", 1950 + n) for n in range(40)]
    items = np.arange(40)
    data = Interactions.from_columns(
        np.repeat(np.arange(5), 40), np.tile(items, 5), user_ids=np.arange(5),
        item_ids=np.array([film.pk for film in films]),
    )  # fmt: skip
    store = SiteModelStore(tmp_path)
    kind = predictor_class("popular")
    store.publish(kind.fit(data), data={"id_space": FROM_SITE}, activate=True)
    return store


def fingerprint(store):
    return store.meta("popular", store.current("popular"))["data"]["catalogue"]


def test_a_version_serves_while_films_are_added_deleted_and_renamed(store):
    make_film("Another", 2001)
    Movie.objects.filter(title__in=[f"Film {n}" for n in range(15)]).delete()
    renamed = Movie.objects.get(title="Film 20")
    renamed.title = "Renamed"
    renamed.save()
    assert len(fingerprint(store)) == 40
    assert Registry(store).get("popular").version == store.current("popular")


def test_a_version_beside_a_rebuilt_database_is_refused_with_the_way_out(store):
    for number, movie in enumerate(Movie.objects.order_by("-pk")):
        Movie.objects.filter(pk=movie.pk).update(title=f"Film {number}", year=1950 + number)
    assert not is_same_catalogue(fingerprint(store))
    with pytest.raises(ArtifactError, match=r"another catalogue.*train popular"):
        Registry(store).get("popular")
    Movie.objects.all().delete()
    with pytest.raises(ArtifactError, match="another catalogue"):
        Registry(store).get("popular")


def test_artifacts_without_a_fingerprint_are_taken(store, tmp_path):
    assert is_same_catalogue({})
