"""Give the marks of processed events the key (event id, group), by a table that takes the place of the old one."""

from datetime import UTC, datetime, timedelta

import django.utils.timezone
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.migrations.state import ModelState
from django.db.models.constants import OnConflict

import movie.core.fields

TABLE, REPLACED = "events_processedevent", "events_processedevent_replaced"
AT_ONCE = 20_000  # rows of one statement
AT_MOST_LATE = timedelta(minutes=10)  # a mark is committed after its time, by a machine with its own clock
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
KEY_OF_EVENT = [
    (
        "pk",
        models.CompositePrimaryKey(
            "event_id", "group", blank=True, editable=False, primary_key=True, serialize=False
        ),
    )
]
KEY_OF_NUMBER = [
    ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"))
]
FIELDS = [
    ("group", movie.core.fields.ExactCharField(max_length=32)),
    ("event_id", movie.core.fields.ExactCharField(max_length=36)),
    ("processed_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
]
COLUMNS = ("event_id", "group", "processed_at")
EACH_ONCE = models.UniqueConstraint(fields=("event_id", "group"), name="each_event_once_a_group")


def to_key_of_event(apps, schema_editor):
    replace(schema_editor, "events_marks_by_event", KEY_OF_EVENT + FIELDS)


def to_key_of_number(apps, schema_editor):
    replace(schema_editor, "events_marks_by_number", KEY_OF_NUMBER + FIELDS, constraints=[EACH_ONCE])


def replace(schema_editor, name, fields, **options):
    """Fill a table under another name, then let it take the name of the table of marks in one step.

    The table is never missing or empty: a message that comes again must have no effect. On MySQL and MariaDB
    each statement is committed by itself, so a run that was cut can be repeated: a table that was not filled
    to its end is filled anew, and one that is in place gets all rows that only the replaced one has.
    """
    since = LONG_AGO
    with schema_editor.connection.cursor() as cursor:
        tables = schema_editor.connection.introspection.table_names(cursor)
    if REPLACED not in tables:
        if name in tables:
            schema_editor.execute(f"DROP TABLE {name}")
        state = ModelState("events", "Mark", fields, options={"db_table": name, **options})
        schema_editor.create_model(state.render(Apps()))
        while schema_editor.deferred_sql:  # its indexes, which would be made after the migration
            schema_editor.execute(schema_editor.deferred_sql.pop(0), params=None)
        for _pass in range(2):  # the second one is short: of what came in the meantime
            began = django.utils.timezone.now()
            copy(schema_editor, TABLE, name, since)
            since = began - AT_MOST_LATE
        swap(schema_editor, name)
    copy(schema_editor, REPLACED, TABLE, since)
    schema_editor.execute(f"DROP TABLE {REPLACED}")


def copy(schema_editor, source, target, since):
    """Copy the marks after a time that are not there yet, by ranges of their times."""
    connection = schema_editor.connection
    columns = ", ".join(connection.ops.quote_name(name) for name in COLUMNS)
    insert = connection.ops.insert_statement(on_conflict=OnConflict.IGNORE)
    ignore = connection.ops.on_conflict_suffix_sql([], OnConflict.IGNORE, [], [])
    last = connection.ops.adapt_datetimefield_value(since)
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                f"SELECT MAX(processed_at) FROM (SELECT processed_at FROM {source} "
                f"WHERE processed_at > %s ORDER BY processed_at LIMIT {AT_ONCE}) batch",
                [last],
            )
            first, (last,) = last, cursor.fetchone()
            if last is None:
                return
            cursor.execute(
                f"{insert} {target} ({columns}) SELECT {columns} FROM {source} "
                f"WHERE processed_at > %s AND processed_at <= %s {ignore}",
                [first, last],
            )


def swap(schema_editor, name):
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(f"RENAME TABLE {TABLE} TO {REPLACED}, {name} TO {TABLE}")
    else:
        schema_editor.execute(f"ALTER TABLE {TABLE} RENAME TO {REPLACED}")
        schema_editor.execute(f"ALTER TABLE {name} RENAME TO {TABLE}")


class Migration(migrations.Migration):
    dependencies = [("events", "0008_events_without_foreign_key")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(to_key_of_event, to_key_of_number)],
            state_operations=[
                migrations.DeleteModel("ProcessedEvent"),
                migrations.CreateModel("ProcessedEvent", KEY_OF_EVENT + FIELDS),
            ],
        )
    ]
