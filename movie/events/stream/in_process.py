"""The stream within one process: messages are handled at once, in the caller's transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from movie.events.stream.base import Batch, EventStream, Membership, RawMessage, Stop
from movie.events.stream.messages import Message, encode

PAUSE = 0.05  # seconds between looks for more


class InProcessEventStream(EventStream):
    """Handles messages at once; with `keep` it stores them, so that groups can consume them, as tests do."""

    uses_outbox = False

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._kept: list[bytes] = []
        self._read: dict[str, int] = {}

    def publish(self, messages: Sequence[Message]) -> None:
        from movie.events.stream.handlers import handle_in_process

        handle_in_process(messages)
        if self._keep:
            self._kept += map(encode, messages)

    def consume(
        self, group: str, stop: Stop, member: str = "", membership: Membership | None = None
    ) -> Iterator[Batch]:
        membership = membership or Membership(group)
        while not stop():
            start, end = self._read.get(group, 0), len(self._kept)
            yield [RawMessage(raw, f"local:{start + n}") for n, raw in enumerate(self._kept[start:end])]
            self._read[group] = end
            membership.hold(1, len(self._kept) - end)
            if start != end:
                membership.commit()
            if start == end:
                time.sleep(PAUSE)
