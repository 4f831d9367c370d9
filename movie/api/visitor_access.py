"""Whose history a client may read or write.

    42                   one of the client's own visitors, stored as api:<client>:42
    ml-100k:196          a user of a data set
    guest:..., user:7    a visitor of the site
    api:<client>:42      the long form of a client's own visitor

A client's own ids hold no colon, so none of them can be taken for another kind.
"""

from __future__ import annotations

import re
import unicodedata

from movie.api.authentication import Caller, require
from movie.api.models import READ, READ_VISITORS
from movie.api.problems import Problem, field_problem
from movie.visitors.visitor import LONGEST_VISITOR, OF_CLIENTS, OF_SITE

LONGEST_OWN_ID = 80  # with `api:<client>:` before it, it fits the column
OWN_ID = re.compile(rf"(?!\.+$)[\w.@~+=|-]{{1,{LONGEST_OWN_ID}}}")  # an address cannot hold `..`
FIELDS = {"path": "visitor", "body": "user_id"}  # what holds an id, by where it is sent
OWN_ID_WORDS = f"Expected 1 to {LONGEST_OWN_ID} letters, digits or . _ @ ~ + = | -"


def namespace_of(client: str) -> str:
    return f"{OF_CLIENTS}:{client}:"


def own_visitor(caller: Caller, visitor_id: str) -> str:
    """The key under which the client's visitor is stored. Raises ValueError where it is none of its own."""
    namespace = namespace_of(caller.client)
    own_id = visitor_id.removeprefix(namespace)
    if ":" in own_id:
        raise ValueError("Not one of this client's own visitors, whose ids hold no colon.")
    if not OWN_ID.fullmatch(own_id):
        raise ValueError(OWN_ID_WORDS)
    return namespace + unicodedata.normalize("NFC", own_id)


def readable_visitor(caller: Caller, visitor_id: str, where: str = "path") -> str:
    """The key under which somebody is stored whose history this caller may read.

    Raises Problem: 401 for want of a key, 403 where the key may not, 422 for what is no id.
    """
    kind, colon, _ = visitor_id.partition(":")
    if not colon or kind == OF_CLIENTS:
        require(caller, READ)
        return _own(caller, visitor_id, where)
    require(caller, READ_VISITORS if kind in OF_SITE else READ)
    return _well_formed(visitor_id, where)


def askable_visitor(caller: Caller, visitor_id: str, where: str = "body") -> str:
    """As `readable_visitor`, of those for whom this caller may ask for a list: a data set's users too."""
    kind, colon, _ = visitor_id.partition(":")
    if colon and kind not in (*OF_SITE, OF_CLIENTS):
        return _well_formed(visitor_id, where)
    return readable_visitor(caller, visitor_id, where)


def writable_visitor(caller: Caller, visitor_id: str) -> str:
    """As `readable_visitor`, of those that the client may change: its own. It has the scope already."""
    kind, colon, _ = visitor_id.partition(":")
    if colon and kind != OF_CLIENTS:
        raise Problem(403, "A client changes only its own visitors.")
    return _own(caller, visitor_id, "path")


def shown(visitor: str, caller: Caller) -> str:
    """How a stored key is written for this caller: their own visitors by their own ids."""
    return visitor.removeprefix(namespace_of(caller.client)) if caller.client else visitor


def _own(caller: Caller, visitor_id: str, where: str) -> str:
    if ":" in visitor_id and not visitor_id.startswith(namespace_of(caller.client)):
        raise Problem(403, "That visitor belongs to another client.")
    try:
        return own_visitor(caller, visitor_id)
    except ValueError as error:
        raise field_problem(where, FIELDS[where], str(error)) from error


def _well_formed(visitor_id: str, where: str) -> str:
    kind, _, rest = visitor_id.partition(":")
    if not kind or not rest or len(visitor_id) > LONGEST_VISITOR or not visitor_id.isprintable():
        raise field_problem(where, FIELDS[where], "Expected an id such as ml-100k:196, user:7 or guest:...")
    return visitor_id
