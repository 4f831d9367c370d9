"""Find the API client that a command names."""

from __future__ import annotations

from django.core.management.base import CommandError

from movie.api.models import ApiClient


def client_named(name: str) -> str:
    """Return the name of a client. Raises CommandError, naming the clients, where there is none of it."""
    names = list(ApiClient.objects.values_list("slug", flat=True))
    if name in names:
        return name
    there = f"There are: {', '.join(names)}." if names else "There is none yet."
    raise CommandError(
        f"There is no API client “{name}”. {there} Make one with: manage.py api_key create {name}"
    )
