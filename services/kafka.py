"""Apache Kafka where KAFKA_HOME and Java are there, else a stand-in that speaks its protocol (noida-db).

The stand-in is made for tests. What it acknowledged less than half a second before a SIGKILL may be lost;
SIGTERM loses nothing. A consumer that was killed stays a member of its group there: only one with the same
`--member` name replaces it.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from services.base import HOST, Service, ServiceError, free_port, is_open

JAVA_NEEDED = 17
HEAP = "256m"
USER, PASSWORD = "reelgraph", "of-the-cluster"
FORMAT_SECONDS = 60


def kafka_service(root: Path, port: int | None = None) -> Service:
    """Return the one that runs, else Apache Kafka where it can run, else the stand-in."""
    apache, stand_in = ApacheKafka(root, port), KafkaStandIn(root, port)
    running = apache.process()  # both keep their record in the same folder
    if running is not None:
        return apache if Path(running.cmdline()[0]).name == "java" else stand_in
    return stand_in if missing_apache_kafka() else apache


def missing_apache_kafka() -> str:
    """Return the reason why Apache Kafka cannot run here, or an empty string."""
    home = os.environ.get("KAFKA_HOME", "")
    if not home:
        return "KAFKA_HOME is not set; it names the folder of an unpacked Apache Kafka"
    if not list(Path(home).glob("libs/kafka_*.jar")):
        return f"KAFKA_HOME={home} holds no libs/kafka_*.jar of an unpacked Apache Kafka"
    if _java_version() < JAVA_NEEDED:
        found = f"is {_java_version()}" if _java_version() else "is not installed"
        return f"Apache Kafka needs Java {JAVA_NEEDED} or newer, which {found} (apt: openjdk-17-jre-headless)"
    return ""


@cache
def _java_version() -> int:
    """Return the major version of Java, or 0 without one."""
    java = shutil.which("java")
    if java is None:
        return 0
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0


def _jar_version() -> str:
    jars = sorted(Path(os.environ.get("KAFKA_HOME", "")).glob("libs/kafka_*.jar"))
    return jars[0].stem.rpartition("-")[2] if jars else ""


def new_cluster_id() -> str:
    """Return 22 letters of URL-safe base64, as Kafka wants them; the first may be a hyphen."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class ApacheKafka(Service):
    """A node of Apache Kafka in KRaft mode, alone or one of a cluster.

    `properties` are lines of server.properties beside the least ones, `scram` the passwords of SCRAM users.
    """

    name, port = "kafka", 39092
    title = "Apache Kafka"
    data = "apache-kafka"

    def __init__(
        self,
        root: Path,
        port: int | None = None,
        *,
        properties: Mapping[str, str] | None = None,
        scram: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(root, port)
        self.title = f"Apache Kafka {_jar_version()}"
        self.properties, self.scram = dict(properties or {}), dict(scram or {})
        self.file = self.folder / "server.properties"
        self.cluster = new_cluster_id()

    def missing(self) -> str:
        return missing_apache_kafka()

    def prepare(self) -> None:
        """Write the properties, as the port may be another one; format the data folder once."""
        properties = {**self._least(), **self.properties}
        self.file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        if (self.folder / self.data / "meta.properties").exists():
            return
        command = [*self._java(), "kafka.tools.StorageTool", "format", f"--cluster-id={self.cluster}"]
        command += ["-c", str(self.file), "--ignore-formatted"]
        for user, password in self.scram.items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=FORMAT_SECONDS
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-500:]
            raise ServiceError(f"{self.title} cannot be prepared: {said}")

    def command(self) -> list[str]:
        return [*self._java(), "kafka.Kafka", str(self.file)]

    def answers(self) -> bool:
        return is_open(self.port_used)

    def variables(self) -> dict[str, str]:
        return {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{self.port_used}"}

    def _least(self) -> dict[str, str]:
        control = free_port()
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{HOST}:{control}",
            "listeners": f"PLAINTEXT://{HOST}:{self.port_used},CONTROLLER://{HOST}:{control}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port_used}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.folder / self.data),
            "num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
        }

    @staticmethod
    def _java() -> list[str]:
        return [
            "java",
            f"-Xmx{HEAP}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            f"{Path(os.environ['KAFKA_HOME']).resolve()}/libs/*",
        ]


class ClusterNode(ApacheKafka):
    """A node of a cluster; its folder is named by its number. Its clients show a password (SCRAM)."""

    def __init__(self, root: Path, number: int, controllers: Sequence[int], cluster: str) -> None:
        self.name = f"kafka-{number}"
        port, control, copies = free_port(), controllers[number - 1], min(3, len(controllers))
        self.sasl_port = free_port()
        voters = ",".join(f"{each}@{HOST}:{used}" for each, used in enumerate(controllers, 1))
        public = f"PLAINTEXT://{HOST}:{port},SASL://{HOST}:{self.sasl_port}"
        super().__init__(
            root,
            port,
            scram={USER: PASSWORD},
            properties={
                "node.id": str(number),
                "controller.quorum.voters": voters,
                "listeners": f"{public},CONTROLLER://{HOST}:{control}",
                "advertised.listeners": public,
                "listener.security.protocol.map": (
                    "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT"
                ),
                "sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                ),
                "offsets.topic.replication.factor": str(copies),
                "offsets.topic.num.partitions": "12",
                "transaction.state.log.replication.factor": str(copies),
                "transaction.state.log.min.isr": str(min(2, copies)),
                "auto.create.topics.enable": "true",  # as Kafka has it: the site must not rely on false
            },
        )
        self.number, self.cluster = number, cluster


class KafkaCluster:
    """Nodes of Apache Kafka with the methods of one service."""

    def __init__(self, root: Path, n_nodes: int = 3) -> None:
        controllers = [free_port() for _ in range(n_nodes)]
        cluster = new_cluster_id()
        self.title = f"Apache Kafka on {n_nodes} nodes"
        self.nodes = [ClusterNode(root, number, controllers, cluster) for number in range(1, n_nodes + 1)]

    def missing(self) -> str:
        return missing_apache_kafka()

    def start(self) -> bool:
        """Start all nodes, then wait: a quorum needs the greater part of them before any answers."""
        errors: list[ServiceError] = []

        def start(node: ClusterNode) -> None:
            try:
                node.start()
            except ServiceError as error:
                errors.append(error)

        threads = [threading.Thread(target=start, args=[node]) for node in self.nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return True

    def stop(self) -> bool:
        stopped = [node.stop() for node in self.nodes]
        return any(stopped)

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def servers(self) -> list[str]:
        """Return the addresses that ask for no password, for whoever breaks the cluster."""
        return [f"{HOST}:{node.port_used}" for node in self.nodes]

    def variables(self) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": ",".join(f"{HOST}:{node.sasl_port}" for node in self.nodes),
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": PASSWORD,
        }


class KafkaStandIn(Service):
    """noida-db: it speaks Kafka's protocol and is not Apache Kafka."""

    name, port = "kafka", 39092
    title = "The stand-in for Apache Kafka (noida-db)"

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
