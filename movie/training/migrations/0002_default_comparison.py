"""Results of `models compare`."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="DefaultComparison",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "finished_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="finished"),
                ),
                (
                    "revision",
                    models.CharField(blank=True, max_length=64, verbose_name="revision of the code"),
                ),
                ("default", models.CharField(max_length=32, verbose_name="default then")),
                ("proposed", models.CharField(max_length=32, verbose_name="proposed")),
                ("is_clear", models.BooleanField(default=False, verbose_name="clearly better")),
                ("visitors", models.PositiveIntegerField(verbose_name="visitors asked")),
                ("until", models.DateTimeField(verbose_name="learned up to")),
                ("tables", models.JSONField(verbose_name="figures")),
            ],
            options={
                "verbose_name": "comparison of defaults",
                "verbose_name_plural": "comparisons of defaults",
                "ordering": ["-finished_at", "-pk"],
                "get_latest_by": "finished_at",
            },
        )
    ]
