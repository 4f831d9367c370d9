"""Pagination by cursor: a page begins after the position that the page before ended with."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from ninja import Field, Schema
from ninja.pagination import PaginationBase
from pydantic import TypeAdapter

from movie.api.problems import field_problem

# Returns up to n rows after a position (None: the beginning), each with its own position.
ReadRows = Callable[[tuple[Any, ...] | None, int], list[tuple[tuple[Any, ...], Any]]]


class PositionPagination(PaginationBase):
    """Pages through rows by position, so that every page of a list costs the same.

    The view returns `ReadRows`. Subclasses name the field of the rows, the type of a position and the limits
    of `limit`. ninja's own CursorPagination counts offsets and answers in another shape.
    """

    class Input(Schema):
        limit: int
        cursor: str = Field("", max_length=400)

    Output = None  # type: ignore[assignment]  # the route names the schema of its answer
    position: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[str])

    def paginate_queryset(
        self, queryset: Any, pagination: Any, request: HttpRequest, **params: Any
    ) -> dict[str, Any]:
        """Return a page of the view's `ReadRows` (`queryset`). Raises Problem (422) for an invalid cursor."""
        rows = queryset(self._decode(pagination.cursor), pagination.limit + 1)
        page = rows[: pagination.limit]
        return {
            self.items_attribute: [row for _position, row in page],
            "next": self._encode(page[-1][0]) if len(rows) > len(page) else None,
        }

    def _encode(self, position: tuple[Any, ...]) -> str:
        return base64.urlsafe_b64encode(self.position.dump_json(position)).decode().rstrip("=")

    def _decode(self, cursor: str) -> tuple[Any, ...] | None:
        if not cursor:
            return None
        try:
            content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            return self.position.validate_json(content)
        except ValueError as error:
            raise field_problem("query", "cursor", "send the `next` of the page before") from error
