from django.db import migrations
from django.db.models import Count, OuterRef, Subquery

from movie.core.batches import write_all_in_batches

BATCH = 500  # people


def count(apps, schema_editor):
    people, credits = apps.get_model("catalogue", "Person").objects, apps.get_model("catalogue", "Credit").objects
    own = credits.filter(person=OuterRef("pk")).order_by().values("person")
    counted = Subquery(own.annotate(n=Count("movie", distinct=True)).values("n"))

    def count_some(ids):
        people.filter(pk__in=ids, movie_count__lt=counted).order_by().update(movie_count=counted)

    write_all_in_batches(list(people.order_by("pk").values_list("pk", flat=True)), count_some, size=BATCH)


class Migration(migrations.Migration):
    atomic = False  # a batch is a transaction: visitors write in between

    dependencies = [("catalogue", "0015_person_movie_count")]

    operations = [migrations.RunPython(count, migrations.RunPython.noop, elidable=True)]
