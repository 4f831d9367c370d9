"""Metrics of processes that serve no pages: relays and consumers, with --metrics-port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from movie.metrics.answer import may_read, refusal

if TYPE_CHECKING:
    from prometheus_client import Metric


@contextmanager
def metrics_server(port: int | None, metrics: Callable[[], Iterator[Metric]]) -> Iterator[None]:
    """Answer GET /metrics on this port while the block runs; without a port do nothing.

    The process itself and the build are added. The same people may read it as the site's /metrics.
    """
    if port is None:
        yield
        return
    server = ThreadingHTTPServer(("", port), _answering(metrics))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _answering(metrics: Callable[[], Iterator[Metric]]) -> type[BaseHTTPRequestHandler]:
    from prometheus_client import ProcessCollector
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

    from movie.metrics.state import build_info

    class Everything:
        def collect(self) -> Iterator[Metric]:
            yield from metrics()
            yield from build_info()
            yield from ProcessCollector(registry=None).collect()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not may_read(self.client_address[0], self.headers):  # type: ignore[arg-type]
                status, headers, body = *refusal(), b""
            elif self.path.partition("?")[0] != "/metrics":
                status, headers, body = 404, {}, b""
            else:
                status, headers = 200, {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
                body = generate_latest(Everything())
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Scrapes are not worth a line each."""

    return Answer
