"""What a stream of interactions must do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from movie.events.stream.messages import Message


class EventStreamUnavailable(Exception):
    """The stream cannot be written or read now. Nothing is lost; later is better."""


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as it came, not yet understood, and where from."""

    raw: bytes
    position: str  # topic, partition and offset, for people to read


Batch = Sequence[RawMessage]
Stop = Callable[[], bool]


class EventStream(ABC):
    """At least once, to every group of consumers, in no order that anybody may rely on."""

    uses_outbox: bool  # whether rows wait in the outbox for `manage.py relay_events`

    @abstractmethod
    def publish(self, messages: Sequence[Message]) -> None:
        """Returns once all of them are safe. Raises EventStreamUnavailable; then some may be there."""

    @abstractmethod
    def consume(self, group: str, stop: Stop, member: str = "") -> Iterator[Batch]:
        """Batches for a member of this group, until `stop` says so.

        A member with a name, which no other running one has, gets its share back at once when it is
        started again; for others the group waits first whether they come back.

        Asking for the next batch says that the one before has had its effect: only then it counts as
        read. Now and then a batch is empty. Raises EventStreamUnavailable.
        """

    def close(self) -> None:  # noqa: B027 - most have none
        """Let go of connections; they are made again when needed."""
