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
    """Stands in a query for a value, or for one of a list, that each execution gives by this name."""

    def __init__(self, name: str, output_field: Field, position: int | None = None) -> None:
        super().__init__(output_field=output_field)
        self.name, self.position = name, position

    def as_sql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        return "%s", [self]


class ListParameters:
    """Makes the parameters of `__in` while a query is built, as many as the execution has values."""

    def __init__(self, lengths: dict[str, int]) -> None:
        self._lengths = lengths

    def __call__(self, name: str, output_field: Field) -> list[Any]:
        return [Parameter(name, output_field, position) for position in range(self._lengths[name])]


class _Compiled(NamedTuple):
    sql: str
    params: Sequence[Any]  # None where a value of an execution goes
    slots: Sequence[tuple[int, str, int | None]]  # where such a value goes, its name, its position in a list
    fields: dict[str, Field]  # by name
    query: Query
    converted: dict[int, Any]  # columns by position whose values are converted when they are read


class CompiledQuery:
    """Executes a query of `values_list`, whose statement is compiled at the first execution.

    `build` returns the query, with a Parameter for each value that changes, and for each list what the given
    `ListParameters` make of its name. A list is filled up to 1, 2, 4, 8, ... values by its last one, so that
    there are few statements; beyond MOST_KEPT values a statement is made for this execution alone. With an
    empty list there are no rows, so no list may be excluded. Write `movie__id__in` for `movie__in`, which
    takes no expressions.

    `in_order` has MySQL join the tables in the order in which the query names them. Else it may read all of a
    small table and sort, where the index of the first table has the order and LIMIT ends early.
    """

    def __init__(
        self, build: Callable[[ListParameters], QuerySet[Any, Any]], *, in_order: bool = False
    ) -> None:
        self._build, self._in_order = build, in_order
        self._compiled: dict[tuple[Any, ...], _Compiled] = {}  # by kind of database and lengths of lists

    def rows(self, **values: Any) -> list[Sequence[Any]]:
        """Return the rows for these values of the parameters.

        Raises KeyError for one that is missing, TransactionManagementError where rows are to be locked
        outside of a transaction; Django asks that only when it writes a statement.
        """
        lists = {name: value for name, value in values.items() if isinstance(value, list)}
        if not all(lists.values()):
            return []
        connection = connections[DEFAULT_DB_ALIAS]  # of this thread
        lengths = {name: _length_for(len(value)) for name, value in lists.items()}
        compiled = self._compiled.get((connection.vendor, *lengths.items())) or self._compile(
            lengths, connection
        )
        is_locking = compiled.query.select_for_update
        if is_locking and not connection.in_atomic_block:
            raise TransactionManagementError("rows are locked in a transaction only")
        alias = DEFAULT_DB_ALIAS if is_locking else router.db_for_read(compiled.query.get_meta().model)
        asked = connections[alias]
        with asked.cursor() as cursor:
            cursor.execute(compiled.sql, _params(compiled, values, lengths, asked))
            rows = cursor.fetchall()
        if not (rows and compiled.converted):
            return list(rows)
        positions = list(compiled.converted)
        converters = compiled.query.get_compiler(connection=asked).get_converters(compiled.converted.values())
        converted = {}
        for n, (functions, expression) in converters.items():  # by column takes half as long as by row
            read = column = [row[positions[n]] for row in rows]
            if read.count(None) == len(read):  # NULL stays NULL
                continue
            for convert in functions:
                column = [convert(value, expression, asked) for value in column]
            if not all(map(is_, column, read)):
                converted[positions[n]] = column
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
        if self._in_order and connection.vendor == "mysql":
            sql = sql.replace("SELECT ", "SELECT STRAIGHT_JOIN ", 1)
        columns = [column for column, *_ in compiler.select]
        fields: dict[str, Field] = {}
        for each in params:
            if isinstance(each, Parameter):
                field = fields.setdefault(each.name, each.output_field)
                if type(field) is not type(each.output_field):
                    raise TypeError(f"{each.name} is a value of two types of fields")
        compiled = _Compiled(
            sql,
            [None if isinstance(each, Parameter) else each for each in params],
            [(n, each.name, each.position) for n, each in enumerate(params) if isinstance(each, Parameter)],
            fields,
            query,
            {position: columns[position] for position in compiler.get_converters(columns)},
        )
        if max(lengths.values(), default=0) <= MOST_KEPT:
            self._compiled[(connection.vendor, *lengths.items())] = compiled
        return compiled


def _params(
    compiled: _Compiled, values: dict[str, Any], lengths: dict[str, int], connection: BaseDatabaseWrapper
) -> list[Any]:
    """Return the parameters of a statement: each value as the database takes it, lists filled up."""
    ready: dict[str, Any] = {}
    for name, field in compiled.fields.items():
        if name in lengths:
            some = [field.get_db_prep_value(value, connection) for value in values[name]]
            ready[name] = some + some[-1:] * (lengths[name] - len(some))
        else:
            ready[name] = field.get_db_prep_value(values[name], connection)
    params = list(compiled.params)
    for n, name, position in compiled.slots:
        params[n] = ready[name] if position is None else ready[name][position]
    return params


def _length_for(n_values: int) -> int:
    """Return how many values the statement for so many has: the next power of two, so that there are few."""
    return 1 << (n_values - 1).bit_length() if n_values < MOST_KEPT else n_values
