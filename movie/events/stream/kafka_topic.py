"""The topic on Kafka: made once, compared with what the site needs, and changed where Kafka can change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from movie.events.stream.base import EventStreamUnavailable

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

PARTITIONS = 12  # as many consumers of a group can share the work
COPIES = 3
HOUR_MS = 3_600_000
COMMAND = "manage.py create_event_topic"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic should be. Without `copies`: three, or as many as there are brokers."""

    partitions: int = PARTITIONS
    copies: int | None = None
    retention_hours: int = 14 * 24  # for so long a group may be away


@dataclass(frozen=True, slots=True)
class Difference:
    """A property of the topic that is not what it should be; `advice` says how if Kafka cannot."""

    name: str
    found: str
    wanted: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.name} is {self.found} and should be {self.wanted}"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster describes it. `settings` is None where this client may not read them."""

    partitions: int
    copies: int
    settings: dict[str, str] | None


class TopicAdmin:
    """Describes, makes and changes one topic through an open connection."""

    def __init__(self, client: KafkaAdminClient, topic: str) -> None:
        self._client, self._topic = client, topic

    def describe(self) -> Topic | None:
        """Return the topic, or None when there is none. Raises KafkaError."""
        partitions = self._partitions()
        if partitions is None:
            return None
        copies = min((len(each["replica_nodes"]) for each in partitions), default=0)
        return Topic(len(partitions), copies, self._settings())

    def require(self) -> None:
        """Raise EventStreamUnavailable with the command that makes the topic, unless there is one."""
        if self._partitions() is None:
            raise EventStreamUnavailable(f"there is no topic {self._topic}; make it with {COMMAND}")

    def create(self, spec: TopicSpec) -> None:
        """Make the topic. Raises EventStreamUnavailable with what is needed where this client may not."""
        from kafka import errors

        copies = self.copies_for(spec)
        settings = self._wanted_settings(spec, copies)
        wanted = {"num_partitions": spec.partitions, "replication_factor": copies, "configs": settings}
        try:
            self._client.create_topics({self._topic: wanted})
        except errors.TopicAlreadyExistsError:
            return  # somebody made it meanwhile
        except errors.AuthorizationError as error:
            configs = "".join(f" --config {name}={value}" for name, value in settings.items())
            raise EventStreamUnavailable(
                f"there is no topic {self._topic} and no right to make it; grant Create, or have this run: "
                f"kafka-topics.sh --create --topic {self._topic} --partitions {spec.partitions} "
                f"--replication-factor {copies}{configs}"
            ) from error
        except (errors.InvalidReplicationFactorError, errors.PolicyViolationError) as error:
            raise EventStreamUnavailable(
                f"the cluster does not take {copies} copies and {spec.partitions} partitions "
                f"({type(error).__name__}); choose others with --replication and --partitions"
            ) from error

    def compare(self, topic: Topic, spec: TopicSpec) -> list[Difference]:
        """Return the differences that matter: more partitions, copies or days than wanted are none."""
        return list(self._differences(topic, spec))

    def warnings(self, spec: TopicSpec) -> list[str]:
        """Return one line for each difference, or for a missing topic."""
        topic = self.describe()
        if topic is None:
            return [f"there is no topic {self._topic}; make it with {COMMAND}"]
        differences = self.compare(topic, spec)
        return [f"topic {self._topic}: {each}; see {COMMAND}" for each in differences]

    def alter(self, differences: list[Difference]) -> None:
        """Change what Kafka can change. Raises KafkaError."""
        from kafka.admin import ConfigResource, ConfigResourceType

        changes = {each.name: each.wanted for each in differences if not each.advice}
        if (partitions := changes.pop("partitions", None)) is not None:
            self._client.create_partitions({self._topic: int(partitions)})
        if changes:
            resource = ConfigResource(ConfigResourceType.TOPIC, self._topic, configs=dict(changes))
            self._client.alter_configs([resource])

    def copies_for(self, spec: TopicSpec) -> int:
        """Return the copies that a topic should have on this cluster."""
        if spec.copies is not None:
            return spec.copies
        # describe_cluster() raises KeyError on brokers before Kafka 3.7 (kafka-python 3.0.12).
        return max(1, min(COPIES, len(self._client._manager.cluster.brokers())))

    def _partitions(self) -> list[dict[str, Any]] | None:
        from kafka import errors

        (found,) = self._client.describe_topics([self._topic])
        error = errors.for_code(found["error_code"])
        if error is errors.UnknownTopicOrPartitionError:
            return None
        if error is not errors.NoError:
            raise error()
        return found["partitions"]

    def _settings(self) -> dict[str, str] | None:
        from kafka import errors
        from kafka.admin import ConfigResource, ConfigResourceType

        try:
            resource = ConfigResource(ConfigResourceType.TOPIC, self._topic)
            found = self._client.describe_configs([resource], config_filter="all")["topic"][self._topic]
        except errors.AuthorizationError:
            return None
        # Without the right to read them the client answers with none at all.
        return {name: each["value"] for name, each in found.items()} or None

    @staticmethod
    def _wanted_settings(spec: TopicSpec, copies: int) -> dict[str, str]:
        return {
            "retention.ms": str(spec.retention_hours * HOUR_MS),
            "min.insync.replicas": str(min(2, copies)),
            "cleanup.policy": "delete",
        }

    def _differences(self, topic: Topic, spec: TopicSpec) -> Iterator[Difference]:
        if topic.partitions < spec.partitions:
            yield Difference("partitions", str(topic.partitions), str(spec.partitions))
        copies = self.copies_for(spec)
        if topic.copies < copies:
            advice = (
                f"move its partitions to {copies} brokers each with kafka-reassign-partitions.sh, "
                "or delete the topic when the outbox is empty and make it again"
            )
            yield Difference("copies", str(topic.copies), str(copies), advice)
        if topic.settings is None:
            return
        for name, wanted in self._wanted_settings(spec, copies).items():
            found = topic.settings.get(name, "")
            if name == "retention.ms" and (found.startswith("-") or int(found or 0) >= int(wanted)):
                continue
            if name == "min.insync.replicas" and topic.copies < copies:
                wanted = str(min(2, topic.copies))  # noqa: PLW2901 - more would stop every write until there are copies
            if found != wanted:
                yield Difference(name, found, wanted)
