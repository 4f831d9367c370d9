import django.utils.timezone
from django.db import migrations, models
from django.db.models import Max


def make_first_pages_young(apps, schema_editor):
    """Give the first page of each list the time of its latest one; pages without a first one are deleted."""
    pages = apps.get_model("api", "RememberedList").objects.order_by()
    for first, latest in list(pages.exclude(previous="").values_list("first").annotate(Max("created"))):
        if not pages.filter(pk=first).update(created=latest):
            pages.filter(first=first).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("api", "0003_pages_of_endless_lists"),
    ]

    operations = [
        migrations.AlterField(
            model_name="rememberedlist",
            name="created",
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.AddIndex(
            model_name="rememberedlist",
            index=models.Index(fields=["previous", "created"], name="ended_endless_lists"),
        ),
        migrations.RunPython(make_first_pages_young, migrations.RunPython.noop),
    ]
