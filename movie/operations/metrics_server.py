"""GET /metrics of processes that serve no pages: relays and consumers, with --metrics-port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from django.db import connection

from movie.operations.metrics_view import may_read, process_metrics_text, refusal


@contextmanager
def metrics_server(port: int | None) -> Iterator[None]:
    """Answer GET /metrics on this port while the block runs; without a port do nothing.

    It serves the counters of this process. The same people may read it as the site's /metrics.
    """
    if port is None:
        yield
        return
    server = ThreadingHTTPServer(("", port), MetricsRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class MetricsRequestHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if not may_read(self.client_address[0], self.headers):  # type: ignore[arg-type]
            status, headers, body = *refusal(), b""
        elif self.path.partition("?")[0] != "/metrics":
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
