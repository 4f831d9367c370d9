"""What was acknowledged to whom, and so what must be stored, delivered and counted."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Ledger:
    """Acknowledged events, deletions and merges of all visitors together, by their ids on the site."""

    films: dict[str, int] = field(default_factory=dict)  # event id -> film, of all acknowledged events
    owners: dict[str, str] = field(default_factory=dict)  # event id -> visitor, of those that must be kept
    stars: dict[str, dict[int, float | None]] = field(default_factory=dict)  # visitor -> film -> last stars
    n_forgotten: int = 0  # deletions that were acknowledged
    n_merged: int = 0  # merges
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, visitor: str, event_id: str, film: int) -> None:
        with self.lock:
            self.films[event_id], self.owners[event_id] = film, visitor

    def rate(self, visitor: str, film: int, stars: float | None) -> None:
        with self.lock:
            self.stars.setdefault(visitor, {})[film] = stars

    def forget(self, visitor: str, film: int | None = None) -> None:
        with self.lock:
            for event_id, owner in list(self.owners.items()):
                if owner == visitor and film in (None, self.films[event_id]):
                    del self.owners[event_id]
            of_visitor = self.stars.get(visitor, {})
            for each in list(of_visitor) if film is None else [film]:
                of_visitor.pop(each, None)
            self.n_forgotten += 1

    def merge(self, guest: str, user: str) -> None:
        with self.lock:
            for event_id, owner in self.owners.items():
                if owner == guest:
                    self.owners[event_id] = user
            if guest in self.stars:
                self.stars.setdefault(user, {}).update(self.stars.pop(guest))
            self.n_merged += 1

    # -- what the tally says otherwise ------------------------------------------------------------

    def lost(self, tally: dict[str, Any]) -> int:
        """Count what should be somewhere and is not: stored, delivered, in the feed, in effect."""
        kept = set(self.owners)
        places = [tally["stored"], tally["delivered"], tally["feed"], tally["experiments"]]
        return (
            sum(len(kept - set(place)) for place in places)
            + (Counter(str(self.films[each]) for each in kept) - Counter(tally["activity"])).total()
        )

    def duplicated(self, tally: dict[str, Any]) -> int:
        """Count what is stored or in effect more than once, or was never acknowledged."""
        again = sum(n - 1 for n in (*tally["stored"].values(), *tally["feed"].values()))
        extra = len(set(tally["stored"]) - set(self.films))
        most = Counter(str(film) for film in self.films.values())
        return again + extra + (Counter(tally["activity"]) - most).total()

    def wrong(self, tally: dict[str, Any]) -> list[str]:
        """Return what is not as its visitor was told: stars, owners, and what was forgotten and is back."""
        found = []
        for visitor in {*self.stars, *tally["stars"]}:
            expected = {str(film): n for film, n in self.stars.get(visitor, {}).items() if n is not None}
            stored = tally["stars"].get(visitor, {})
            found += [
                f"{visitor}, film {film}: {stored.get(film)} stars in place of {expected.get(film)}"
                for film in sorted({*expected, *stored})
                if expected.get(film) != stored.get(film)
            ]
        for where in ("owners", "feed_owners"):
            found += [
                f"{event_id} is of {owner} in {where}, not of {self.owners[event_id]}"
                for event_id, owner in tally[where].items()
                if self.owners.get(event_id, owner) != owner
            ]
            forgotten = set(self.films) - set(self.owners)
            found += [
                f"{event_id} was forgotten, and is in {where}" for event_id in forgotten & set(tally[where])
            ]
        return found
