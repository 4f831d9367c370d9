import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0006_plays")]

    operations = [
        # First the new one: MySQL needs an index of the movie for its foreign key at every moment.
        migrations.AddIndex(
            model_name="event",
            index=models.Index(fields=["movie", "visitor"], name="events_of_movie_and_visitor"),
        ),
        migrations.AlterField(
            model_name="event",
            name="movie",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="catalogue.movie",
            ),
        ),
    ]
