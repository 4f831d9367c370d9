"""Prepares a site before it serves: tables, static files, an administrator, papers and first models."""

from __future__ import annotations

import hashlib
import secrets
from io import StringIO
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import CommandError

from movie.core.migrations import unapplied_migrations
from movie.training.registry import registry

FIRST_MODELS = ("popular", "neighbours", "linear_sequence")  # pages have lists and similar films by these
QUICK_MODELS = (*FIRST_MODELS, "transitions", "ease", "graph_filter", "mf")


def make_tables_and_files() -> None:
    """Bring the database to this version, and lay the static files out unless DEBUG serves them."""
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    if unapplied_migrations():
        call_command("migrate", verbosity=0)
    if not settings.DEBUG:
        lay_out_static_files()


def lay_out_static_files() -> None:
    """Collect the static files, unless those that lie there were made of the same ones: it takes seconds.

    The stamp of the sources is written last, so a list of files that is newer is of another collection.
    """
    digest = hashlib.blake2b(digest_size=16)
    for finder in get_finders():
        for name, storage in finder.list([]):
            found = Path(storage.path(name)).stat()
            digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    stamp, files = Path(settings.STATIC_ROOT) / ".made-of", Path(settings.STATIC_ROOT) / "staticfiles.json"
    is_whole = stamp.is_file() and files.is_file() and files.stat().st_mtime_ns <= stamp.stat().st_mtime_ns
    if is_whole and stamp.read_text() == digest.hexdigest():
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(digest.hexdigest())


def make_administrator(name: str) -> str:
    """Make the first administrator and return the password; an empty string where there is one already.

    Raises CommandError where somebody else has the name.
    """
    users = get_user_model()
    if users.objects.filter(is_superuser=True).exists():
        return ""
    if users.objects.filter(username=name).exists():
        raise CommandError(f"Somebody is called {name} and is no administrator; name another.")
    password = secrets.token_urlsafe(12)
    users.objects.create_superuser(name, password=password)
    return password


def bring_in_papers() -> str:
    """Import the paper reviews; return what is wrong with one that cannot be shown, which is left out."""
    try:
        call_command("sync_papers", verbosity=0)
    except CommandError as error:
        return str(error)
    return ""


def train_first_models(*names: str) -> None:
    """Train and activate the models of these that no version is active of, on what visitors did."""
    call_command("weigh_ratings", no_progress=True, stdout=StringIO())
    if missing := [name for name in names if not registry().store.current(name)]:
        call_command("train", *missing, from_site=True, activate=True, refit=False)
