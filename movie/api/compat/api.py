"""The same lists in the shapes of other recommendation services, each below an address of its own.

    /api/compat/lightgcn/   a user id in, ids out
    /api/compat/graph/      LightGCN or NGCF by name, one user or many
    /api/compat/sasrec/     a history in, ranked films out
    /api/compat/mf/         predicted ratings

A client of such a service changes its base URL and nothing else; `docs/compatibility.md` shows each call.
Films are named by their ids on this site. Users of data sets are named as in the data set, `196` for
`ml-100k:196`. Every list says in headers which model made it: `Reelgraph-Model` and, where that is not the
one that was asked for, `Reelgraph-Fallback`. Only the shapes live here; the lists are those of `/api/v1/`.
"""

from __future__ import annotations

from movie.api.base import JsonAPI
from movie.api.compat import graph, lightgcn, mf, sasrec

api = JsonAPI(
    title="Reelgraph, in the shapes of other services",
    version="1",
    description=__doc__ or "",
    urls_namespace="api-compat",
)
for _service in (lightgcn, graph, sasrec, mf):
    api.add_router(f"/{_service.__name__.rpartition('.')[2]}", _service.router)
