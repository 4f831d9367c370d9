"""The stream on Kafka: one topic, keyed by visitor, written by relays and read by groups of consumers."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from movie.events.stream.base import Batch, EventStream, EventStreamUnavailable, RawMessage, Stop
from movie.events.stream.messages import Message, encode

if TYPE_CHECKING:
    from kafka import KafkaConsumer, KafkaProducer

log = logging.getLogger(__name__)

CONNECT_MS = 3_000
ACKNOWLEDGED_WITHIN = 15  # seconds for a whole batch
POLL_MS = 500
MOST_AT_ONCE = 500
SESSION_MS = 10_000  # without a sign of life for so long, the others of the group take over


class KafkaEventStream(EventStream):
    """For relays and consumers, one of each in a process; web processes only look at `uses_outbox`."""

    uses_outbox = True

    def __init__(self, *, topic: str, **connection: Any) -> None:
        """`connection` goes to the client as it is: bootstrap_servers, security_protocol ..."""
        self.topic = topic
        self._connection = connection
        self._producer: KafkaProducer | None = None

    def publish(self, messages: Sequence[Message]) -> None:
        from kafka.errors import KafkaError

        try:
            producer = self._ready_producer()
            sent = [
                producer.send(self.topic, key=message.visitor.encode(), value=encode(message))
                for message in messages
            ]
            producer.flush(timeout=ACKNOWLEDGED_WITHIN)
            for future in sent:
                future.get(timeout=0)
        except KafkaError as error:
            # What is still in its buffer must not go out later, beside the next attempt.
            self.close()
            raise EventStreamUnavailable(f"{type(error).__name__}: {error}") from error

    def consume(self, group: str, stop: Stop, member: str = "") -> Iterator[Batch]:
        from kafka import KafkaConsumer
        from kafka.errors import CommitFailedError, KafkaError, RebalanceInProgressError

        consumer: KafkaConsumer | None = None
        try:
            consumer = KafkaConsumer(
                self.topic,
                group_id=f"reelgraph-{group}",
                group_instance_id=member or None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=CONNECT_MS,
                session_timeout_ms=SESSION_MS,
                max_poll_records=MOST_AT_ONCE,
                metrics_enabled=False,
                **self._connection,
            )
            while not stop():
                polled = consumer.poll(timeout_ms=POLL_MS)
                yield [
                    RawMessage(record.value, f"{record.topic}/{record.partition}@{record.offset}")
                    for records in polled.values()
                    for record in records
                ]
                if not polled:
                    continue
                try:
                    consumer.commit()
                except (CommitFailedError, RebalanceInProgressError) as moved:
                    # Another member has these partitions now and reads this batch again, to no effect.
                    log.info("The batch was not committed: %s", moved)
        except KafkaError as error:
            raise EventStreamUnavailable(f"{type(error).__name__}: {error}") from error
        finally:
            if consumer is not None:
                consumer.close(autocommit=False)

    def create_topic(self, *, partitions: int, replication: int, retention_hours: int) -> bool:
        """Make the topic; returns False when there is one, which then has at least as many partitions.

        A broker may have made it with one, for whoever asked first. Raises EventStreamUnavailable.
        """
        from kafka.admin import KafkaAdminClient, NewPartitions, NewTopic
        from kafka.errors import KafkaError, TopicAlreadyExistsError

        wanted = NewTopic(
            self.topic,
            num_partitions=partitions,
            replication_factor=replication,
            topic_configs={
                "retention.ms": str(retention_hours * 3_600_000),
                "min.insync.replicas": str(min(2, replication)),
                "cleanup.policy": "delete",
            },
        )
        try:
            admin = KafkaAdminClient(bootstrap_timeout_ms=CONNECT_MS, **self._connection)
            try:
                admin.create_topics([wanted])
            except TopicAlreadyExistsError:
                (there,) = admin.describe_topics([self.topic])
                if len(there["partitions"]) < partitions:
                    admin.create_partitions({self.topic: NewPartitions(partitions)})
                return False
            finally:
                admin.close()
        except KafkaError as error:
            raise EventStreamUnavailable(f"{type(error).__name__}: {error}") from error
        return True

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=0)
            self._producer = None

    def _ready_producer(self) -> KafkaProducer:
        from kafka import KafkaProducer

        if self._producer is None:
            self._producer = KafkaProducer(
                acks="all",
                # A repeat has no effect at the consumers, so the broker need not filter repeats.
                enable_idempotence=False,
                max_in_flight_requests_per_connection=1,
                retries=3,
                linger_ms=5,
                batch_size=256 * 1024,
                max_block_ms=CONNECT_MS,
                request_timeout_ms=10_000,
                delivery_timeout_ms=12_000,
                bootstrap_timeout_ms=CONNECT_MS,
                allow_auto_create_topics=False,
                metrics_enabled=False,
                client_id=f"reelgraph-relay-{random.randrange(10**6)}",  # noqa: S311 - a name, no secret
                **self._connection,
            )
        return self._producer
