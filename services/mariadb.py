"""MariaDB, with a database and an account for the site."""

import os
import secrets
import subprocess
from pathlib import Path

from services.base import HOST, Service, ServiceError, program

DATABASE = USER = "reelgraph"


class MariaDB(Service):
    """Only this machine's user may connect as root, through the socket."""

    name, title, port = "mariadb", "MariaDB", 33306

    def missing(self) -> str:
        if program("mariadbd") and program("mariadb-install-db"):
            return ""
        return "mariadbd is not installed. On Debian: apt-get install --no-install-recommends mariadb-server"

    def prepare(self) -> None:
        if (self._data / "mysql").is_dir():
            return
        made = subprocess.run(
            [
                str(program("mariadb-install-db")),
                "--no-defaults",
                f"--datadir={self._data}",
                "--auth-root-authentication-method=socket",
                "--skip-test-db",
                *self._as_root(),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise ServiceError(f"{self.title}: the data folder cannot be made:\n{made.stdout}{made.stderr}")

    def command(self) -> list[str]:
        return [
            str(program("mariadbd")),
            "--no-defaults",
            f"--datadir={self._data}",
            f"--socket={self._socket}",
            f"--port={self.port_used}",
            f"--bind-address={HOST}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=256M",
            *self._as_root(),
        ]

    def answers(self) -> bool:
        return self._sql("SELECT 1").returncode == 0

    def settle(self) -> None:
        account = f"'{USER}'@'{HOST}' IDENTIFIED BY '{self._password()}'"
        done = self._sql(
            f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;"
            f"CREATE USER IF NOT EXISTS {account}; ALTER USER {account};"
            f"GRANT ALL ON `{DATABASE}%`.* TO '{USER}'@'{HOST}';"
            f"GRANT ALL ON `test\\_{DATABASE}%`.* TO '{USER}'@'{HOST}';"
        )
        if done.returncode:
            raise ServiceError(f"{self.title}: {done.stderr}")

    def variables(self) -> dict[str, str]:
        return {"DATABASE_URL": f"mysql://{USER}:{self._password()}@{HOST}:{self.port_used}/{DATABASE}"}

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

    def _as_root(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    def _sql(self, statements: str) -> subprocess.CompletedProcess[str]:
        client = [str(program("mariadb", "mysql")), "--no-defaults", f"--socket={self._socket}"]
        return subprocess.run(client, input=statements, capture_output=True, text=True, check=False)
