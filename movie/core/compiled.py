"""Queries that are compiled once: for hot paths, where Django takes longer to write a statement than the
database to answer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, Field, QuerySet
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler
from django.db.transaction import TransactionManagementError

MOST_KEPT = 1_024  # values of a list


class Parameter(Expression):
    """Stands in a query for a value that each execution gives by this name."""

    def __init__(self, name: str, output_field: Field) -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        return "%s", [self]


class ListParameters:
    """Makes the parameters of `__in` while a query is built, as many as the execution has values."""

    def __init__(self, lengths: dict[str, int]) -> None:
        self._lengths = lengths

    def __call__(self, name: str, output_field: Field) -> list[Any]:
        return [Parameter(_name_of(name, n), output_field) for n in range(self._lengths[name])]


class _Compiled(NamedTuple):
    sql: str
    params: Sequence[Any]
    query: Query
    columns: Sequence[Any]


class CompiledQuery:
    """Executes a query of `values_list`, whose statement is compiled at the first execution.

    `build` returns the query, with a Parameter for each value that changes, and for each list what the given
    `ListParameters` make of its name. A list is filled up to 1, 2, 4, 8, ... values by its last one, so that
    there are few statements; beyond MOST_KEPT values a statement is made for this execution alone. With an
    empty list there are no rows, so no list may be excluded. Write `movie__id__in` for `movie__in`, which
    takes no expressions.
    """

    def __init__(self, build: Callable[[ListParameters], QuerySet[Any, Any]]) -> None:
        self._build = build
        self._compiled: dict[tuple[Any, ...], _Compiled] = {}  # by kind of database and lengths of lists

    def rows(self, **values: Any) -> list[Sequence[Any]]:
        """Return the rows for these values of the parameters.

        Raises KeyError for one that is missing, TransactionManagementError where rows are to be locked
        outside of a transaction; Django asks that only when it writes a statement.
        """
        lists = {name: _filled_up(value) for name, value in values.items() if isinstance(value, list)}
        if not all(lists.values()):
            return []
        connection = connections[DEFAULT_DB_ALIAS]  # of this thread
        for name, filled in lists.items():
            values |= {_name_of(name, n): value for n, value in enumerate(filled)}
        lengths = {name: len(filled) for name, filled in lists.items()}
        compiled = self._compiled.get((connection.vendor, *lengths.items())) or self._compile(
            lengths, connection
        )
        is_locking = compiled.query.select_for_update
        if is_locking and not connection.in_atomic_block:
            raise TransactionManagementError("rows are locked in a transaction only")
        alias = DEFAULT_DB_ALIAS if is_locking else router.db_for_read(compiled.query.get_meta().model)
        asked = connections[alias]
        params = [
            each.output_field.get_db_prep_value(values[each.name], asked)
            if isinstance(each, Parameter)
            else each
            for each in compiled.params
        ]
        with asked.cursor() as cursor:
            cursor.execute(compiled.sql, params)
            rows = cursor.fetchall()
        converters = compiled.query.get_compiler(connection=asked).get_converters(compiled.columns)
        converted = {}
        for position, (functions, expression) in converters.items():  # by column takes half as long as by row
            read = column = [row[position] for row in rows]
            if read.count(None) == len(read):  # NULL stays NULL
                continue
            for convert in functions:
                column = [convert(value, expression, asked) for value in column]
            if not all(map(is_, column, read)):
                converted[position] = column
        if not converted:  # as of columns that are empty
            return list(rows)
        columns = list(zip(*rows, strict=True))
        for position, column in converted.items():
            columns[position] = column
        return list(zip(*columns, strict=True))

    def _compile(self, lengths: dict[str, int], connection: BaseDatabaseWrapper) -> _Compiled:
        query = self._build(ListParameters(lengths)).query
        compiler = query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        compiled = _Compiled(sql, params, query, [column for column, *_ in compiler.select])
        if max(lengths.values(), default=0) <= MOST_KEPT:
            self._compiled[(connection.vendor, *lengths.items())] = compiled
        return compiled


def _filled_up(values: list[Any]) -> list[Any]:
    length = 1 << (len(values) - 1).bit_length()
    return [*values, *values[-1:] * (length - len(values))] if len(values) < MOST_KEPT else values


def _name_of(name: str, position: int) -> str:
    return f"{name}[{position}]"
