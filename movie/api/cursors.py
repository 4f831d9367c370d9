"""Where a page of a list ends, as a word that the client sends back for the next one."""

from __future__ import annotations

import base64
import binascii
import json

from movie.api.problems import field_problem

LONGEST = 400
NO_CURSOR = "send the `next` of the page before"


def cursor_of(*place: str) -> str:
    content = json.dumps(place, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def place_of(cursor: str, parts: int) -> list[str]:
    """What `cursor_of` was given. Raises Problem (422) for anything else."""
    try:
        content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = json.loads(content)
    except (binascii.Error, ValueError, RecursionError):
        place = None
    if not isinstance(place, list) or len(place) != parts or not all(isinstance(each, str) for each in place):
        raise field_problem("query", "cursor", NO_CURSOR)
    return place
