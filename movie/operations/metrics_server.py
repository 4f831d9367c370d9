"""GET /metrics and /health/ready of relays and consumers, with --metrics-port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from django.db import connection

from movie.operations.metrics_view import may_read, process_metrics_text, refusal


@contextmanager
def metrics_server(port: int | None, why_not_ready: Callable[[], str] = str) -> Iterator[None]:
    """Answer GET /metrics and /health/ready on this port while the block runs; without a port do nothing.

    /metrics serves the counters of this process; the same people may read it as the site's. /health/ready is
    for probes: 503 with the reason while `why_not_ready` returns one.
    """
    if port is None:
        yield
        return
    handler = type("Handler", (MetricsRequestHandler,), {"why_not_ready": staticmethod(why_not_ready)})
    server = ThreadingHTTPServer(("", port), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class MetricsRequestHandler(BaseHTTPRequestHandler):
    why_not_ready: Callable[[], str]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/health/ready":
            why = self.why_not_ready()
            body = f"{why or 'ready'}\n".encode()
            status, headers = 503 if why else 200, {"Content-Type": "text/plain; charset=utf-8"}
        elif not may_read(self.client_address[0], self.headers):  # type: ignore[arg-type]
            status, headers, body = *refusal(), b""
        elif path != "/metrics":
            status, headers, body = 404, {}, b""
        else:
            body, content_type = process_metrics_text()
            connection.close()  # of the thread that answers
            status, headers = 200, {"Content-Type": content_type}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Write no line: scrapes are not worth one each."""
