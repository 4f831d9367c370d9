from django.db import migrations, models
from django.db.models import F

import movie.core.fields


def begin_anew(apps, schema_editor):
    """Each list of before holds the films of those before it, too: it is the first one of its own."""
    apps.get_model("api", "RememberedList").objects.update(first=F("recommendation_id"))


class Migration(migrations.Migration):
    dependencies = [
        ("api", "0002_endless_lists_and_rules"),
    ]

    operations = [
        migrations.AddField(
            model_name="rememberedlist",
            name="first",
            field=movie.core.fields.ExactCharField(db_index=True, default="", max_length=36),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="rememberedlist",
            name="previous",
            field=movie.core.fields.ExactCharField(blank=True, default="", max_length=36),
        ),
        migrations.RunPython(begin_anew, migrations.RunPython.noop),
    ]
