"""What a site needs before it serves: tables, static files, an administrator, papers and first models."""

from __future__ import annotations

import secrets
from io import StringIO

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError

from movie.training.registry import registry

QUICK_MODELS = ("popular", "neighbours", "transitions", "linear_sequence", "ease", "graph_filter", "mf")


def make_tables_and_files() -> None:
    """Bring the database to this version, and lay the static files out unless DEBUG serves them."""
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0)
    if not settings.DEBUG:
        call_command("collectstatic", interactive=False, verbosity=0)


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
