"""Redis, or Valkey, as a cache: nothing is kept on disk."""

import socket

from services.base import HOST, Service, program


class Redis(Service):
    name, title, port = "redis", "Redis", 36379

    def missing(self) -> str:
        if program("redis-server", "valkey-server"):
            return ""
        return (
            "redis-server is not installed. On Debian: apt-get install --no-install-recommends redis-server"
        )

    def prepare(self) -> None:
        pass

    def command(self) -> list[str]:
        server = str(program("redis-server", "valkey-server"))
        place = ["--bind", HOST, "--port", str(self.port_used), "--dir", str(self.folder)]
        return [server, *place, "--save", "", "--appendonly", "no"]

    def answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port_used), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def variables(self) -> dict[str, str]:
        return {"REDIS_URL": f"redis://{HOST}:{self.port_used}/0"}
