from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("movie", "0007_indexes_of_hot_queries")]

    operations = [
        migrations.DeleteModel(name="SurfaceCount"),
        migrations.RemoveIndex(model_name="interactionrecord", name="interactions_of_visitor"),
        migrations.RemoveIndex(model_name="interactionrecord", name="interactions_due"),
        migrations.RemoveIndex(model_name="logchange", name="log_change_due"),
        migrations.RemoveConstraint(model_name="deadletter", name="each_place_once_a_group"),
        migrations.RenameModel("InteractionRecord", "Event"),
        migrations.RenameModel("LogChange", "HistoryChange"),
        migrations.RenameModel("MovieActivity", "DailyMovieActivity"),
        migrations.RenameField("event", "due", "pending_sinks"),
        migrations.RenameField("event", "deliver_after", "available_at"),
        migrations.RenameField("event", "claim", "claimed_by"),
        migrations.RenameField("historychange", "due", "pending_sinks"),
        migrations.RenameField("historychange", "deliver_after", "available_at"),
        migrations.RenameField("historychange", "claim", "claimed_by"),
        migrations.RenameField("deadletter", "place", "position"),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(fields=["visitor", "at", "event_id"], name="events_of_visitor"),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(fields=["pending_sinks", "available_at"], name="pending_events"),
        ),
        migrations.AddIndex(
            model_name="historychange",
            index=models.Index(fields=["pending_sinks", "available_at"], name="pending_changes"),
        ),
        migrations.AddConstraint(
            model_name="deadletter",
            constraint=models.UniqueConstraint(
                fields=["group", "position"], name="each_position_once_a_group"
            ),
        ),
    ]
