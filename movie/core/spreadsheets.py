"""Keep spreadsheets from taking cells of CSV files for formulas.

A spreadsheet calculates a cell that begins with one of FORMULA, whoever wrote it. An apostrophe before it
makes it text; the importers take the apostrophe away again.
"""

from __future__ import annotations

FORMULA = ("=", "+", "-", "@", "\t", "\r")
MARK = "'"


def neutralize(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return MARK + text if _is_formula(text) else text


def restore(text: str) -> str:
    """Return the text that `neutralize` was given."""
    return text[1:] if text.startswith(MARK) and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    """Return whether text begins with a formula, or with apostrophes and then one."""
    return text.lstrip(MARK).startswith(FORMULA)
