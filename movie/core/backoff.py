"""Pauses between tries that grow, so that a service that comes back is not overrun."""

from __future__ import annotations

import random

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds
DOUBLINGS = 16  # of the first pause at most: 3.6 hours


class Backoff:
    """Doubles the pause with every failure in a row, up to a limit; jitter spreads several processes."""

    def __init__(self, longest: float = LONGEST_PAUSE) -> None:
        self.longest = longest  # seconds
        self.failures = 0  # in a row

    def reset(self) -> None:
        self.failures = 0

    def next_pause(self) -> float:
        """Count a failure and return the seconds to pause."""
        pause = min(self.longest, FIRST_PAUSE * 2 ** min(self.failures, DOUBLINGS))
        self.failures += 1
        return random.uniform(pause / 2, pause)  # noqa: S311 - jitter
