"""A topic that was deleted and made again under its name: what a consumer knows of the old one is void.

The client goes on at its position in the old topic, or at the end of the new one ("truncation"), and what
lies before is never read. Kafka gives each topic an id (KIP-516), so positions are kept together with it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from kafka import KafkaConsumer

log = logging.getLogger(__name__)

Polled = Mapping[Any, list[Any]]  # records by partition
COMMITTED_MS = 10_000
NO_ID = (None, UUID(int=0))  # of brokers before Kafka 2.8, and of a topic that is away


class TopicIdCheck:
    """Goes to the start of each partition whose position is of a topic that is gone."""

    def __init__(self, consumer: KafkaConsumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic
        self._id: UUID | None = None
        self._held: set[Any] = set()

    def readable(self, polled: Polled) -> Polled:
        """Return what was polled, without the partitions that are now read from their start.

        A repeat has no effect at the handlers, so it is safe to read too much. Raises KafkaError.
        """
        topic_id = self._consumer._cluster.topic_id(self._topic)
        if topic_id in NO_ID:
            return polled
        held = set(self._consumer.assignment())
        if self._id not in (None, topic_id):
            stale = held
        else:
            stale = {each for each in held - self._held if self._is_of_another(each, topic_id)}
        self._id, self._held = topic_id, held
        if stale:
            log.warning("The topic %s was made again; it is read from its start", self._topic)
            self._consumer.seek_to_beginning(*stale)
        return {partition: records for partition, records in polled.items() if partition not in stale}

    def offsets(self, polled: Polled) -> dict[Any, Any]:
        """Return what to commit once these records have had their effect: offsets with the topic's id."""
        from kafka.structs import OffsetAndMetadata

        metadata = "" if self._id is None else str(self._id)
        return {
            partition: OffsetAndMetadata(records[-1].offset + 1, metadata, records[-1].leader_epoch)
            for partition, records in polled.items()
        }

    def _is_of_another(self, partition: Any, topic_id: UUID) -> bool:
        """Return whether the group's committed offset is of another topic; earlier versions said of none."""
        committed = self._consumer.committed(partition, metadata=True, timeout_ms=COMMITTED_MS)
        return committed is not None and committed.metadata not in ("", str(topic_id))
