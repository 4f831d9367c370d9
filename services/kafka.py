"""A broker that speaks Kafka's protocol: noida-db. It is made for tests and is not Apache Kafka.

What it acknowledged less than half a second before a SIGKILL may be lost; SIGTERM loses nothing.
"""

import sys
from pathlib import Path

from services.base import HOST, Service, is_open


class Kafka(Service):
    name, title, port = "kafka", "The Kafka-protocol broker (noida-db)", 39092

    def missing(self) -> str:
        if self._program.exists():
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
    def _program(self) -> Path:
        return Path(sys.executable).parent / "noida-db"
