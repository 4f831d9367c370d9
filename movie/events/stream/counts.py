"""Sums in the database that several processes add to at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from django.db import connection
from django.db.models import Model


def add_counts(model: type[Model], names: tuple[str, ...], counts: Counter[tuple]) -> None:
    """Add to `model.count` for each key, which is the values of the fields `names`."""
    add_sums(model, names, ("count",), {key: (number,) for key, number in counts.items()})


def add_sums(
    model: type[Model],
    names: tuple[str, ...],
    sums: tuple[str, ...],
    added: Mapping[tuple, Sequence[float]],
) -> None:
    """Add to the fields `sums` of a model for each key, which is the values of the fields `names`.

    One statement in place of a look and a write for each; always in the same order, so that two
    processes wait for each other and never for themselves.
    """
    if not added:
        return
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    keys, numbers = (
        [quote(str(model._meta.get_field(name).column)) for name in group]  # type: ignore[union-attr]
        for group in (names, sums)
    )
    values = ", ".join(["%s"] * (len(keys) + len(numbers)))
    insert = f"INSERT INTO {table} ({', '.join([*keys, *numbers])}) VALUES ({values})"  # noqa: S608
    if connection.vendor == "mysql":
        changes = ", ".join(f"{number} = {number} + VALUES({number})" for number in numbers)
        add = f"ON DUPLICATE KEY UPDATE {changes}"
    else:
        changes = ", ".join(f"{number} = {table}.{number} + excluded.{number}" for number in numbers)
        add = f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"
    with connection.cursor() as cursor:
        cursor.executemany(f"{insert} {add}", [(*key, *more) for key, more in sorted(added.items())])
