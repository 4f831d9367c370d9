"""The namespaces of visitor ids: whose ids begin with what.

    guest:<uuid>, user:<pk>      guests and members of the site
    api:<client>:<its own id>    users of a program that calls the API
    ml-100k:42                   people of a data set, here `ml-100k`

The first three can act: they have events, and their ratings follow from these. People of a data set
cannot act and have ratings only.
"""

from __future__ import annotations

from django.db.models import Q

OF_SITE = ("guest", "user")
OF_CLIENTS = "api"
ACTING = (*OF_SITE, OF_CLIENTS)
LONGEST_VISITOR = 128  # characters, of the columns that hold a visitor


def can_act(visitor: str) -> bool:
    """Whether this visitor is no person of a data set."""
    namespace, colon, _ = visitor.partition(":")
    return bool(colon) and namespace in ACTING


def acting() -> Q:
    """The condition of `can_act` for a table with a column `visitor`."""
    condition = Q()
    for namespace in ACTING:
        condition |= Q(visitor__startswith=f"{namespace}:")
    return condition
