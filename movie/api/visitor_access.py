"""Permissions of clients on histories: whose history a client may read, change or rank for.

    42                   one of the client's own visitors, stored as api:<client>:42
    ml-100k:196          a user of a data set
    guest:..., user:7    a visitor of the site
    api:<client>:42      the long form of a client's own visitor

A client's own ids hold no colon, so none of them can be taken for another kind.
"""

from __future__ import annotations

from movie.api.authentication import Caller, require_scope
from movie.api.models import READ, READ_VISITORS
from movie.api.problems import Problem, field_problem
from movie.visitors.client_ids import client_visitor, namespace_of
from movie.visitors.visitor import ACTING, LONGEST_VISITOR, OF_CLIENTS, OF_SITE

ID_FIELDS = {"path": "visitor", "body": "user_id"}  # the field that holds an id, by where it is sent


def is_dataset_user(visitor_id: str) -> bool:
    """Return whether this id names a user of a data set: public, and with ratings only."""
    namespace, colon, _ = visitor_id.partition(":")
    return bool(colon) and namespace not in ACTING


def parse_own_visitor(caller: Caller, visitor_id: str) -> str:
    """Return the key that the client's visitor is stored under. Raises ValueError for any other id."""
    own_id = visitor_id.removeprefix(namespace_of(caller.client))
    if ":" in own_id:
        raise ValueError("Not one of this client's own visitors, whose ids hold no colon.")
    return client_visitor(caller.client, own_id)


def require_readable(caller: Caller, visitor_id: str, where: str = "path") -> str:
    """Return the stored key of a visitor whose history this caller may read.

    Raises Problem: 401 without a key, 403 where the key lacks the scope, 422 for a malformed id.
    """
    namespace, colon, _ = visitor_id.partition(":")
    if not colon or namespace == OF_CLIENTS:
        require_scope(caller, READ)
        return _own_key(caller, visitor_id, where)
    require_scope(caller, READ_VISITORS if namespace in OF_SITE else READ)
    return _checked_key(visitor_id, where)


def require_rankable(caller: Caller, visitor_id: str, where: str = "body") -> str:
    """Return the stored key of a visitor for whom this caller may ask for a list.

    Users of data sets need no scope; everybody else as `require_readable`.
    """
    if is_dataset_user(visitor_id):
        return _checked_key(visitor_id, where)
    return require_readable(caller, visitor_id, where)


def require_writable(caller: Caller, visitor_id: str) -> str:
    """Return the stored key of one of the client's own visitors; the route has checked the scope.

    Raises Problem: 403 for anybody else's visitor, 422 for a malformed id.
    """
    namespace, colon, _ = visitor_id.partition(":")
    if colon and namespace != OF_CLIENTS:
        raise Problem(403, "A client changes only its own visitors.")
    return _own_key(caller, visitor_id, "path")


def id_for_caller(visitor: str, caller: Caller) -> str:
    """Return the id that this caller knows a stored visitor by: their own visitors without the namespace."""
    return visitor.removeprefix(namespace_of(caller.client)) if caller.client else visitor


def _own_key(caller: Caller, visitor_id: str, where: str) -> str:
    if ":" in visitor_id and not visitor_id.startswith(namespace_of(caller.client)):
        raise Problem(403, "That visitor belongs to another client.")
    try:
        return parse_own_visitor(caller, visitor_id)
    except ValueError as error:
        raise field_problem(where, ID_FIELDS[where], str(error)) from error


def _checked_key(visitor_id: str, where: str) -> str:
    namespace, _, rest = visitor_id.partition(":")
    if not namespace or not rest or len(visitor_id) > LONGEST_VISITOR or not visitor_id.isprintable():
        raise field_problem(
            where, ID_FIELDS[where], "Expected an id such as ml-100k:196, user:7 or guest:..."
        )
    return visitor_id
