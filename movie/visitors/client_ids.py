"""Ids of the users of API clients: the rule for a client's own ids, and the key each is stored under.

The API, imports of a client's users and the pages about them all make the key here, so that a person who
was imported goes on as the same visitor.
"""

from __future__ import annotations

import re
import unicodedata

from movie.visitors.visitor import OF_CLIENTS

MAX_OWN_ID_LENGTH = 80  # with `api:<client>:` before it, it fits the column
OWN_ID = re.compile(rf"(?!\.+$)[\w.@~+=|-]{{1,{MAX_OWN_ID_LENGTH}}}")  # an address cannot hold `..`
OWN_ID_RULE = f"Expected 1 to {MAX_OWN_ID_LENGTH} letters, digits or . _ @ ~ + = | -"


def namespace_of(client: str) -> str:
    return f"{OF_CLIENTS}:{client}:"


def client_visitor(client: str, own_id: str) -> str:
    """Return the key that a client's user is stored under. Raises ValueError for an id of another form."""
    own_id = unicodedata.normalize("NFC", own_id)
    if not OWN_ID.fullmatch(own_id):
        raise ValueError(OWN_ID_RULE)
    return namespace_of(client) + own_id
