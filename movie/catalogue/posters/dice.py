"""Random numbers that follow from a text."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


class Dice:
    """Draws numbers that follow from a text and are the same on every machine."""

    def __init__(self, *facts: object) -> None:
        self._seed = "\x1f".join(str(fact) for fact in facts).encode()
        self._bytes = b""
        self._at = self._round = 0

    def _next(self) -> int:
        if self._at + 2 > len(self._bytes):
            self._bytes = hashlib.blake2b(self._seed, salt=bytes([self._round])).digest()
            self._at, self._round = 0, self._round + 1
        self._at += 2
        return int.from_bytes(self._bytes[self._at - 2 : self._at])

    def below(self, count: int) -> int:
        return self._next() % count

    def between(self, low: int, high: int) -> int:
        """Draw a whole number from low to high, both included."""
        return low + self._next() % (high - low + 1)

    def choice(self, things: Sequence[Thing]) -> Thing:
        return things[self.below(len(things))]
