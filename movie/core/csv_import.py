"""Check the rows of an admin's CSV file without a write, and import the good ones batch by batch."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.encoding import force_str
from import_export import fields, resources
from import_export.results import Result, RowResult
from import_export.widgets import ManyToManyWidget
from tablib import Dataset

from movie.core.spreadsheets import neutralize, restore

MOST_ROWS = 20_000
CHECKED_AT_ONCE = 250  # rows, for which what they name is looked up together: some 30 ms
SHOWN = 100  # rows of each kind on a page
REASON = "reason"  # the column of the file of rejected rows

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    number: int
    reasons: list[str]
    cells: list[str]


@dataclass(slots=True)
class Preview:
    """Tells what an import would do; nothing was written for it."""

    headers: list[str]  # of the file
    columns: list[str] = field(default_factory=list)  # of `changes`
    totals: Counter[str] = field(default_factory=Counter)  # rows by `RowResult.import_type`
    changes: list[tuple[int, str, list[str]]] = field(default_factory=list)  # number, type, cells; the first
    rejected: list[RejectedRow] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)  # what would be made besides: new genres, unknown ids
    errors: list[str] = field(default_factory=list)  # of the whole file

    @property
    def n_new(self) -> int:
        return self.totals[RowResult.IMPORT_TYPE_NEW]

    @property
    def n_changed(self) -> int:
        return self.totals[RowResult.IMPORT_TYPE_UPDATE]

    @property
    def n_unchanged(self) -> int:
        return self.totals[RowResult.IMPORT_TYPE_SKIP]

    @property
    def n_importable(self) -> int:
        return self.n_new + self.n_changed

    @property
    def rejected_shown(self) -> list[RejectedRow]:
        return self.rejected[:SHOWN]

    def rejected_csv(self) -> str:
        """Return the rejected rows as a file to correct and send again, with the reason in a last column."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([*self.headers, REASON])
        writer.writerows(map(neutralize, (*row.cells, " ".join(row.reasons))) for row in self.rejected)
        return text.getvalue()


class BatchResource(resources.ModelResource):
    """Imports a model's rows. One object handles a few hundred rows, which it looks up together.

    A subclass looks up in `prepare` what the rows name, and finds a row's own object in `get_instance`.
    """

    is_preview = False

    class Meta:
        clean_model_instances = True
        report_skipped = True
        skip_diff = True  # it copies every object; `skip_row` compares the cells

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.notices: dict[str, None] = {}  # in order, each once
        self._headers: list[str] = []  # of the file
        self._before: dict[str, str] = {}

    def export_field(self, field: fields.Field, instance: Any, **kwargs: Any) -> Any:
        """Return the cell to export, which no spreadsheet takes for a formula."""
        value = super().export_field(field, instance, **kwargs)
        return neutralize(value) if isinstance(value, str) else value

    def before_import_row(self, row: Row, **kwargs: Any) -> None:
        super().before_import_row(row, **kwargs)
        for name, value in row.items():
            if isinstance(value, str):
                row[name] = restore(value)

    def prepare(self, rows: Sequence[Row]) -> None:
        """Look up what these rows name, in few queries."""

    def cell_of(self, field: fields.Field, instance: Any, row: Row) -> str:
        """Return the cell of a field as the row, which was read into the instance, would leave it."""
        return str(field.export(instance) or "")

    # -- what django-import-export calls ------------------------------------------------------------

    def before_import(self, dataset: Dataset, **kwargs: Any) -> None:
        self._headers = list(dataset.headers or ())
        self.prepare([dict(zip(self._headers, row, strict=False)) for row in dataset])

    def after_init_instance(self, instance: Any, new: bool, row: Row, **kwargs: Any) -> None:
        self._before = {} if new else self._cells(instance, row, stored=True)

    def import_instance(self, instance: Any, row: Row, **kwargs: Any) -> None:
        errors: dict[str, Any] = {}
        try:
            super().import_instance(instance, row, **kwargs)
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        for each in self._fields_in(row):  # else these are read after everything is saved
            if isinstance(each.widget, ManyToManyWidget):
                try:
                    each.clean(row, **kwargs)
                except ValueError as error:
                    errors[each.attribute] = ValidationError(force_str(error), code="invalid")
        if errors:
            raise ValidationError(errors)

    def skip_row(
        self, instance: Any, original: Any, row: Row, import_validation_errors: dict | None = None
    ) -> bool:
        if import_validation_errors or not self._before:
            return False
        return self._before == self._cells(instance, row)

    def import_row(self, row: Row, instance_loader: object, **kwargs: Any) -> RowResult:
        if self.is_preview:
            result = super().import_row(row, instance_loader, **kwargs)
        else:
            with transaction.atomic():  # of a row that fails nothing stays
                result = super().import_row(row, instance_loader, **kwargs)
                if not result.is_valid():
                    transaction.set_rollback(True)
        return result

    def after_import_row(self, row: Row, row_result: RowResult, **kwargs: Any) -> None:
        if self.is_preview and not row_result.is_skip():
            row_result.diff = [
                f"{before} → {after}" if before and before != after else after
                for each in self._fields_in(row)
                if each.column_name in self._headers
                for before, after in [self._shown(each, row)]
            ]

    def _shown(self, each: fields.Field, row: Row) -> tuple[str, str]:
        name = each.column_name
        before = self._before.get(name, "")
        return before, str(row.get(name, before) or "")

    def _fields_in(self, row: Row) -> list[fields.Field]:
        return [each for each in self.get_import_fields() if each.column_name in row]

    def _cells(self, instance: Any, row: Row, *, stored: bool = False) -> dict[str, str]:
        return {
            each.column_name: str(each.export(instance) or "")
            if stored
            else self.cell_of(each, instance, row)
            for each in self._fields_in(row)
        }


