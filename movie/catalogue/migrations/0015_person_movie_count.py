from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("catalogue", "0014_best_rated")]

    operations = [
        migrations.AddField(
            model_name="person",
            name="movie_count",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
    ]
