"""Labels of items (genres) and groups of users, read from a small file beside the data."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from predictors.errors import PredictorError

SEPARATOR = "|"  # between the labels of one item, as in MovieLens


class LabelError(PredictorError):
    """Raised for a file of labels that cannot be read; the message names the line."""


def read_labels(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the labels of each id: a CSV file `id,label|label` with a first line of headings.

    Raises LabelError on a file that cannot be read or a row that has not two fields.
    """
    try:
        return dict(_rows(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{path} cannot be read: {error}") from error


def _rows(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        next(rows, None)
        for row in rows:
            if len(row) != 2:
                raise LabelError(f"{path}, line {rows.line_num}: expected an id and its labels, not {row}")
            yield row[0].strip(), tuple(filter(None, (label.strip() for label in row[1].split(SEPARATOR))))


def label_matrix(labels: Mapping[str, Sequence[str]], ids: Sequence[object]) -> np.ndarray:
    """Return (n_ids, L) uint8 with 1 where an id has a label, labels in alphabetical order.

    Raises LabelError when none of the ids has a label.
    """
    names = sorted({label for each in labels.values() for label in each})
    column = {name: index for index, name in enumerate(names)}
    matrix = np.zeros((len(ids), len(names)), dtype=np.uint8)
    for row, each in enumerate(ids):
        matrix[row, [column[label] for label in labels.get(str(each), ())]] = 1
    if not matrix.any():
        raise LabelError("none of the items of the data has a label in the file of labels")
    return matrix


def user_groups(labels: Mapping[str, Sequence[str]], ids: Sequence[object]) -> np.ndarray:
    """Return the (n_ids,) name of each user's group; "" without one. Raises LabelError if nobody has one."""
    groups = np.array([SEPARATOR.join(labels.get(str(each), ())) for each in ids], dtype=object)
    if not any(groups):
        raise LabelError("none of the users of the data has a group in the file of groups")
    return groups
