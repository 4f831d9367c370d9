"""Where a training stands, on the terminal of whoever started it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from movie.training_runs import Write
from predictors.progress import ProgressEvent


@contextmanager
def shown(model: str, *, quiet: bool) -> Iterator[Write]:
    """Show a bar on the terminal while the block runs; elsewhere write a line per epoch and validation."""
    console = Console(file=sys.stderr)
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
        written = ""

        def show(event: ProgressEvent) -> None:
            nonlocal written
            figures = "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            text = f"{event.message}  {figures}".strip()
            bar.update(task, completed=event.done, description=text)
            is_news = bool(event.message) and (bool(figures) or event.message != written)
            if is_news and not quiet and not console.is_terminal:
                written = event.message
                sys.stderr.write(f"{model}  {event.done:4.0%}  {text}\n")
                sys.stderr.flush()

        yield show
