from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalogue", "0009_most_rated_without_prefix")]

    operations = [
        migrations.CreateModel(
            name="CatalogueVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveBigIntegerField(default=0)),
            ],
        ),
    ]
