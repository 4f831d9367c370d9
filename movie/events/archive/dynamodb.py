"""Old clicks in DynamoDB. Errors of boto3 end here as ArchiveUnavailable.

visitor   S  partition key: guest:..., user:... or api:...
event     S  sort key: <event id>#click#<movie>, and impression#<event id>#impression#<movie>, which
             so follow all clicks. Event ids order by time, and an event that is written again
             replaces itself
at        S  when it happened; recorded S: when it was stored. UTC, microseconds
surface   S  the page, list S: the recommendation. Absent when empty
expires   N  TTL, seconds since 1970. Guests only; readers filter, as deletion may take days
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from movie.events.archive.base import Archived, ArchiveUnavailable, ClickArchive
from movie.visitors.visitor import LIFETIME
from predictors.history import Interaction

log = logging.getLogger(__name__)

IN_A_BATCH = 25  # what DynamoDB takes at most
PAGE = 1000  # items, about 200 kB: below the 1 MB of an answer
BATCH_TRIES = 8
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0  # seconds
CONNECT_SECONDS, READ_SECONDS = 1.0, 2.0  # a page waits for this
AWAY_SECONDS = 5.0  # after a failure pages do without DynamoDB for so long
IMPRESSION = "impression"  # sorts after every event id, which is hexadecimal

Item = dict[str, dict[str, str]]


class DynamoDBArchive(ClickArchive):
    """Stores old clicks in a DynamoDB table, with the credentials that boto3 finds."""

    uses_outbox = True

    def __init__(self, *, table: str, region: str, endpoint_url: str = "") -> None:
        self.name, self._region, self._endpoint_url = table, region, endpoint_url
        self._away_until = 0.0

    def write(self, events: Sequence[Archived]) -> None:
        items = {(each.interaction.visitor, _sort_key(each)): _item(each) for each in events}
        self._write([{"PutRequest": {"Item": item}} for item in items.values()])

    def read(self, visitor: str | None = None, *, latest_clicks: int | None = None) -> Iterator[Archived]:
        now = time.time()
        for item in self._items(visitor, latest_clicks):
            if "expires" not in item or float(item["expires"]["N"]) > now:
                yield _archived(item)

    def delete(self, events: Sequence[Archived]) -> None:
        keys = {(each.interaction.visitor, _sort_key(each)): _key(each) for each in events}
        self._write([{"DeleteRequest": {"Key": key}} for key in keys.values()])

    def create(self) -> bool:
        """Make the table, billed by request, with TTL; returns False when there is one.

        Raises ArchiveUnavailable.
        """
        with _translate_errors():
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
        """Let DynamoDB delete expired items; False where the server cannot. Raises ArchiveUnavailable."""
        from botocore.exceptions import ClientError

        with _translate_errors():
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

    def _items(self, visitor: str | None, latest_clicks: int | None) -> Iterator[Item]:
        if visitor is None:
            yield from self._pages("scan")
        elif latest_clicks is None:
            yield from self._pages("query", **_of(visitor), ConsistentRead=True)
        else:
            yield from self._latest_clicks(visitor, latest_clicks)

    def _latest_clicks(self, visitor: str, limit: int) -> list[Item]:
        """Return the latest clicks by one query, of 1 MB at most; raise at once for a while after a
        failure.
        """
        if time.monotonic() < self._away_until:
            raise ArchiveUnavailable("it failed a moment ago")
        try:
            with _translate_errors():
                answer = self._client.query(
                    TableName=self.name, Limit=limit, ScanIndexForward=False, **_of(visitor, clicks=True)
                )
        except ArchiveUnavailable as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("Histories are without older clicks, as DynamoDB cannot be read: %s", error)
            raise
        items: list[Item] = answer["Items"]
        return items

    def _pages(self, operation: str, **request: Any) -> Iterator[Item]:
        while True:
            with _translate_errors():
                answer = getattr(self._client, operation)(TableName=self.name, Limit=PAGE, **request)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _write(self, requests: list[dict[str, Any]]) -> None:
        """Send requests in batches; what the table was too busy for is tried again."""
        for start in range(0, len(requests), IN_A_BATCH):
            self._write_batch(requests[start : start + IN_A_BATCH])

    def _write_batch(self, requests: list[dict[str, Any]]) -> None:
        for attempt in range(BATCH_TRIES):
            with _translate_errors():
                answer = self._client.batch_write_item(RequestItems={self.name: requests})
            requests = answer.get("UnprocessedItems", {}).get(self.name, [])
            if not requests:
                return
            time.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)))  # noqa: S311
        raise ArchiveUnavailable(f"{len(requests)} items were not taken in {BATCH_TRIES} tries")

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
def _translate_errors() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ArchiveUnavailable(f"{type(error).__name__}: {error}") from error


def _of(visitor: str, *, clicks: bool = False) -> dict[str, Any]:
    """Return the conditions of a query: all events of a visitor, or only the clicks."""
    condition, values = "visitor = :visitor", {":visitor": {"S": visitor}}
    if clicks:
        condition += " AND event < :impression"
        values[":impression"] = {"S": IMPRESSION}
    return {"KeyConditionExpression": condition, "ExpressionAttributeValues": values}


def _sort_key(archived: Archived) -> str:
    each = archived.interaction
    prefix = f"{IMPRESSION}#" if each.kind == IMPRESSION else ""
    return f"{prefix}{each.event_id}#{each.kind}#{each.movie_id}"


def _key(archived: Archived) -> Item:
    return {"visitor": {"S": archived.interaction.visitor}, "event": {"S": _sort_key(archived)}}


def _item(archived: Archived) -> Item:
    interaction = archived.interaction
    item = _key(archived)
    item["at"] = {"S": _text(interaction.at)}
    item["recorded"] = {"S": _text(archived.recorded_at)}
    if interaction.surface:
        item["surface"] = {"S": interaction.surface}
    if interaction.recommendation_id:
        item["list"] = {"S": interaction.recommendation_id}
    if interaction.weight is not None:
        item["weight"] = {"N": repr(interaction.weight)}
    if interaction.visitor.startswith("guest:"):
        # As long as the cookie by which the guest is known.
        expires = archived.recorded_at + LIFETIME + timedelta(days=1)
        item["expires"] = {"N": str(int(expires.timestamp()))}
    return item


def _archived(item: Item) -> Archived:
    event_id, kind, movie_id = item["event"]["S"].removeprefix(f"{IMPRESSION}#").split("#")
    interaction = Interaction(
        event_id=event_id,
        visitor=item["visitor"]["S"],
        kind=kind,
        movie_id=int(movie_id),
        at=datetime.fromisoformat(item["at"]["S"]),
        surface=item["surface"]["S"] if "surface" in item else "",
        recommendation_id=item["list"]["S"] if "list" in item else "",
        weight=float(item["weight"]["N"]) if "weight" in item else None,
    )
    return Archived(interaction, datetime.fromisoformat(item["recorded"]["S"]))


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
