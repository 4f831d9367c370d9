from django.db import migrations, models
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

BATCH = 500  # people


def count(apps, schema_editor):
    people, credits = apps.get_model("catalogue", "Person").objects, apps.get_model("catalogue", "Credit")
    own = credits.objects.filter(person=OuterRef("pk")).order_by().values("person")
    counted = Coalesce(Subquery(own.annotate(n=Count("movie", distinct=True)).values("n")), 0)
    last = 0
    while some := list(people.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        people.filter(pk__in=some).order_by().update(movie_count=counted)
        last = some[-1]


class Migration(migrations.Migration):
    atomic = False  # a batch is a transaction: visitors write in between

    dependencies = [("catalogue", "0014_best_rated")]

    operations = [
        migrations.AddField(
            model_name="person",
            name="movie_count",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.RunPython(count, migrations.RunPython.noop, elidable=True),
    ]
