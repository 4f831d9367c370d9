"""The table in DynamoDB: items, pages, batches. Errors of boto3 end here as EventLogUnavailable.

visitor   S  partition key: guest:... or user:...
event     S  sort key: <event id>#<kind>#<film>. Event ids order by time, and a row that is written
             again lands on itself
at        S  when it happened; recorded S: when it was stored. UTC, microseconds
surface   S  the page, list S: the recommendation. Absent when empty
expires   N  TTL, seconds since 1970. Guests only; readers filter, as deletion may take days
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from movie.event_log.base import EventLogUnavailable
from movie.visitors import LIFETIME
from predictors.history import Interaction, MovieId

IN_A_BATCH = 25  # what DynamoDB takes at most
PAGE = 1000  # items, about 200 kB: below the 1 MB of an answer
BATCH_TRIES = 8
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0  # seconds
CONNECT_SECONDS, READ_SECONDS = 1.0, 2.0  # a page waits for this

Item = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Stored:
    """An interaction in the table."""

    interaction: Interaction
    recorded_at: datetime

    @property
    def key(self) -> tuple[str, str, MovieId]:
        """What makes it the same one, within one visitor."""
        return self.interaction.event_id, self.interaction.kind, self.interaction.movie_id

    def of(self, visitor: str) -> Stored:
        return replace(self, interaction=replace(self.interaction, visitor=visitor))


class DynamoDBTable:
    """Safe to share between threads. Credentials come from where boto3 looks for them."""

    def __init__(self, name: str, *, region: str, endpoint_url: str = "") -> None:
        self.name, self._region, self._endpoint_url = name, region, endpoint_url

    def newest_first(self, visitor: str, *, consistent: bool = False) -> Iterator[Stored]:
        """The visitor's items by descending event id, page after page, without expired ones."""
        now = time.time()
        for item in self._items(
            KeyConditionExpression="visitor = :visitor",
            ExpressionAttributeValues={":visitor": {"S": visitor}},
            ScanIndexForward=False,
            ConsistentRead=consistent,
        ):
            if "expires" not in item or float(item["expires"]["N"]) > now:
                yield _read(item)

    def write(self, puts: Sequence[Stored], deletes: Sequence[Stored] = ()) -> None:
        """Put and delete, in batches; what the table was too busy for is tried again."""
        requests: dict[tuple[str, str], dict[str, Any]] = {}  # a batch may name a key once
        for stored in deletes:
            key = _key(stored)
            requests[key["visitor"]["S"], key["event"]["S"]] = {"DeleteRequest": {"Key": key}}
        for stored in puts:
            item = _item(stored)
            requests[item["visitor"]["S"], item["event"]["S"]] = {"PutRequest": {"Item": item}}
        pending = list(requests.values())
        for start in range(0, len(pending), IN_A_BATCH):
            self._write_batch(pending[start : start + IN_A_BATCH])

    def visitors(self) -> Iterator[str]:
        """Every visitor of the table; reads all keys."""
        last = None
        pages = self._pages("scan", ProjectionExpression="visitor")
        for item in (item for page in pages for item in page):  # items of a partition come together
            if item["visitor"]["S"] != last:
                last = item["visitor"]["S"]
                yield last

    def create(self) -> bool:
        """Make the table, billed by request, with TTL; returns False when there is one.

        Raises EventLogUnavailable.
        """
        with _translated():
            try:
                self._client.create_table(
                    TableName=self.name,
                    BillingMode="PAY_PER_REQUEST",
                    AttributeDefinitions=[
                        {"AttributeName": "visitor", "AttributeType": "S"},
                        {"AttributeName": "event", "AttributeType": "S"},
                    ],
                    KeySchema=[
                        {"AttributeName": "visitor", "KeyType": "HASH"},
                        {"AttributeName": "event", "KeyType": "RANGE"},
                    ],
                )
                made = True
            except self._client.exceptions.ResourceInUseException:
                made = False
            self._client.get_waiter("table_exists").wait(
                TableName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
            )
            return made

    def expire(self) -> bool:
        """Let DynamoDB delete expired items; False where the server cannot. Raises EventLogUnavailable."""
        from botocore.exceptions import ClientError

        with _translated():
            try:
                self._client.update_time_to_live(
                    TableName=self.name,
                    TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"},
                )
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "UnknownOperationException":
                    return False
                if code != "ValidationException" or "already enabled" not in str(error):
                    raise
        return True

    def _items(self, **query: Any) -> Iterator[Item]:
        for page in self._pages("query", **query):
            yield from page

    def _pages(self, operation: str, **request: Any) -> Iterator[list[Item]]:
        while True:
            with _translated():
                answer = getattr(self._client, operation)(TableName=self.name, Limit=PAGE, **request)
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _write_batch(self, requests: list[dict[str, Any]]) -> None:
        for attempt in range(BATCH_TRIES):
            with _translated():
                answer = self._client.batch_write_item(RequestItems={self.name: requests})
            requests = answer.get("UnprocessedItems", {}).get(self.name, [])
            if not requests:
                return
            time.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)))  # noqa: S311
        raise EventLogUnavailable(f"{len(requests)} items were not taken in {BATCH_TRIES} tries")

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            region_name=self._region,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": 2, "mode": "standard"},
            max_pool_connections=16,
        )
        return boto3.session.Session().client(
            "dynamodb", endpoint_url=self._endpoint_url or None, config=config
        )


@contextmanager
def _translated() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise EventLogUnavailable(f"{type(error).__name__}: {error}") from error


def _key(stored: Stored) -> Item:
    event = "#".join(map(str, stored.key))
    return {"visitor": {"S": stored.interaction.visitor}, "event": {"S": event}}


def _item(stored: Stored) -> Item:
    interaction = stored.interaction
    item = _key(stored)
    item["at"] = {"S": _text(interaction.at)}
    item["recorded"] = {"S": _text(stored.recorded_at)}
    if interaction.surface:
        item["surface"] = {"S": interaction.surface}
    if interaction.recommendation_id:
        item["list"] = {"S": interaction.recommendation_id}
    if interaction.visitor.startswith("guest:"):
        # As long as the cookie by which the guest is known.
        item["expires"] = {"N": str(int((stored.recorded_at + LIFETIME + timedelta(days=1)).timestamp()))}
    return item


def _read(item: Item) -> Stored:
    event_id, kind, movie_id = item["event"]["S"].split("#", 2)
    interaction = Interaction(
        event_id=event_id,
        visitor=item["visitor"]["S"],
        kind=kind,
        movie_id=int(movie_id),
        at=datetime.fromisoformat(item["at"]["S"]),
        surface=item["surface"]["S"] if "surface" in item else "",
        recommendation_id=item["list"]["S"] if "list" in item else "",
    )
    return Stored(interaction, datetime.fromisoformat(item["recorded"]["S"]))


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
