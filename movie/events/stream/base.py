"""The contract of every event stream."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from movie.events.stream.messages import Message


class EventStreamUnavailable(Exception):
    """The stream cannot be written or read now; nothing is lost, and a later try may succeed."""


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as received, before decoding, with its position."""

    raw: bytes
    position: str  # topic, partition and offset, for people to read


Batch = Sequence[RawMessage]
Stop = Callable[[], bool]


class EventStream(ABC):
    """Delivers each message at least once to every consumer group, in no guaranteed order."""

    uses_outbox: bool  # whether rows wait in the outbox for `manage.py relay_events`

    @abstractmethod
    def publish(self, messages: Sequence[Message]) -> None:
        """Publish messages and return once all of them are stored. Raises EventStreamUnavailable; then some
        may be there.
        """

    @abstractmethod
    def consume(self, group: str, stop: Stop, member: str = "") -> Iterator[Batch]:
        """Yield batches for a member of this group until `stop` returns True.

        A member with a name, which no other running one has, gets its share back at once when it is
        started again; for others the group waits first whether they come back.

        Asking for the next batch says that the one before has had its effect: only then it counts as
        read. Now and then a batch is empty. Raises EventStreamUnavailable.
        """

    def close(self) -> None:  # noqa: B027 - most have none
        """Let go of connections; they are made again when needed."""
