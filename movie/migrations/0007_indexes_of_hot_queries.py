import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Indexes that docs/database.md gives the reasons for."""

    dependencies = [("movie", "0006_experiments")]

    operations = [
        migrations.RemoveIndex(model_name="movie", name="movie_most_rated"),
        migrations.AlterField(
            model_name="movie",
            name="is_visible",
            field=models.BooleanField(default=True, verbose_name="visible"),
        ),
        migrations.AddIndex(
            model_name="movie",
            index=models.Index(
                fields=["is_visible", "-rating_count", "-rating_average", "id"], name="visible_most_rated"
            ),
        ),
        # Before the other index goes: a foreign key needs one at every moment.
        migrations.AddIndex(
            model_name="rating",
            index=models.Index(fields=["movie", "value"], name="rating_of_film"),
        ),
        migrations.AlterField(
            model_name="rating",
            name="movie",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="ratings",
                to="movie.movie",
            ),
        ),
    ]
