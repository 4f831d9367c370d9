"""Checks of the site that remember nothing of another test."""

from movie.core import migrations
from movie.operations import health


def forget_checks() -> None:
    for value in (health._readiness, health._write, health._backlog, health._click_archive):
        value.clear()
    migrations._migrations_on_disk.cache_clear()
    health._last_status.value = "ready"
