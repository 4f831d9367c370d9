"""A consumer processes the stream batch by batch; what it cannot process goes to the dead letters."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial

from django.db import DataError, IntegrityError

from movie.core.backoff import Backoff
from movie.core.database import retry_while_away
from movie.core.shutdown import GracefulShutdown
from movie.events.models import DeadLetter
from movie.events.stream import EventStream, EventStreamUnavailable
from movie.events.stream.base import Membership, RawMessage
from movie.events.stream.handlers import Handler
from movie.events.stream.messages import Message, decode
from movie.telemetry.counters import count_consumed, count_dead_letter

log = logging.getLogger(__name__)

# Errors that one message can be to blame for. Everything else ends the process: nothing counts as read then.
UNPROCESSABLE = (ValueError, TypeError, LookupError, ArithmeticError, IntegrityError, DataError)
LONGEST_PAUSE = 5.0  # seconds while the stream is away
LONGEST_REASON = 255
MAINTENANCE_EVERY = 15.0  # seconds


class Consumer:
    """One member of a consumer group."""

    def __init__(self, handler: Handler, stream: EventStream, member: str = "") -> None:
        self.handler, self.stream, self.member = handler, stream, member
        self.handled = 0
        self.membership = Membership(handler.group)
        count_consumed(handler.group, 0)  # known to Prometheus before the first message
        count_dead_letter(handler.group, 0)
        self._maintained_at = time.monotonic()

    def run(self, shutdown: GracefulShutdown) -> None:
        """Process batches until asked to stop; wait for a stream or a database that is away."""
        backoff, logged = Backoff(LONGEST_PAUSE), ""
        group = self.handler.group
        while not shutdown.requested():
            try:
                for batch in self.stream.consume(group, shutdown.requested, self.member, self.membership):
                    backoff.reset()
                    if logged:
                        log.info("The stream is there again")
                        logged = ""
                    if batch and retry_while_away(partial(self.process, batch), shutdown) is None:
                        break  # asked to stop before the batch had its effect: it comes again
                    if time.monotonic() - self._maintained_at > MAINTENANCE_EVERY:
                        self._maintained_at = time.monotonic()
                        retry_while_away(self.handler.maintenance, shutdown)
            except EventStreamUnavailable as error:
                self.membership.lose(str(error))
                if str(error) != logged:
                    logged = str(error)
                    log.warning("The stream is away: %s", logged)
                shutdown.wait(backoff.next_pause())

    def process(self, batch: Sequence[RawMessage]) -> int:
        """Process a batch; return the number of messages. Raises DatabaseError; then it had no effect."""
        messages: list[tuple[RawMessage, Message]] = []
        for raw in batch:
            try:
                message = decode(raw.raw)
            except UNPROCESSABLE as error:
                self._dead_letter(raw, error)
            else:
                if message is not None:
                    messages.append((raw, message))
        try:
            self.handler.handle([message for _raw, message in messages])
        except UNPROCESSABLE as error:
            log.warning("A batch of %s cannot be used as a whole: %s", self.handler.group, error)
            for raw, message in messages:
                self._process_one(raw, message)
        self.handled += len(messages)
        count_consumed(self.handler.group, len(messages))
        return len(messages)

    def _process_one(self, raw: RawMessage, message: Message) -> None:
        try:
            self.handler.handle([message])
        except UNPROCESSABLE as error:
            self._dead_letter(raw, error)

    def _dead_letter(self, raw: RawMessage, error: Exception) -> None:
        count_dead_letter(self.handler.group)
        reason = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        log.warning("%s cannot use %s: %s", self.handler.group, raw.position, reason)
        text = (raw.raw or b"").decode("utf-8", errors="replace").replace("\x00", "\ufffd")
        DeadLetter.objects.update_or_create(
            group=self.handler.group, position=raw.position, defaults={"raw": text, "reason": reason}
        )
