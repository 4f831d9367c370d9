from django.db import migrations

from movie.catalogue.suffixes import BATCH, write_suffixes

OWNERS = {"TitleSuffix": "MovieTitle", "NameSuffix": "Person"}


def fill(apps, schema_editor):
    """Write the suffixes of all titles and names in batches; started again it goes on where it was."""
    for suffix, owner in OWNERS.items():
        model = apps.get_model("catalogue", suffix)
        owners = apps.get_model("catalogue", owner).objects.order_by("pk").values_list("pk", "search_key")
        last = model.objects.order_by("-owner").values_list("owner", flat=True).first() or 0
        while batch := list(owners.filter(pk__gt=last)[:BATCH]):
            write_suffixes(model, batch)
            last = batch[-1][0]


class Migration(migrations.Migration):
    atomic = False  # a batch is a transaction: visitors write in between

    dependencies = [("catalogue", "0011_search_suffixes")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