def check_rows(resource_class: type[BatchResource], dataset: Dataset, **kwargs: Any) -> Preview:
    """Return what an import of these rows would do. It reads alone: no transaction, no lock.

    It pauses for as long as it works, for the visitors whom the same process serves.
    """
    preview = Preview([force_str(header) for header in dataset.headers or ()])
    notices: dict[str, None] = {}
    for start, rows in _slices(dataset):
        began = time.perf_counter()
        resource = resource_class(**kwargs)
        resource.is_preview = True
        result = resource.import_data_inner(
            Dataset(*rows, headers=dataset.headers), dry_run=True, raise_errors=False,
            using_transactions=False, collect_failed_rows=False,
        )  # fmt: skip
        if result.base_errors:
            preview.errors = [str(error.error) for error in result.base_errors]
            return preview
        preview.columns = [name for name in result.diff_headers if name in preview.headers]
        preview.totals.update(result.totals)
        preview.rejected += rejected_rows(result, rows, start)
        for number, row in enumerate(result.rows, start + 1):
            if row.is_valid() and not row.is_skip() and len(preview.changes) < SHOWN:
                preview.changes.append((number, row.import_type, row.diff))
        notices |= resource.notices
        time.sleep(time.perf_counter() - began)
    preview.notices = list(notices)
    return preview


def rejected_rows(result: Result, rows: Sequence[Sequence[Any]], start: int) -> Iterator[RejectedRow]:
    """Yield the rows of a result that cannot be used, with their reasons and their cells as they came."""
    for index, row in enumerate(result.rows):
        if row.is_valid():
            continue
        reasons = [str(error.error) for error in row.errors]
        if row.validation_error is not None:
            reasons += _reasons(row.validation_error)
        cells = [force_str(cell if cell is not None else "") for cell in rows[index]]
        yield RejectedRow(start + index + 1, reasons, cells)


def _reasons(error: ValidationError) -> list[str]:
    if not hasattr(error, "error_dict"):
        return list(error.messages)
    named: Mapping[str, Iterable[str]] = error.message_dict
    return [
        text if name == "__all__" else f"{name}: {text}" for name, texts in named.items() for text in texts
    ]


def _slices(dataset: Dataset) -> Iterator[tuple[int, list[Sequence[Any]]]]:
    rows = iter(dataset)
    start = 0
    while some := list(islice(rows, CHECKED_AT_ONCE)):
        yield start, some
        start += len(some)
    if not start:
        yield 0, []
