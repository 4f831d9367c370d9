"""The number by which processes see that movies have changed."""

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from movie.catalogue.catalogue_version import CatalogueVersion, CatalogueVersionQuerySet
from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film
from movie.core.database import LOCK_WAIT_TIMEOUT

pytestmark = pytest.mark.django_db(transaction=True)


def current() -> int:
    return CatalogueVersion.objects.current()


def test_a_transaction_that_changes_many_movies_raises_it_once():
    films = [make_film(f"Film {number}") for number in range(3)]
    before = current()
    with CaptureQueriesContext(connection) as asked, transaction.atomic():
        for film in films:
            film.save()
        Movie.objects.update(runtime=90)
    written = [each for each in asked if CatalogueVersion._meta.db_table in each["sql"]]
    assert len(written) == 1
    assert current() == before + 1


@pytest.mark.parametrize("is_outermost", [True, False])
def test_a_change_after_one_that_was_rolled_back_raises_it(is_outermost):
    film = make_film("Heat")
    before = current()

    def change_in_vain() -> None:
        with transaction.atomic():
            film.save()
            transaction.set_rollback(True)

    if is_outermost:
        change_in_vain()
        assert current() == before
    with transaction.atomic():
        if not is_outermost:
            change_in_vain()
        film.save()
    assert current() == before + 1


def test_two_that_raise_it_first_both_count(monkeypatch):
    create = CatalogueVersionQuerySet.bulk_create

    def create_second(self, *args, **kwargs):  # another process was between the same two statements
        monkeypatch.undo()
        CatalogueVersion.objects.raise_on_commit()
        return create(self, *args, **kwargs)

    CatalogueVersion.objects.all().delete()
    monkeypatch.setattr(CatalogueVersionQuerySet, "bulk_create", create_second)
    CatalogueVersion.objects.raise_on_commit()
    assert current() == 2


def test_a_lock_that_was_not_had_in_time_is_asked_for_again(monkeypatch):
    make_film("Heat")
    before = current()

    def update(self, **values):
        monkeypatch.undo()
        raise OperationalError(LOCK_WAIT_TIMEOUT, "Lock wait timeout exceeded; try restarting transaction")

    monkeypatch.setattr(CatalogueVersionQuerySet, "update", update)
    CatalogueVersion.objects.raise_on_commit()
    assert current() == before + 1
