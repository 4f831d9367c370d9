"""Imports as jobs: started in the admin, done by the worker, with a report of what was refused."""

from datetime import timedelta
from unittest import mock

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from django_tasks_db.management.commands import db_worker
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

from movie.api.models import ApiClient
from movie.catalogue.models import ExternalId, Movie
from movie.catalogue.tests.films import make_film
from movie.core.progress import ProgressBar
from movie.events.models import Event
from movie.operations.jobs import FILES_KEPT, run_job, start_job
from movie.operations.models import Job

pytestmark = pytest.mark.django_db

FILMS = b"id,title,year\n1,Heat,1995\n2,Alien,1979\n3,,\n"


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.JOB_DIR = tmp_path / "jobs"
    return settings.JOB_DIR


def work() -> None:
    """Do everything that waits, as `manage.py db_worker --batch` does, on the connection of the test."""
    worker = Worker(
        queue_names=["default"], interval=0, batch=True, backend_name="default", startup_delay=False,
        max_tasks=None, worker_id="tests", excluded_queue_names=[],
    )  # fmt: skip
    with mock.patch.object(db_worker, "close_old_connections"):
        worker.run()


def upload(client, content=FILMS, **fields):
    form = {"kind": "import_movies", "source": "shop", "file": SimpleUploadedFile("films.csv", content)}
    answer = client.post(reverse("admin:operations_job_add"), {**form, **fields})
    assert answer.status_code == 302, answer.context["errors"]
    return Job.objects.latest("pk")


def page_of(client, job):
    return client.get(reverse("admin:operations_job_change", args=[job.pk])).content.decode()


def test_a_file_is_imported_by_the_worker_and_its_refused_rows_can_be_had(admin_client, admin_user):
    job = upload(admin_client)
    assert (job.state, job.by, Movie.objects.count()) == ("waiting", admin_user, 0)
    assert 'http-equiv="refresh"' in page_of(admin_client, job)
    work()
    job.refresh_from_db()
    assert (job.state, job.percent, Movie.objects.count()) == ("done", 100, 2)
    page = page_of(admin_client, job)
    assert "2 films read: 2 added" in page and "1 rows were refused" in page
    assert 'http-equiv="refresh"' not in page
    report = admin_client.get(reverse("admin:operations_job_refused", args=[job.pk]))
    lines = b"".join(report.streaming_content).decode().splitlines()
    assert lines[0] == "file,line,reason,row" and len(lines) == 2
    assert not job.file.exists(), "what was imported is not kept"
    assert not job.can_run_again


def test_a_check_changes_nothing_and_the_import_follows_from_its_page(admin_client):
    job = upload(admin_client, dry_run="on")
    work()
    assert Movie.objects.count() == 0
    assert "Import it now" in page_of(admin_client, job)
    admin_client.post(reverse("admin:operations_job_again", args=[job.pk]))
    work()
    job.refresh_from_db()
    assert (job.state, Movie.objects.count()) == ("done", 2)
    admin_client.post(reverse("admin:operations_job_again", args=[job.pk]))
    assert DBTaskResult.objects.count() == 2, "what is done is not done again"


def test_a_file_that_cannot_be_used_fails_with_its_reason(admin_client):
    job = upload(admin_client, b"id,title,year\n1,,\n2,,\n")
    work()
    job.refresh_from_db()
    assert job.state == "failed" and "rows were refused" in job.message
    assert "Run it again" in page_of(admin_client, job)


def test_a_check_that_failed_is_a_check_again(admin_client):
    job = upload(admin_client, dry_run="on")
    Job.objects.filter(pk=job.pk).update(state="failed")
    page = page_of(admin_client, job)
    assert "Run it again" in page and "Import it now" not in page
    assert 'name="dry_run" value="1"' in page


def test_a_job_that_is_stopped_is_not_done(monkeypatch):
    def command(*arguments, **options):
        raise SystemExit(1)

    monkeypatch.setattr("movie.operations.jobs.call_command", command)
    job = start_job("train", {"model": "ease"}, by=None)
    with pytest.raises(SystemExit):
        run_job.func(job.pk)
    job.refresh_from_db()
    assert (job.state, job.message, job.percent) == ("failed", "It was stopped.", 0)


