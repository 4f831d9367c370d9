from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalogue", "0008_bounds_of_attributes")]

    operations = [
        migrations.RemoveIndex(model_name="movie", name="visible_most_rated"),
        migrations.AddIndex(
            model_name="movie",
            index=models.Index(
                fields=["-rating_count", "-rating_average", "id", "is_visible", "available_from", "available_until"],
                name="most_rated",
            ),
        ),
    ]
