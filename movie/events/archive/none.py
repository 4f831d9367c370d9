"""No archive: the database keeps every event, so there is nothing to copy or to fetch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from movie.events.archive.base import Archived, ClickArchive


class NoArchive(ClickArchive):
    uses_outbox = False

    def write(self, events: Sequence[Archived]) -> None:
        """Do nothing."""

    def read(self, visitor: str | None = None, *, latest_clicks: int | None = None) -> Iterator[Archived]:
        return iter(())

    def delete(self, events: Sequence[Archived]) -> None:
        """Do nothing."""