def test_a_file_is_never_its_own_report():
    sent = SimpleUploadedFile(".refused.csv", FILMS)
    job = start_job("import_movies", {}, by=None, file=sent)
    assert job.file != job.report and job.file.read_bytes() == FILMS


def test_a_job_whose_process_has_gone_is_not_shown_as_running(admin_client):
    job = Job.objects.create(kind="train", options={"model": "ease"}, state="running", process="x 1 1.0")
    assert not job.has_died, "of another machine, and not silent yet"
    Job.objects.filter(pk=job.pk).update(updated_at="2001-01-01T00:00Z")
    page = page_of(admin_client, job)
    assert "Its process has gone" in page and 'http-equiv="refresh"' not in page


def test_progress_of_a_command_arrives_at_its_job(monkeypatch):
    seen = []

    def command(name, *arguments, **options):
        with ProgressBar(enabled=False) as bar:
            bar(0.5, "half of it")
        seen.append(Job.objects.values_list("progress", "message", "state").get())

    monkeypatch.setattr("movie.operations.jobs.call_command", command)
    job = start_job("train", {"model": "ease"}, by=None)
    run_job.func(job.pk)
    assert seen == [(0.5, "half of it", "running")]
    run_job.func(job.pk)
    assert len(seen) == 1, "a second delivery finds nothing to do"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"kind": "import_interactions"}, "Say whose users these are."),
        ({"client": "shop"}, "Films belong to no client."),
        ({"kind": "import_ratings", "sync": "on"}, "Of films only."),
        ({"events": "watch"}, "Of interactions only."),
        ({"max_refused": "many"}, "Enter a valid value."),
        ({"source": "--report=/etc/passwd"}, "Enter a valid"),
    ],
)
def test_a_wrong_form_is_refused_by_field_and_starts_nothing(admin_client, fields, error):
    form = {"kind": "import_movies", "file": SimpleUploadedFile("films.csv", FILMS), **fields}
    answer = admin_client.post(reverse("admin:operations_job_add"), form)
    assert error in answer.content.decode()
    assert not Job.objects.exists() and not DBTaskResult.objects.exists()


def test_a_file_of_plays_is_imported_as_plays(admin_client):
    ApiClient.objects.create(slug="shop")
    ExternalId.objects.create(movie=make_film("Heat", 1995), source="shop", value="h")
    content = b"user,item\nada,h\n"
    fields = {"kind": "import_interactions", "source": "shop", "client": "shop", "events": "watch"}
    form = {**fields, "file": SimpleUploadedFile("plays.csv", content)}
    assert admin_client.post(reverse("admin:operations_job_add"), form).status_code == 302
    work()
    job = Job.objects.get()
    assert job.state == "done", job.message + job.output
    assert list(Event.objects.values_list("visitor", "kind")) == [("api:shop:ada", "watch")]


def test_what_the_worker_keeps_of_old_tasks_is_deleted_and_jobs_stay():
    for _turn in range(3):
        start_job("import_movies", {}, by=None, file=SimpleUploadedFile("f.csv", FILMS))
    work()
    old, kept, _last = DBTaskResult.objects.order_by("enqueued_at").values_list("pk", flat=True)
    DBTaskResult.objects.filter(pk=old).update(finished_at=timezone.now() - FILES_KEPT - timedelta(hours=1))
    run_job.func(start_job("train", {"model": "no such"}, by=None).pk)
    assert not DBTaskResult.objects.filter(pk=old).exists()
    assert DBTaskResult.objects.filter(pk=kept).exists()
    assert Job.objects.count() == 4


def test_deleting_a_job_deletes_its_files(admin_client, folder):
    job = upload(admin_client)
    assert job.file.exists()
    admin_client.post(reverse("admin:operations_job_delete", args=[job.pk]), {"post": "yes"})
    assert list(folder.iterdir()) == []
    work()  # of a deleted job nothing is left to do
    assert Movie.objects.count() == 0
