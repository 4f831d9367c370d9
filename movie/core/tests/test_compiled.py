"""Queries that are compiled once return what Django's do, for the values of each execution."""

import gc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, CharField, DateTimeField
from django.db.models.sql.compiler import SQLCompiler
from django.db.transaction import TransactionManagementError

from movie.core.compiled import MOST_KEPT, CompiledQuery, Parameter

pytestmark = pytest.mark.django_db

COLUMNS = ("pk", "username", "date_joined", "is_staff")


@pytest.fixture
def users():
    return [
        get_user_model().objects.create(
            username=f"user {n}", date_joined=datetime(2001, 1, 1 + n, tzinfo=UTC), is_staff=n == 1
        )
        for n in range(5)
    ]


def test_times_and_flags_go_in_and_come_out_as_python_has_them(users):
    since = CompiledQuery(
        lambda some: (
            get_user_model()
            .objects.filter(
                date_joined__gte=Parameter("since", DateTimeField()),
                username__lt=Parameter("end", CharField()),
            )
            .order_by("pk")
            .values_list(*COLUMNS)
        )
    )
    for day, end in ((2, "user 4"), (4, "v")):
        at = datetime(2001, 1, day, tzinfo=UTC)
        expected = get_user_model().objects.filter(date_joined__gte=at, username__lt=end).order_by("pk")
        assert [tuple(row) for row in since.rows(since=at, end=end)] == list(expected.values_list(*COLUMNS))
    with pytest.raises(KeyError, match="end"):
        since.rows(since=at)


def test_it_is_compiled_once_however_many_values_a_list_has(users, monkeypatch):
    some = CompiledQuery(
        lambda some: (
            get_user_model()
            .objects.filter(id__in=some("user", BigIntegerField()))
            .order_by("pk")
            .values_list("pk")
        )
    )
    keys = [user.pk for user in users]
    assert [pk for (pk,) in some.rows(user=keys[:3])] == keys[:3]
    assert some.rows(user=[]) == []
    monkeypatch.setattr(SQLCompiler, "as_sql", None)
    assert [pk for (pk,) in some.rows(user=keys[1:])] == keys[1:]


def test_an_empty_list_asks_nothing_and_a_long_one_is_not_kept(users, django_assert_num_queries):
    some = CompiledQuery(
        lambda some: (
            get_user_model()
            .objects.filter(id__in=some("user", BigIntegerField()))
            .order_by("pk")
            .values_list("pk")
        )
    )
    keys = [user.pk for user in users]
    with django_assert_num_queries(0):
        assert some.rows(user=[]) == []
    assert [pk for (pk,) in some.rows(user=[*keys, *range(10**6, 10**6 + MOST_KEPT)])] == keys
    assert not some._compiled
    assert [pk for (pk,) in some.rows(user=keys[:1])] == keys[:1]
    assert len(some._compiled) == 1


@pytest.mark.django_db(transaction=True)
def test_rows_are_locked_in_a_transaction_only(users):
    locked = CompiledQuery(
        lambda some: get_user_model().objects.select_for_update().order_by("pk").values_list("pk")
    )
    with transaction.atomic():
        assert len(locked.rows()) == len(users)
    with pytest.raises(TransactionManagementError):
        locked.rows()


@pytest.mark.django_db(transaction=True)
def test_a_thread_reads_by_its_own_connection(users):
    """What was compiled in one thread serves another, and keeps no connection of the first."""
    dates = CompiledQuery(lambda some: get_user_model().objects.order_by("pk").values_list("date_joined"))

    def read():
        try:
            return [at for (at,) in dates.rows()]
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(read).result() == [user.date_joined for user in users]
    assert [at for (at,) in dates.rows()] == [user.date_joined for user in users]
    (kept,) = dates._compiled.values()
    assert not any(isinstance(each, BaseDatabaseWrapper) for each in gc.get_referents(kept))


def test_a_parameter_has_one_type():
    two = CompiledQuery(
        lambda some: (
            get_user_model()
            .objects.filter(
                id=Parameter("value", BigIntegerField()), username=Parameter("value", CharField())
            )
            .values_list("pk")
        )
    )
    with pytest.raises(TypeError, match="value is a value of two types"):
        two.rows(value=1)
