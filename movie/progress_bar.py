"""Where a training stands, on the terminal of whoever started it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from movie.training_runs import Write
from predictors.progress import ProgressEvent

SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def shown(model: str, *, quiet: bool) -> Iterator[Write]:
    """Draw a bar on the terminal while the block runs; elsewhere, print a line now and then.

    No more than one line in SECONDS_BETWEEN_LINES: a log stays readable and never silent for minutes.
    """
    console = Console(file=sys.stderr)
    last_line = -SECONDS_BETWEEN_LINES
    columns = (TextColumn("{task.fields[model]}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(
        *columns,
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=1.0, model=model)

        def show(event: ProgressEvent) -> None:
            figures = "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            said = f"{event.message}  {figures}".strip()
            bar.update(task, completed=event.done, description=said)
            nonlocal last_line
            now = time.monotonic()
            if not console.is_terminal and not quiet and said and now - last_line >= SECONDS_BETWEEN_LINES:
                last_line = now
                sys.stderr.write(f"{model} {event.done:4.0%}  {said}\n")

        yield show
