from django.db import migrations

from movie.catalogue.suffixes import write_all_missing

OWNERS = {"TitleSuffix": "MovieTitle", "NameSuffix": "Person"}


def fill(apps, schema_editor):
    for suffix, owner in OWNERS.items():
        write_all_missing(apps.get_model("catalogue", suffix), apps.get_model("catalogue", owner))


class Migration(migrations.Migration):
    atomic = False  # a batch is a transaction: visitors write in between

    dependencies = [("catalogue", "0011_search_suffixes")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
