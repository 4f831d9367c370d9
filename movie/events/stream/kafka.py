"""The stream on Kafka: one topic, keyed by visitor, written by relays and read by groups of consumers."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from movie.events.stream.base import (
    Batch,
    EventStream,
    EventStreamUnavailable,
    Membership,
    RawMessage,
    Stop,
)
from movie.events.stream.kafka_connection import client_options, explain, prepare_client
from movie.events.stream.kafka_topic import TopicAdmin, TopicSpec
from movie.events.stream.kafka_topic_id import TopicIdCheck
from movie.events.stream.messages import Message, encode

if TYPE_CHECKING:
    from kafka import KafkaConsumer, KafkaProducer

log = logging.getLogger(__name__)

CONNECT_MS = 3_000
ACKNOWLEDGED_WITHIN = 15  # seconds for a whole batch
CLOSE_SECONDS = 1.0
POLL_MS = 500
COMMIT_MS = 10_000
METADATA_MS = 30_000  # until a consumer notices a topic that was made again and is longer than the old one
MOST_AT_ONCE = 500
SESSION_MS = 10_000  # without a sign of life for so long, the others of the group take over
RECENT_SECONDS = 30.0  # a failure that the client logged before has nothing to do with this one
OBSERVE_SECONDS = 5.0  # between two looks at partitions and lag
GROUP_PREFIX = "reelgraph-"


class KafkaEventStream(EventStream):
    """Publishes for a relay or consumes for one consumer; web processes only read `uses_outbox`."""

    uses_outbox = True

    def __init__(self, *, topic: str, **connection: Any) -> None:
        """Pass `connection` to the client unchanged: bootstrap_servers, security_protocol and so on."""
        self.topic = topic
        self._connection = connection
        self._producer: KafkaProducer | None = None

    def publish(self, messages: Sequence[Message]) -> None:
        try:
            with self._translated():
                producer = self._get_producer()
                deadline = time.monotonic() + ACKNOWLEDGED_WITHIN
                sent = [
                    producer.send(self.topic, key=message.visitor.encode(), value=encode(message))
                    for message in messages
                ]
                for future in sent:
                    future.get(timeout=max(0.0, deadline - time.monotonic()))
        except EventStreamUnavailable:
            # What is still in its buffer must not go out later, beside the next attempt.
            self.close()
            raise

    def consume(
        self, group: str, stop: Stop, member: str = "", membership: Membership | None = None
    ) -> Iterator[Batch]:
        membership = membership or Membership(group)
        consumer: KafkaConsumer | None = None
        try:
            with self._translated(f"{GROUP_PREFIX}{group}"):
                consumer = self._new_consumer(group, member)
                topic_id_check, observed_at = TopicIdCheck(consumer, self.topic), 0.0
                while not stop():
                    polled = topic_id_check.readable(consumer.poll(timeout_ms=POLL_MS))
                    if time.monotonic() - observed_at > OBSERVE_SECONDS:
                        observed_at = time.monotonic()
                        self._observe(consumer, membership)
                    yield [
                        RawMessage(record.value, f"{record.topic}/{record.partition}@{record.offset}")
                        for records in polled.values()
                        for record in records
                    ]
                    if polled:
                        _commit(consumer, topic_id_check.offsets(polled), membership)
        finally:
            if consumer is not None:
                _close_consumer(consumer)

    def warnings(self) -> list[str]:
        # A site may have made its topic with fewer partitions on purpose, but never with the one of a broker.
        with self.admin() as admin:
            return admin.warnings(TopicSpec(partitions=2))

    @contextmanager
    def admin(self) -> Iterator[TopicAdmin]:
        """Open a connection that describes and changes the topic. Raises EventStreamUnavailable."""
        from kafka.admin import KafkaAdminClient
        from kafka.errors import KafkaError

        with self._translated():
            prepare_client()
            client = KafkaAdminClient(bootstrap_timeout_ms=CONNECT_MS, **client_options(self._connection))
            try:
                yield TopicAdmin(client, self.topic)
            finally:
                with suppress(KafkaError, OSError):
                    client.close()

    def close(self) -> None:
        from kafka.errors import KafkaError

        producer, self._producer = self._producer, None
        if producer is None:
            return
        with suppress(KafkaError, OSError):
            # close() alone would flush first, and raise for what cannot be sent.
            producer._sender.force_close()
            producer._sender.join(CLOSE_SECONDS)
            producer.close(timeout=0)

    @contextmanager
    def _translated(self, group: str = "") -> Iterator[None]:
        """Turn every error of the client into EventStreamUnavailable with its cause."""
        from kafka.errors import KafkaError

        failures, start = prepare_client(), time.monotonic()
        try:
            yield
        except (KafkaError, OSError) as error:
            logged = failures.since(max(start, time.monotonic() - RECENT_SECONDS))
            line = explain(error, self._connection, logged, self.topic, group)
            raise EventStreamUnavailable(line) from error

    def _require_topic(self) -> None:
        with self.admin() as admin:
            admin.require()

    def _get_producer(self) -> KafkaProducer:
        from kafka import KafkaProducer

        if self._producer is None:
            self._require_topic()
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
                metrics_enabled=False,
                client_id=f"reelgraph-relay-{random.randrange(10**6)}",  # noqa: S311 - a name, no secret
                **client_options(self._connection),
            )
        return self._producer

    def _new_consumer(self, group: str, member: str) -> KafkaConsumer:
        from kafka import KafkaConsumer

        self._require_topic()
        return KafkaConsumer(
            self.topic,
            group_id=f"{GROUP_PREFIX}{group}",
            group_instance_id=member or None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            bootstrap_timeout_ms=CONNECT_MS,
            session_timeout_ms=SESSION_MS,
            max_poll_records=MOST_AT_ONCE,
            metadata_max_age_ms=METADATA_MS,
            metrics_enabled=False,
            **client_options(self._connection),
        )

    def _observe(self, consumer: KafkaConsumer, membership: Membership) -> None:
        """Note the member's partitions and lag; look for the reason while it holds none."""
        held = consumer.assignment()
        if held:
            membership.hold(len(held), sum(_lag(consumer, partition) for partition in held))
            return
        if not membership.why_not_ready():
            membership.lose("")
            return
        had_a_reason = bool(membership.problem)
        n_partitions = len(consumer.partitions_for_topic(self.topic) or ())
        if not n_partitions:
            self._require_topic()  # raises and says what is missing
        membership.lose(
            f"the other members of {GROUP_PREFIX}{membership.group} hold all {n_partitions} partitions of "
            f"{self.topic}; run fewer members, or more partitions with create_event_topic --alter"
        )
        if not had_a_reason:
            log.warning("This consumer %s", membership.why_not_ready())


def _lag(consumer: KafkaConsumer, partition: Any) -> int:
    """Return how many messages of a partition the consumer has not read, as far as it knows."""
    end = consumer.highwater(partition)
    return max(0, end - consumer.position(partition)) if end is not None else 0


def _commit(consumer: KafkaConsumer, offsets: dict[Any, Any], membership: Membership) -> None:
    from kafka.errors import CommitFailedError, RebalanceInProgressError

    try:
        # Without a time limit it tries for ever where the topic was deleted.
        consumer.commit(offsets, timeout_ms=COMMIT_MS)
    except (CommitFailedError, RebalanceInProgressError) as moved:
        # Another member has these partitions now and reads this batch again, to no effect.
        log.info("The batch was not committed: %s", moved)
    else:
        membership.commit()


def _close_consumer(consumer: KafkaConsumer) -> None:
    from kafka.errors import KafkaError

    with suppress(KafkaError, OSError):
        consumer.close(autocommit=False, timeout_ms=CONNECT_MS)
