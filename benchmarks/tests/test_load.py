"""A load at a rate sends on time, and counts waits from the moment at which a request was due."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.serving.load import Request, run_at_rate

SECONDS = 0.02  # that the server takes for a request


class SlowAnswer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(SECONDS)
        self.send_response(404 if self.path == "/nothing" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def slow_server():
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowAnswer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_who_waits_for_a_connection_waits_from_the_moment_due():
    with slow_server() as port:
        load = run_at_rate(port, [Request("GET", "/")], rate=500, seconds=0.04, connections=1)
    assert (load.requests, load.errors) == (20, 0)
    assert load.percentile_ms(0.01) >= 1000 * SECONDS
    assert load.percentile_ms(1) >= 1000 * (20 * SECONDS - 0.04), "the last was sent after 19 others"
    assert load.seconds >= 20 * SECONDS


def test_requests_are_sent_at_the_rate_and_refusals_counted():
    with slow_server() as port:
        requests = [Request("GET", "/"), Request("GET", "/nothing")]
        load = run_at_rate(port, requests, rate=100, seconds=0.1, connections=50)
    assert (load.requests, load.errors) == (10, 5)
    assert load.seconds >= 0.09 + SECONDS, "the last was due after .09 s"


def test_a_server_that_is_not_there_gives_errors_alone():
    with slow_server() as port:
        pass
    load = run_at_rate(port, [Request("GET", "/")], rate=1000, seconds=0.01, connections=5)
    assert (load.requests, load.errors) == (0, 10)
