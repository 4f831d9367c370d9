"""Run jobs: the task of the worker (`manage.py db_worker`), and the door by which a job comes to it."""

from __future__ import annotations

import io
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from django.utils.text import get_valid_filename
from django_tasks import task
from django_tasks_db.models import DBTaskResult

from movie.core.processes import heartbeat, this_process
from movie.core.progress import followed_by
from movie.core.shutdown import INTERRUPTED
from movie.operations.models import Job

log = logging.getLogger(__name__)

LONGEST_OUTPUT = 20_000  # characters that are kept of what a job said
SECONDS_BETWEEN_WRITES = 1.0
FILES_KEPT = timedelta(days=30)  # of jobs that are not deleted before
FLAGS = ("dry_run", "overwrite", "sync", "activate")
VALUES = ("source", "format", "client", "events", "max_refused")
NAMES = {"events": "kind"}  # of options whose command calls them otherwise: the kind of a job is its command


class DoesNotRunAgain(Exception):
    """Says that a job still waits or runs, has done its work, or has lost its file."""


def start_job(kind: str, options: dict[str, Any], *, by: int | None, file: UploadedFile | None = None) -> Job:
    """Store a job with its file and hand it to the worker: all of it or nothing."""
    with transaction.atomic():
        name = get_valid_filename(file.name or "file")[-100:].lstrip(".") if file else ""
        job = Job.objects.create(kind=kind, options=options, file_name=name, by_id=by)
        try:
            if file is not None:
                job.folder.mkdir(mode=0o700, parents=True)
                with job.file.open("wb") as stored:
                    for chunk in file.chunks():
                        stored.write(chunk)
            run_job.enqueue(job.pk)
        except BaseException:
            shutil.rmtree(job.folder, ignore_errors=True)
            raise
    return job


def run_again(job: Job, *, dry_run: bool = False) -> None:
    """Hand a job to the worker once more. Raises DoesNotRunAgain."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job.pk)
        if not job.can_run_again:
            raise DoesNotRunAgain
        job.state, job.progress, job.message, job.output = Job.State.WAITING, 0.0, "", ""
        job.options = {**job.options, "dry_run": dry_run}
        job.started_at = job.finished_at = None
        job.save()
        run_job.enqueue(job.pk)


def command_line(job: Job) -> list[str]:
    """Return the arguments of the job's command. Values are written with `=`, so that none is an option."""
    if job.kind == Job.Kind.TRAINING:
        return [str(job.options["model"]), "--from-site", "--quiet", *_flags(job)]
    given = [f"--{_spelled(name)}={job.options[name]}" for name in VALUES if job.options.get(name)]
    return [str(job.file), f"--report={job.report}", "--no-progress", *_flags(job), *given]


@task()
def run_job(pk: int) -> None:
    """Run a job that waits. What it said, and why it failed, is kept with it."""
    job = Job.objects.filter(pk=pk, state=Job.State.WAITING).first()
    if job is None:
        return  # deleted, or delivered twice
    _delete_old_files()
    _delete_old_results()
    now = timezone.now()
    own = Job.objects.filter(pk=pk)
    own.update(state=Job.State.RUNNING, process=this_process(), started_at=now, updated_at=now)
    output = io.StringIO()
    state, message, status = Job.State.FAILED, "It was stopped.", 0  # what a second SIGTERM leaves
    try:
        with heartbeat(lambda: own.update(updated_at=timezone.now())), followed_by(_follower(pk)):
            call_command(job.kind, *command_line(job), stdout=output, stderr=output, no_color=True)
        state, message = Job.State.DONE, ""
    except CommandError as error:
        message, status = str(error), error.returncode
    except Exception as error:  # whatever it is, the job does not stay "running"
        log.exception("the job %s failed", pk)
        message = f"{type(error).__name__}: {error}"
    finally:
        text = output.getvalue()
        own.update(
            state=state,
            progress=1.0 if state == Job.State.DONE else job.progress,
            message=message[:255],
            output=text if len(text) <= LONGEST_OUTPUT else f"…{text[-LONGEST_OUTPUT:]}",
            finished_at=timezone.now(),
            updated_at=timezone.now(),
        )
    if state == Job.State.DONE and job.file_name and not job.options.get("dry_run"):
        job.file.unlink(missing_ok=True)
    if status == INTERRUPTED:  # the command took the signal, which was meant for the worker too
        os.kill(os.getpid(), signal.SIGTERM)


def _follower(pk: int) -> Callable[[float, str], None]:
    """Return a function that writes the progress of a job, about once a second."""
    written = 0.0

    def follow(done: float, text: str) -> None:
        nonlocal written
        if time.monotonic() - written >= SECONDS_BETWEEN_WRITES:
            written = time.monotonic()
            share = min(max(done, 0.0), 1.0)
            Job.objects.filter(pk=pk).update(progress=share, message=text[:255], updated_at=timezone.now())

    return follow


def _delete_old_files() -> None:
    """Delete the files of jobs that are older than FILES_KEPT."""
    old = Job.objects.filter(created__lt=timezone.now() - FILES_KEPT).exclude(file_name="")
    for job in old[:100]:
        shutil.rmtree(job.folder, ignore_errors=True)


def _delete_old_results() -> None:
    """Delete what django-tasks keeps of tasks that ended FILES_KEPT ago; the jobs stay."""
    old = DBTaskResult.objects.finished().filter(finished_at__lt=timezone.now() - FILES_KEPT).order_by()
    DBTaskResult.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:100])).delete()


def _flags(job: Job) -> list[str]:
    return [f"--{_spelled(name)}" for name in FLAGS if job.options.get(name)]


def _spelled(name: str) -> str:
    return NAMES.get(name, name).replace("_", "-")
