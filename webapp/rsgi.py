"""The RSGI application, for granian: `webapp.wsgi` behind a gateway that no slow body can stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webapp.wsgi import application as wsgi_application

if TYPE_CHECKING:
    from movie.operations.gateway import Gateway


def _make_gateway() -> Gateway:
    from movie.operations.gateway import Gateway  # once Django is set up

    return Gateway(wsgi_application)


application = _make_gateway()
