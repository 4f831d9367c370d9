"""A small proxy before several servers: connections in turn, and past those that take none."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import threading
from collections.abc import Callable, Sequence

Address = tuple[str, int]
CONNECT_SECONDS = 1.0
PIECE = 65536


class Forwarder:
    """Passes connections on to the servers that `servers()` names now, one after the other."""

    def __init__(self, listen: Address, servers: Callable[[], Sequence[Address]]) -> None:
        self._servers = servers
        self._turn = itertools.count()
        self._listener = socket.create_server(listen, backlog=256)
        self.address: Address = self._listener.getsockname()[:2]
        self.skipped = 0  # times that a server took no connection and the next one did
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._pass_on, args=(visitor,), daemon=True).start()

    def _pass_on(self, visitor: socket.socket) -> None:
        with visitor:
            server = self._connected()
            if server is not None:
                with server:
                    _between(visitor, server)

    def _connected(self) -> socket.socket | None:
        servers = list(self._servers())
        first = next(self._turn)
        for number in range(len(servers)):
            try:
                server = socket.create_connection(servers[(first + number) % len(servers)], CONNECT_SECONDS)
            except OSError:
                self.skipped += 1
                continue
            server.settimeout(None)
            return server
        return None


def _between(one: socket.socket, other: socket.socket) -> None:
    """Both ways until one of them closes."""
    with selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                piece = key.fileobj.recv(PIECE)  # type: ignore[union-attr]
                if not piece:
                    return
                key.data.sendall(piece)
