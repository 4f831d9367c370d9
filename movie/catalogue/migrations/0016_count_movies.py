from functools import partial

from django.db import migrations

from movie.catalogue.movie_counts import write_movie_counts
from movie.core.batches import write_all_in_batches

BATCH = 500  # people


def count(apps, schema_editor):
    people = apps.get_model("catalogue", "Person").objects
    write = partial(write_movie_counts, people.all(), stored="lt")
    write_all_in_batches(list(people.order_by("pk").values_list("pk", flat=True)), write, size=BATCH)


class Migration(migrations.Migration):
    atomic = False  # visitors write between the batches

    dependencies = [("catalogue", "0015_person_movie_count")]

    operations = [migrations.RunPython(count, migrations.RunPython.noop, elidable=True)]
