"""The contract of every event stream."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from movie.events.stream.messages import Message
from movie.telemetry.counters import observe_consumer

WITHOUT_PARTITION_SECONDS = 30.0  # a rebalance of a group takes less


class EventStreamUnavailable(Exception):
    """The stream cannot be written or read now; nothing is lost, and a later try may succeed."""


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as received, before decoding, with its position."""

    raw: bytes
    position: str  # topic, partition and offset, for people to read


Batch = Sequence[RawMessage]
Stop = Callable[[], bool]


@dataclass
class Membership:
    """A member's share of its consumer group, for its log, its metrics and its readiness."""

    group: str
    partitions: int = 0
    lag: int = 0  # messages that the member's partitions hold and the member has not read
    committed_at: float = 0.0  # Unix time
    problem: str = ""  # the last known reason for holding no partition
    _held_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._observe()

    def hold(self, partitions: int, lag: int) -> None:
        """Note that the member holds these partitions now."""
        self._held_at, self.problem = time.monotonic(), ""
        if (partitions, lag) != (self.partitions, self.lag):
            self.partitions, self.lag = partitions, lag
            self._observe()

    def lose(self, problem: str) -> None:
        """Note that the member holds no partition now, and why."""
        self.problem = problem
        if self.partitions:
            self.partitions = self.lag = 0
            self._observe()

    def commit(self) -> None:
        """Note that the group's offsets are committed now."""
        self.committed_at = time.time()
        self._observe()

    def why_not_ready(self) -> str:
        """Return why the member has held no partition for half a minute, or an empty string."""
        if time.monotonic() - self._held_at < WITHOUT_PARTITION_SECONDS:
            return ""
        return f"holds no partition: {self.problem or 'the group has not given it one yet'}"

    def _observe(self) -> None:
        observe_consumer(self.group, self.partitions, self.lag, self.committed_at)


class EventStream(ABC):
    """Delivers each message at least once to every consumer group, in no guaranteed order."""

    uses_outbox: bool  # whether rows wait in the outbox for `manage.py relay_events`

    @abstractmethod
    def publish(self, messages: Sequence[Message]) -> None:
        """Publish messages and return once all of them are stored. Raises EventStreamUnavailable; then some
        may be there.
        """

    @abstractmethod
    def consume(
        self, group: str, stop: Stop, member: str = "", membership: Membership | None = None
    ) -> Iterator[Batch]:
        """Yield batches for a member of this group until `stop` returns True; keep `membership` up to date.

        A member with a name, which no other running one has, gets its share back at once when it is
        started again; for others the group waits first whether they come back.

        Asking for the next batch says that the one before has had its effect: only then it counts as
        read. Now and then a batch is empty. Raises EventStreamUnavailable.
        """

    def warnings(self) -> list[str]:
        """Return what an operator should change about the stream. Raises EventStreamUnavailable."""
        return []

    def close(self) -> None:  # noqa: B027 - most have none
        """Let go of connections; they are made again when needed."""
