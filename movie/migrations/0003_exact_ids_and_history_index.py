"""On MySQL and MariaDB, ids and names differ in case and accents as they do on SQLite."""

from django.db import migrations, models

EXACT = {
    "rating": ["visitor"],
    "interactionrecord": ["event_id", "visitor"],
    "externalid": ["source", "value"],
    "genre": ["name"],
    "country": ["name"],
    "language": ["name"],
}


def compare_exactly(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    quote = schema_editor.quote_name
    for model_name, fields in EXACT.items():
        model = apps.get_model("movie", model_name)
        for name in fields:
            field = model._meta.get_field(name)
            schema_editor.execute(
                f"ALTER TABLE {quote(model._meta.db_table)} MODIFY {quote(field.column)} "
                f"{field.db_type(connection)} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
            )


class Migration(migrations.Migration):
    dependencies = [("movie", "0002_movie_tags")]

    operations = [
        migrations.RunPython(compare_exactly, migrations.RunPython.noop, atomic=False),
        migrations.RemoveIndex(model_name="interactionrecord", name="interactions_of_visitor"),
        migrations.AddIndex(
            model_name="interactionrecord",
            index=models.Index(fields=["visitor", "at", "event_id"], name="interactions_of_visitor"),
        ),
    ]
