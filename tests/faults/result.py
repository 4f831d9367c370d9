"""The outcome of a run: counts of everything, and what is not as it must be."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.deployment import Deployment
from tests.faults.tally import DELIVERED, PROGRESS, TALLY
from tests.faults.visitors import Load

CAUGHT_UP_SECONDS = 180
SETTLE_SECONDS = 2.0  # for what would be counted twice


@dataclass
class Result:
    """`problems` is empty when nothing was lost, doubled or otherwise than its visitor was told."""

    load: Load
    tally: dict[str, Any]
    starts: dict[str, int]  # of each process
    took: float
    left_out: list[str] = field(default_factory=list)  # faults that could not be made here, with the reason
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.problems += _problems(self)

    def table(self) -> str:
        """Return the figures as text."""
        load, ledger, tally = self.load, self.load.ledger, self.tally
        stored, delivered = Counter(tally["stored"]), Counter(tally["delivered"])
        rated = sum(len(films) for films in ledger.stars.values())
        lines = [
            ("acknowledged events", len(ledger.films), ""),
            (
                "acknowledged deletions and merges",
                ledger.n_forgotten + ledger.n_merged,
                f"{ledger.n_forgotten} deletions of {len(ledger.films) - len(ledger.owners)} events, "
                f"{ledger.n_merged} merges",
            ),
            (
                "stored",
                len(stored),
                f"{tally['in_rows']} in the database, {tally['in_dynamodb']} in DynamoDB",
            ),
            ("delivered to the stream", len(delivered), f"{delivered.total()} messages"),
            ("counted by popularity", sum(tally["activity"].values()), ""),
            ("processed by experiments", len(tally["experiments"]), ""),
            ("in the training feed", len(tally["feed"]), ""),
            ("lost (stored, delivered or in effect)", ledger.lost(tally), ""),
            ("duplicated (stored or in effect)", ledger.duplicated(tally), ""),
            ("wrong (stars, owners, deleted and back)", len(ledger.wrong(tally)), f"of {rated} stars"),
            ("read after a write and not seen", len(load.stale), f"of {load.n_reads} reads"),
            ("dead letters", tally["dead"], ""),
        ]
        text = "\n".join(f"{what:<40}{number:>8}  {note}".rstrip() for what, number, note in lines)
        answers = sorted(load.answers.items())
        seen = "\n".join(f"  {state:<60}{what:<44}{number:>6}" for (state, what), number in answers)
        slow = sorted(load.seconds)
        half, most = slow[len(slow) // 2] * 1000, slow[int(len(slow) * 0.99)] * 1000
        left_out = "".join(f"Not tried: {each}\n" for each in self.left_out)
        return (
            f"{text}\n\nAnswers, by what was broken:\n{seen}\n\n{left_out}"
            f"Starts: {', '.join(f'{name} {number}' for name, number in self.starts.items())}\n"
            f"Models: {tally['readiness']['checks']['models']['why']}\n"
            f"{self.took:.0f} s under load; acknowledged within {half:.0f} ms (median), {most:.0f} ms (99 %)"
        )


def wait_and_count(
    site: Deployment, load: Load, delivered: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Wait until everything has arrived, or for long enough, and return the tally.

    `delivered` was counted in a topic that is gone.
    """
    ledger, deadline = load.ledger, time.monotonic() + CAUGHT_UP_SECONDS
    while time.monotonic() < deadline and site.run(PROGRESS)["waiting"]:
        time.sleep(0.5)
    # What had its effect was delivered, so the topic itself is read once, at the end.
    tally = site.run(TALLY) | {"delivered": ledger.owners}
    while time.monotonic() < deadline and (ledger.lost(tally) or ledger.wrong(tally)):
        time.sleep(1)
        tally = site.run(TALLY) | {"delivered": ledger.owners}
    time.sleep(SETTLE_SECONDS)
    now = site.run(DELIVERED.replace("GROUP", str(time.time_ns())))
    return site.run(TALLY) | {"delivered": {**(delivered or {}), **now}}


def _problems(result: Result) -> list[str]:
    load, ledger, tally = result.load, result.load.ledger, result.tally
    found = [*load.wrong, *load.stale, *ledger.wrong(tally)]
    if lost := ledger.lost(tally):
        found.append(f"{lost} lost")
    if duplicated := ledger.duplicated(tally):
        found.append(f"{duplicated} duplicated")
    if tally["dead"]:
        found.append(f"{tally['dead']} dead letters")
    if load.unanswered:
        found.append(f"never acknowledged: {sorted(load.unanswered)[:5]} of {len(load.unanswered)}")
    if not tally["readiness"]["checks"]["models"]["ok"]:
        found.append(f"no model answers: {tally['readiness']['checks']['models']['why']}")
    if tally["ratings"] != tally["rating_rows"]:
        found.append(f"the films count {tally['ratings']} ratings, there are {tally['rating_rows']}")
    for (state, what), number in load.answers.items():
        if what == "503" and "database" not in state:
            found.append(f"{number} times 503 while {state}")
        # A request is held up with its link to the database, and a browser waits for half a minute.
        is_expected = "web worker" in state or ("Timeout" in what and "link to the database" in state)
        if what.startswith("connection lost") and not is_expected:
            found.append(f"{number} connections lost while {state}")
    return found
