"""Event ids: UUIDv7 strings (RFC 9562), which sort by the time they were made."""

import hashlib
import random
import re
import threading
import time
import uuid
from collections.abc import Iterator

MOST_REUSES = 32  # beyond them repeats are no longer recognised, and nothing is lost

UUID_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # as uuid.UUID prints one

_RANDOM_BITS = 62
_TIME_BITS = 12  # of the fraction of a millisecond: steps of 244 ns
_NS_PER_MS = 1_000_000


class _Clock:
    """Counts time in steps of 1/4096 ms, never the same twice in this process and never backwards."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def tick(self) -> int:
        milliseconds, rest = divmod(time.time_ns(), _NS_PER_MS)
        now = milliseconds << _TIME_BITS | (rest << _TIME_BITS) // _NS_PER_MS
        with self._lock:
            self._last = max(now, self._last + 1)
            return self._last


_clock = _Clock()


def new_event_id() -> str:
    """Return a new id, greater than every earlier one of this process (RFC 9562, 6.2, method 3)."""
    tick = _clock.tick()
    milliseconds, fraction = tick >> _TIME_BITS, tick & 0xFFF
    # An id that somebody guesses is of no use to them: a taken one is replaced (`fresh_ids`).
    bits = milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random.getrandbits(_RANDOM_BITS)
    return _text_of(bits)


def fresh_ids(event_id: str, visitor: str) -> Iterator[str]:
    """Yield the ids under which a visitor's further uses of an event id are stored, always the same ones.

    Because they do not change, a repeat of the second use is recognised as well. They keep the
    first 48 bits of the id, its milliseconds, and so sort beside it. Raises ValueError when
    `event_id` is no UUID.
    """
    milliseconds = uuid.UUID(event_id).int >> 80
    for use in range(1, MOST_REUSES + 1):
        digest = hashlib.sha256(f"{event_id}/{visitor}/{use}".encode()).digest()
        bits = int.from_bytes(digest[:16])
        yield _uuid7(milliseconds, bits >> 64 & 0xFFF, bits & ((1 << _RANDOM_BITS) - 1))


def event_id_for(seconds: float, *content: object) -> str:
    """Return the id of an event of a file: always the same for the same time (since 1970) and content."""
    digits = hashlib.sha256(repr((seconds, *content)).encode()).hexdigest()
    at, variant = int(seconds * 1000), "89ab"[int(digits[16], 16) & 3]
    # Put together as text, like `_uuid7`: a million rows of a file take five seconds less.
    return f"{at >> 16:08x}-{at & 0xFFFF:04x}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _uuid7(milliseconds: int, fraction: int, random: int) -> str:
    return _text_of(milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random)


def _text_of(bits: int) -> str:
    """Return 128 bits as uuid.UUID prints them, in a third of the time."""
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
