"""From the stream to its effects: batch by batch, and whatever cannot be used into the dead letters."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence

from django.db import DatabaseError, DataError, IntegrityError, connection

from movie.database import is_away
from movie.event_stream import EventStream, EventStreamUnavailable
from movie.event_stream.base import Arrived
from movie.event_stream.handlers import Handler
from movie.event_stream.messages import Message, decode
from movie.metrics.counting import count_consumed, count_dead_letter
from movie.stopping import Stopping
from movie.stream_models import DeadLetter

log = logging.getLogger(__name__)

# What one message can be to blame for. Everything else ends the process: nothing counts as read then.
POISON = (ValueError, TypeError, LookupError, ArithmeticError, IntegrityError, DataError)
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds
LONGEST_REASON = 255
TIDY_EVERY = 15.0  # seconds


class Consumer:
    """One member of a group."""

    def __init__(self, handler: Handler, stream: EventStream, member: str = "") -> None:
        self.handler, self.stream, self.member = handler, stream, member
        self.handled = 0
        count_consumed(handler.group, 0)  # known to Prometheus before the first message
        count_dead_letter(handler.group, 0)
        self._tidied_at = time.monotonic()

    def run(self, stopping: Stopping) -> None:
        """Handle what comes until asked to stop; wait for a stream or a database that is away."""
        pause = FIRST_PAUSE
        while not stopping.asked():
            try:
                for batch in self.stream.consume(self.handler.group, stopping.asked, self.member):
                    pause = FIRST_PAUSE
                    if not self._take_when_there(batch, stopping):
                        break  # asked to stop before the batch had its effect: it comes again
                    if time.monotonic() - self._tidied_at > TIDY_EVERY:
                        self._tidied_at = time.monotonic()
                        self._while_there(self.handler.tidy)
            except EventStreamUnavailable as error:
                log.warning("The stream is away: %s", error)
                stopping.wait(random.uniform(pause / 2, pause))  # noqa: S311 - jitter
                pause = min(LONGEST_PAUSE, 2 * pause)

    def take(self, batch: Sequence[Arrived]) -> None:
        """Let a batch have its effect. Raises DatabaseError; then it had none."""
        messages: list[tuple[Arrived, Message]] = []
        for arrived in batch:
            try:
                message = decode(arrived.raw)
            except POISON as error:
                self._bury(arrived, error)
            else:
                if message is not None:
                    messages.append((arrived, message))
        try:
            self.handler.handle([message for _arrived, message in messages])
        except POISON as error:
            log.warning("A batch of %s cannot be used as a whole: %s", self.handler.group, error)
            for arrived, message in messages:
                self._take_one(arrived, message)
        self.handled += len(messages)
        count_consumed(self.handler.group, len(messages))

    def _take_one(self, arrived: Arrived, message: Message) -> None:
        try:
            self.handler.handle([message])
        except POISON as error:
            self._bury(arrived, error)

    def _bury(self, arrived: Arrived, error: Exception) -> None:
        count_dead_letter(self.handler.group)
        reason = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        log.warning("%s cannot use %s: %s", self.handler.group, arrived.place, reason)
        raw = (arrived.raw or b"").decode("utf-8", errors="replace").replace("\x00", "\ufffd")
        DeadLetter.objects.update_or_create(
            group=self.handler.group, place=arrived.place, defaults={"raw": raw, "reason": reason}
        )

    def _take_when_there(self, batch: Sequence[Arrived], stopping: Stopping) -> bool:
        pause = FIRST_PAUSE
        while batch:
            if self._while_there(lambda: self.take(batch)):
                break
            if stopping.wait(random.uniform(pause / 2, pause)):  # noqa: S311 - jitter
                return False
            pause = min(LONGEST_PAUSE, 2 * pause)
        return True

    def _while_there(self, work: Callable[[], None]) -> bool:
        """Do it, unless the database is away."""
        try:
            work()
        except DatabaseError as error:
            if not is_away(error):
                raise
            log.warning("The database is away: %s", error)
            connection.close()
            return False
        return True
