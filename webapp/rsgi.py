"""The RSGI application, for granian: `webapp.wsgi` behind a gateway that no slow body can stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webapp import wsgi

if TYPE_CHECKING:
    from movie.operations.gateway import Gateway


def _make_gateway() -> Gateway:
    from movie.operations.gateway import Gateway  # once Django is set up

    return Gateway(wsgi.application)


# Imported by each worker; its server may have imported `webapp.wsgi` while the database was away.
if not wsgi.database_answered:
    wsgi.require_tables()
application = _make_gateway()
