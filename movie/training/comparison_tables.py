"""Turn a stored comparison of defaults into tables and one sentence for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from movie.training.models import DefaultComparison

SIGNS = "difference to the default (paired 95 % interval)"


def comparison_tables(comparison: DefaultComparison) -> Iterator[Table]:
    """Yield the balance over all lengths, then the figures of each length."""
    table = _table("Balance of both questions", ("balance", SIGNS, "films two lists share"))
    for row in comparison.tables["models"]:
        table.add_row(
            row["model"],
            f"{row['balance']:.3f}",
            _difference(row["difference"], is_default=row["model"] == comparison.default),
            f"{row['shared']:.0%}",
        )
    yield table
    for length in comparison.tables["lengths"]:
        title = f"After {length['n']} films, {length['visitors']} visitors: NDCG@10"
        table = _table(title, ("the next film", SIGNS, "all later films", SIGNS))
        for row in length["rows"]:
            cells = []
            for part in ("next", "later"):
                is_default = row["model"] == comparison.default
                cells += [f"{row[part]:.4f}", _difference(row["differences"][part], is_default=is_default)]
            table.add_row(row["model"], *cells)
        yield table


def comparison_sentence(comparison: DefaultComparison) -> str:
    """Say what the figures speak for."""
    left_out = "".join(
        f"{name} could not be trained: {reason}\n" for name, reason in comparison.tables["left_out"].items()
    )
    if comparison.proposed == comparison.default:
        return f"{left_out}Proposed: {comparison.default}, as it is. No other is clearly better."
    return (
        f"{left_out}Proposed: {comparison.proposed} in the place of {comparison.default}. "
        "Nothing was switched; the default is set in the admin or by DEFAULT_MODELS."
    )


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column("model", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _difference(difference: Sequence[Any], *, is_default: bool) -> str:
    value, low, high = difference
    return "-" if is_default else f"{value:+.4f} ({low:+.4f} to {high:+.4f})"
