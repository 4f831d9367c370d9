"""Migrations make the tables that the models describe, and every key compares exactly."""

from importlib import import_module

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from movie.core.fields import ExactCharField

EXACT_FIELDS = [
    (model._meta.db_table, field.column)
    for model in apps.get_models(include_auto_created=True)
    for field in model._meta.concrete_fields
    if isinstance(field, ExactCharField)
]
# Keys by which rows of visitors, events and credentials are found; each must be an ExactCharField.
KEYS = {
    "visitor",
    "event_id",
    "recommendation_id",
    "into",
    "claimed_by",
    "group",
    "position",
    "salt",
    "key_hash",
    "prefix",
    "search_key",
    "unit",
}


@pytest.mark.django_db
def test_no_model_has_a_change_without_a_migration():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
def test_every_migration_is_applied_to_an_empty_database():
    executor = MigrationExecutor(connection)
    targets = executor.loader.graph.leaf_nodes()
    assert executor.migration_plan(targets) == []
    tables = set(connection.introspection.table_names())
    assert {model._meta.db_table for model in apps.get_models(include_auto_created=True)} <= tables


def test_every_key_of_our_tables_is_exact():
    ours = [model for model in apps.get_models() if model.__module__.startswith("movie.")]
    texts = {
        (model._meta.db_table, field.column)
        for model in ours
        for field in model._meta.concrete_fields
        if field.name in KEYS and field.get_internal_type() in ("CharField", "TextField")
    }
    assert len(texts) > 10
    assert texts <= set(EXACT_FIELDS)


@pytest.mark.django_db
def test_the_database_compares_every_key_exactly():
    """The servers' own tables say which collation a column has; SQLite's say nothing but NOCASE."""
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(
                "SELECT table_name, column_name, collation_name FROM information_schema.columns "
                "WHERE table_schema = DATABASE() AND collation_name IS NOT NULL"
            )
            collations = {(table, column): collation for table, column, collation in cursor.fetchall()}
            assert {collations[each] for each in EXACT_FIELDS} == {"utf8mb4_bin"}
        elif connection.vendor == "postgresql":
            cursor.execute(
                "SELECT table_name, column_name, collation_name FROM information_schema.columns "
                "WHERE table_schema = current_schema() AND collation_name IS NOT NULL"
            )
            collations = {(table, column): collation for table, column, collation in cursor.fetchall()}
            assert {collations[each] for each in EXACT_FIELDS} == {"C"}
        else:
            cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")
            tables = " ".join(sql for (sql,) in cursor.fetchall())
            assert "NOCASE" not in tables.upper()


@pytest.mark.django_db(transaction=True)
def test_marks_of_processed_events_outlive_the_change_of_their_key(monkeypatch):
    """The change is cut twice, run again, and a consumer adds a mark while it runs."""
    migration = import_module("movie.events.migrations.0009_marks_by_event")
    monkeypatch.setattr(migration, "AT_ONCE", 2)
    marks = apps.get_model("events", "ProcessedEvent").objects
    marks.bulk_create(marks.model(event_id=each, group="popularity") for each in "bdfhj")
    call_command("migrate", "events", "0008", verbosity=0)

    def add(event_id: str) -> None:
        marks.bulk_create([marks.model(event_id=event_id, group="trending")])

    def cut(*args: object) -> None:
        raise InterruptedError

    def swap_late(*args: object) -> None:
        add("c")
        swap(*args)

    def cut_after_swap(schema_editor, source: str, *args: object) -> None:
        cut() if source == migration.REPLACED else copy(schema_editor, source, *args)

    copy, swap = migration.copy, migration.swap
    monkeypatch.setattr(migration, "swap", cut)
    with pytest.raises(InterruptedError):
        call_command("migrate", "events", verbosity=0)
    monkeypatch.setattr(migration, "swap", swap_late)
    with monkeypatch.context() as patch:
        patch.setattr(migration, "copy", cut_after_swap)
        with pytest.raises(InterruptedError):
            call_command("migrate", "events", verbosity=0)
    assert "".join(marks.values_list("event_id", flat=True).order_by("event_id")) == "bdfhj", (
        "full, or as it was"
    )
    call_command("migrate", verbosity=0)
    assert sorted(marks.values_list("event_id", "group")) == [
        (each, "trending" if each == "c" else "popularity") for each in "bcdfhj"
    ]
    assert [
        name for name in connection.introspection.table_names() if "mark" in name or "processed" in name
    ] == [marks.model._meta.db_table]


@pytest.mark.django_db(transaction=True)
def test_a_cut_count_of_the_movies_of_people_loses_nothing_and_is_started_again(monkeypatch):
    migration = import_module("movie.catalogue.migrations.0016_count_movies")
    monkeypatch.setattr(migration, "BATCH", 2)
    people, credits, movies = (
        apps.get_model("catalogue", each).objects for each in ("Person", "Credit", "Movie")
    )
    movie = movies.create(title="Heat")
    for n in range(5):
        credits.create(movie=movie, person=people.create(name=f"Person {n}"), role="cast")
    call_command("migrate", "catalogue", "0014", verbosity=0)

    def write_one_batch(ids, count, **options):
        count(ids[:2])
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(migration, "write_all_in_batches", write_one_batch)
        with pytest.raises(InterruptedError):
            call_command("migrate", verbosity=0)
    assert sorted(people.values_list("movie_count", flat=True)) == [0, 0, 0, 1, 1]
    call_command("migrate", verbosity=0)
    assert set(people.values_list("movie_count", flat=True)) == {1}
    assert credits.count() == 5
