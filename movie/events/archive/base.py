"""The contract of every archive of old clicks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from predictors.history import Interaction


class ArchiveUnavailable(Exception):
    """The archive cannot be read or written now; nothing is lost, and a later try may succeed."""


@dataclass(frozen=True, slots=True)
class Archived:
    """A click or an impression with the time at which the database recorded it."""

    interaction: Interaction
    recorded_at: datetime

    def of(self, visitor: str) -> Archived:
        """Return the same event under another visitor."""
        return replace(self, interaction=self.interaction._replace(visitor=visitor))


class ClickArchive(ABC):
    """Stores clicks and impressions outside the database, by visitor; no decision depends on them.

    Relays write and delete, pages read. Threads share it. Every method raises ArchiveUnavailable.
    """

    uses_outbox: bool  # whether events wait in the outbox for `manage.py relay_events`

    @abstractmethod
    def write(self, events: Sequence[Archived]) -> None:
        """Store events; one that is written again replaces itself."""

    @abstractmethod
    def read(self, visitor: str | None = None, *, latest_clicks: int | None = None) -> Iterator[Archived]:
        """Yield everything of a visitor, in any order; of everybody without one.

        With `latest_clicks` only so many clicks, newest first, from one bounded query.
        """

    @abstractmethod
    def delete(self, events: Sequence[Archived]) -> None:
        """Delete events; one that is not there is no error."""
