"""PostgreSQL, with a database and an account for the site."""

import os
import secrets
import signal
import subprocess
from pathlib import Path

from services.base import HOST, Service, ServiceError, program

USER = "reelgraph"  # of the account and of its database
NOBODY = "1000"  # the number that the server believes to run under
DEBIAN = Path("/usr/lib/postgresql")  # whose programs are on nobody's PATH
# The account of the site and its database, in psql's words: `name` and `password` are set before.
ACCOUNT = r"""
SELECT format('CREATE ROLE %I', :'name')
WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" LOGIN CREATEDB PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name')
WHERE NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = :'name') \gexec
"""


class PostgreSQL(Service):
    """Only this machine's user may connect as the superuser, through the socket."""

    name, title, port = "postgresql", "PostgreSQL", 35432
    stop_signal = signal.SIGINT  # SIGTERM would wait until the last client has gone

    def missing(self) -> str:
        if self._program("initdb") and self._program("postgres"):
            return ""
        return "postgres is not installed. On Debian: apt-get install --no-install-recommends postgresql"

    def prepare(self) -> None:
        if (self._data / "PG_VERSION").exists():
            return
        # The account of the superuser has no password and no door but the socket, in a folder of its owner.
        self._socket.mkdir(mode=0o700, exist_ok=True)
        how = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256"]
        command = [*self._not_as_root(), str(self._program("initdb")), f"--pgdata={self._data}", "-Upostgres"]
        made = subprocess.run([*command, *how], capture_output=True, text=True, check=False)
        if made.returncode:
            raise ServiceError(f"{self.title}: the data folder cannot be made:\n{made.stdout}{made.stderr}")

    def command(self) -> list[str]:
        server = [*self._not_as_root(), str(self._program("postgres")), "-D", str(self._data)]
        # Its files outlive a killed server as they are; only a machine that loses power would miss the fsync.
        return [*server, "-h", HOST, "-p", str(self.port_used), "-k", str(self._socket), "-c", "fsync=off"]

    def answers(self) -> bool:
        return self._sql("SELECT 1").returncode == 0

    def settle(self) -> None:
        done = self._sql(f"\\set name {USER}\n\\set password '{self._password()}'\n{ACCOUNT}")
        if done.returncode:
            raise ServiceError(f"{self.title}: {done.stderr}")

    def variables(self) -> dict[str, str]:
        return {"DATABASE_URL": f"postgresql://{USER}:{self._password()}@{HOST}:{self.port_used}/{USER}"}

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"

    def _password(self) -> str:
        file = self.folder / "password"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(18))
        return file.read_text()

    @staticmethod
    def _program(name: str) -> str | None:
        newest = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda each: float(each.parts[-3]))
        return str(newest[-1]) if newest else program(name)

    @staticmethod
    def _not_as_root() -> list[str]:
        """Return a command before which root has another number: PostgreSQL refuses to run as root.

        In a user namespace the files stay root's own, so that no folder has to be opened to somebody else.
        """
        if os.geteuid() != 0:
            return []
        return [str(program("unshare")), "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]

    def _sql(self, statements: str) -> subprocess.CompletedProcess[str]:
        client = [str(self._program("psql")), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-Upostgres", "postgres"]
        place = [f"--host={self._socket}", f"--port={self.port_used}"]
        return subprocess.run(
            [*client, *place], input=statements, capture_output=True, text=True, check=False
        )
