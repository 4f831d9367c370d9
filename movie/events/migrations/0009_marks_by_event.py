import django.utils.timezone
from django.db import migrations, models

import movie.core.fields


def copy(apps, schema_editor):
    """Copy what is marked: a message that comes again must have no effect."""
    quote = schema_editor.quote_name
    columns = ", ".join(quote(name) for name in ("event_id", "group", "processed_at"))
    before, after = (quote(apps.get_model("events", name)._meta.db_table) for name in ("OldMark", "ProcessedEvent"))
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {after} ({columns}) SELECT {columns} FROM {before}")


class Migration(migrations.Migration):
    dependencies = [("events", "0008_events_without_foreign_key")]

    operations = [
        migrations.RemoveConstraint("ProcessedEvent", "each_event_once_a_group"),
        migrations.RenameModel("ProcessedEvent", "OldMark"),
        migrations.CreateModel(
            name="ProcessedEvent",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "event_id", "group", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("group", movie.core.fields.ExactCharField(max_length=32)),
                ("event_id", movie.core.fields.ExactCharField(max_length=36)),
                ("processed_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
        ),
        migrations.RunPython(copy, migrations.RunPython.noop),
        migrations.DeleteModel("OldMark"),
    ]
