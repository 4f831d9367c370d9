"""A broker that speaks Kafka's protocol: noida-db. It is made for tests and is not Apache Kafka.

What it acknowledged less than half a second before a SIGKILL may be lost; SIGTERM loses nothing. A
consumer that was killed stays a member of its group: only one with the same `--member` name replaces it.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from services.base import HOST, Service, is_open


class Kafka(Service):
    name, title, port = "kafka", "The Kafka-protocol broker (noida-db)", 39092

    def missing(self) -> str:
        if self._program is not None:
            return ""
        return f"noida-db is not installed. {sys.executable} -m pip install -r requirements-services.txt"

    def prepare(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)

    def command(self) -> list[str]:
        place = ["--data-dir", str(self.folder / "data"), "--host", HOST]
        return [str(self._program), "start", *place, "--only", "kafka", "--kafka-port", str(self.port_used)]

    def answers(self) -> bool:
        return is_open(self.port_used)

    def variables(self) -> dict[str, str]:
        return {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{self.port_used}"}

    @property
    def _program(self) -> Path | None:
        """The server itself. The command of that name is a parent that does not pass signals on."""
        spec = find_spec("noida_db")
        program = Path(spec.origin).parent / "noida-db" if spec and spec.origin else None
        return program if program and program.exists() else None
