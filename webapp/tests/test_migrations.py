"""Migrations make the tables that the models describe, and every key compares exactly."""

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
def test_marks_of_processed_events_outlive_the_change_of_their_key():
    call_command("migrate", "events", "0008", verbosity=0)
    before = MigrationExecutor(connection).loader.project_state(
        [("events", "0008_events_without_foreign_key")]
    )
    mark = {"event_id": "a", "group": "popularity"}
    before.apps.get_model("events", "ProcessedEvent").objects.create(**mark)
    call_command("migrate", verbosity=0)
    assert list(apps.get_model("events", "ProcessedEvent").objects.values("event_id", "group")) == [mark]
