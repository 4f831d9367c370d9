"""Queries that are compiled once: for hot paths, where Django takes longer to write a statement than the
database to answer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Expression, Field, QuerySet
from django.db.models.sql.compiler import SQLCompiler


class Parameter(Expression):
    """Stands in a query for a value that each execution gives by this name."""

    def __init__(self, name: str, output_field: Field) -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        return "%s", [self]


def parameters(name: str, n: int, output_field: Field) -> list[Any]:
    """Return parameters for `__in`, of which `padded` fills the values."""
    return [Parameter(f"{name}{position}", output_field) for position in range(n)]


def padded(name: str, n: int, values: Sequence[Any]) -> dict[str, Any]:
    """Return values by the names of `parameters`: the last one is repeated, and None stands for nothing."""
    filled = [*values, *[values[-1] if values else None] * (n - len(values))]
    return {f"{name}{position}": value for position, value in enumerate(filled)}


class _Compiled(NamedTuple):
    sql: str
    params: Sequence[Any]
    compiler: SQLCompiler
    converters: dict[int, Any]


class CompiledQuery:
    """Executes a query of `values_list`, whose statement is compiled at the first execution.

    `build` returns the query, with a Parameter for each value that changes.
    """

    def __init__(self, build: Callable[[], QuerySet[Any, Any]]) -> None:
        self._build = build
        self._compiled: dict[str, _Compiled] = {}  # by kind of database

    def rows(self, **values: Any) -> list[Sequence[Any]]:
        """Return the rows for these values of the parameters. Raises KeyError for one that is missing."""
        compiled = self._compiled.get(connection.vendor) or self._compile()
        params = [
            each.output_field.get_db_prep_value(values[each.name], connection)
            if isinstance(each, Parameter)
            else each
            for each in compiled.params
        ]
        with connection.cursor() as cursor:
            cursor.execute(compiled.sql, params)
            rows = cursor.fetchall()
        return list(compiled.compiler.apply_converters(rows, compiled.converters))

    def _compile(self) -> _Compiled:
        compiler = self._build().query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        converters = compiler.get_converters([column for column, *_ in compiler.select])
        self._compiled[connection.vendor] = compiled = _Compiled(sql, params, compiler, converters)
        return compiled
