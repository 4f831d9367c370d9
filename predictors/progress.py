"""Progress events: long work reports its state without knowing the observers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """`done` runs from 0 to 1; `metrics` holds the latest figures by name."""

    done: float
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


Progress = Callable[[ProgressEvent], None]


def silent(event: ProgressEvent) -> None:
    """Ignore all progress."""
