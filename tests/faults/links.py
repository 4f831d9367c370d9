"""A TCP proxy between the site and a service: a network that can be cut or slow."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from services.base import HOST

CHUNK = 65_536
CONNECT_SECONDS = 5


class Link:
    """Passes connections on to a port of this machine.

    A service that tells its clients its own address (Kafka) is told apart by that address: where it stands in
    an answer (host name, then a port of four bytes), the address of the link takes its place.
    """

    def __init__(self, target: int, least_delay: float = 0.0) -> None:
        self.target, self._least_delay = target, least_delay
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open = threading.Event()  # unset while the link is cut
        self._open.set()
        self._delay = least_delay  # seconds for each piece of data
        self._connections: list[tuple[socket.socket, socket.socket | None]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Let nothing through. At the end every other connection goes on where it was; the rest are reset:
        what was on its way through them is lost.
        """
        self._open.clear()
        try:
            yield
        finally:
            doomed, self._connections = self._connections[::2], self._connections[1::2]
            for connection in doomed:
                _reset(*connection)
            self._open.set()

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Hold each piece of data, in each direction, for so long."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = self._least_delay

    def close(self) -> None:
        self._listener.close()
        self._open.set()
        for connection in self._connections:
            _reset(*connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=[client], daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._open.wait()
        try:
            server = socket.create_connection((HOST, self.target), timeout=CONNECT_SECONDS)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.append((client, server))
        threading.Thread(target=self._pump, args=[client, server, False], daemon=True).start()
        self._pump(server, client, True)

    def _pump(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        own, other = (HOST.encode() + struct.pack(">i", port) for port in (self.target, self.port))
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self._open.wait()
                if self._delay:
                    time.sleep(self._delay)
                sink.sendall(data.replace(own, other) if is_answer else data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _reset(*sockets: socket.socket | None) -> None:
    """Close connections as a network does that has forgotten them."""
    for each in filter(None, sockets):
        with contextlib.suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.shutdown(socket.SHUT_RDWR)
        each.close()
