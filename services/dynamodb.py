"""A server with DynamoDB's API: dynalite, kept in LevelDB on disk."""

import subprocess
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from services.base import HOST, Service, ServiceError, locked, program

PACKAGE = "dynalite@4.0.0"


class DynamoDB(Service):
    """dynalite is fetched with npm into the service's own folder, once."""

    name, title, port = "dynamodb", "The DynamoDB-API server (dynalite)", 38000

    def missing(self) -> str:
        if not program("node"):
            return "Node.js is not installed. On Debian: apt-get install --no-install-recommends nodejs npm"
        if not self._script.exists() and not program("npm"):
            return "npm is not installed. On Debian: apt-get install --no-install-recommends npm"
        return ""

    def prepare(self) -> None:
        self._packages.mkdir(parents=True, exist_ok=True)
        with locked(self._packages / "lock"):
            if not self._script.exists():
                self._fetch()

    def _fetch(self) -> None:
        install = [str(program("npm")), "install", "--no-audit", "--no-fund", "--loglevel=error"]
        made = subprocess.run(
            [*install, "--prefix", str(self._packages), PACKAGE], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise ServiceError(f"{self.title}: npm could not install {PACKAGE}:\n{made.stderr}")

    def command(self) -> list[str]:
        place = ["--host", HOST, "--port", str(self.port_used), "--path", str(self.folder / "data")]
        at_once = ["--createTableMs", "0", "--deleteTableMs", "0", "--updateTableMs", "0"]
        return [str(program("node")), str(self._script), *place, *at_once]

    def answers(self) -> bool:
        try:
            with urlopen(f"http://{HOST}:{self.port_used}/", timeout=1):
                return True
        except (URLError, ConnectionError, TimeoutError):
            return False

    def variables(self) -> dict[str, str]:
        return {
            "DYNAMODB_TABLE": "reelgraph-events",
            "DYNAMODB_REGION": "us-east-1",
            "DYNAMODB_ENDPOINT_URL": f"http://{HOST}:{self.port_used}",
            # Requests must be signed; this server takes any signature.
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }

    @property
    def _packages(self) -> Path:
        """Shared by all instances, wherever their data lies."""
        return Path(__file__).resolve().parent.parent / "var" / "services" / "npm"

    @property
    def _script(self) -> Path:
        return self._packages / "node_modules" / "dynalite" / "cli.js"
