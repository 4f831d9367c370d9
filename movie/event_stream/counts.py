"""Counters that several processes add to at once."""

from __future__ import annotations

from collections import Counter

from django.db import connection
from django.db.models import Model


def add_counts(model: type[Model], names: tuple[str, ...], counts: Counter[tuple]) -> None:
    """Add to `model.count` for each key, which is the values of the fields `names`.

    One statement in place of a look and a write for each; always in the same order, so that two
    processes wait for each other and never for themselves.
    """
    if not counts:
        return
    quote = connection.ops.quote_name
    fields = [model._meta.get_field(name) for name in names]
    columns = [quote(str(field.column)) for field in fields]  # type: ignore[union-attr]
    count = quote("count")
    values = ", ".join(["%s"] * (len(columns) + 1))
    insert = f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(columns)}, {count}) VALUES ({values})"  # noqa: S608
    if connection.vendor == "mysql":
        add = f"ON DUPLICATE KEY UPDATE {count} = {count} + VALUES({count})"
    else:
        table = quote(model._meta.db_table)
        add = f"ON CONFLICT ({', '.join(columns)}) DO UPDATE SET {count} = {table}.{count} + excluded.{count}"
    with connection.cursor() as cursor:
        cursor.executemany(f"{insert} {add}", [(*key, number) for key, number in sorted(counts.items())])
