"""Every error of the client, causes in one line, topics, rights, members without a partition."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from movie.core.ids import new_event_id
from movie.events.stream import EventStreamUnavailable
from movie.events.stream import kafka as kafka_stream
from movie.events.stream.base import Batch, Membership
from movie.events.stream.kafka import KafkaEventStream
from movie.events.stream.kafka_topic import HOUR_MS, TopicSpec
from movie.events.stream.messages import InteractionRecorded, decode
from movie.operations.metrics_server import metrics_server
from movie.telemetry.logging import RepeatFilter
from predictors.history import Interaction
from services.base import HOST, free_port
from services.kafka import ApacheKafka, missing_apache_kafka

KAFKA = "movie.events.stream.kafka.KafkaEventStream"


def message(visitor: str = "guest:a") -> InteractionRecorded:
    now = datetime.now(UTC)
    return InteractionRecorded(Interaction(new_event_id(), visitor, "click", 1, now, None, "for_you"), now)


def stream_setting(**options: Any) -> override_settings:
    return override_settings(EVENT_STREAM={"BACKEND": KAFKA, "OPTIONS": options})


def create(stream: KafkaEventStream, **spec: int) -> None:
    with stream.admin() as admin:
        admin.create(TopicSpec(**{"partitions": 2, "copies": 1, **spec}))


def topic_names(stream: KafkaEventStream) -> list[str]:
    with stream.admin() as admin:
        return admin._client.list_topics()


# -- every error from every call ----------------------------------------------------------------


def every_error() -> list[BaseException]:
    from kafka import errors

    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    found: list[BaseException] = [OSError("broken")]
    for kind in kinds:
        try:
            found.append(kind("said by the client"))
        except TypeError:
            found.append(kind.__new__(kind))
    return found


class FailingClient:
    """A client of Kafka, whichever: one of its calls raises an error."""

    def __init__(self, call: str, error: BaseException) -> None:
        self.call, self.error = call, error
        self._sender = self

    def _do(self, call: str, answer: Any = None) -> Any:
        if call == self.call:
            raise self.error
        return answer

    def send(self, *_: Any, **__: Any) -> FailingClient:
        return self._do("send", self)

    def get(self, timeout: float) -> None:
        self._do("get")

    def force_close(self) -> None:
        self._do("force_close")

    def join(self, seconds: float) -> None:
        self._do("join")

    @property
    def _cluster(self) -> Any:
        class Cluster:
            def topic_id(self, name: str) -> uuid.UUID:
                return uuid.UUID(int=1)

        return Cluster()

    def committed(self, partition: int, **_: Any) -> None:
        self._do("committed")

    def poll(self, timeout_ms: int) -> dict:
        class Record:
            value, topic, partition, offset, leader_epoch = b"{}", "t", 0, 0, 0

        return self._do("poll", {"t": [Record]})

    def assignment(self) -> set:
        return self._do("assignment", {0})

    def highwater(self, partition: int) -> int:
        return self._do("highwater", 7)

    def position(self, partition: int) -> int:
        return self._do("position", 5)

    def commit(self, offsets: dict, timeout_ms: int) -> None:
        self._do("commit")

    def close(self, **_: Any) -> None:
        self._do("close")


@pytest.mark.parametrize("call", ["create", "send", "get"])
def test_publish_lets_nothing_out_but_unavailable(monkeypatch, call):
    for error in every_error():
        stream = KafkaEventStream(topic="t", bootstrap_servers=(f"{HOST}:{free_port()}",))
        client = FailingClient(call, error)
        monkeypatch.setattr(stream, "_get_producer", lambda client=client: client._do("create", client))
        with pytest.raises(EventStreamUnavailable) as raised:
            stream.publish([message()])
        assert str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("call", ["force_close", "join", "close"])
def test_closing_a_producer_raises_nothing(monkeypatch, call):
    for error in every_error():
        stream = KafkaEventStream(topic="t", bootstrap_servers=("h:1",))
        stream._producer = FailingClient(call, error)  # type: ignore[assignment]
        stream.close()
        assert stream._producer is None


CONSUMING = ["create", "poll", "committed", "assignment", "highwater", "position", "commit", "close"]


@pytest.mark.parametrize("call", CONSUMING)
def test_consume_lets_nothing_out_but_unavailable(monkeypatch, call):
    from kafka.errors import CommitFailedError, RebalanceInProgressError

    for error in every_error():
        stream = KafkaEventStream(topic="t", bootstrap_servers=(f"{HOST}:{free_port()}",))
        client = FailingClient(call, error)
        monkeypatch.setattr(stream, "_new_consumer", lambda *_, client=client: client._do("create", client))
        turns = iter([False, False, True])
        batches = stream.consume("popularity", lambda turns=turns: next(turns))
        moved = call == "commit" and isinstance(error, CommitFailedError | RebalanceInProgressError)
        if moved or call == "close":
            assert len(list(batches)) == 2
        else:
            with pytest.raises(EventStreamUnavailable):
                list(batches)


# -- causes ---------------------------------------------------------------------------------------


def unavailable(stream: KafkaEventStream) -> str:
    with pytest.raises(EventStreamUnavailable) as raised:
        stream.publish([message()])
    return str(raised.value)


def test_an_address_that_cannot_be_is_named():
    closed = f"{HOST}:{free_port()}"
    assert f"nothing listens on {closed}" in unavailable(
        KafkaEventStream(topic="t", bootstrap_servers=(closed,))
    )
    nowhere = KafkaEventStream(topic="t", bootstrap_servers=("kafka.invalid:9092",))
    assert "host kafka.invalid of KAFKA_BOOTSTRAP_SERVERS does not resolve" in unavailable(nowhere)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """PEM files of an authority, of a broker and of a client, as strict as Python 3.13 wants them."""
    folder = tmp_path_factory.mktemp("certificates")

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
        "-days", "2", "-subj", "/CN=authority",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    (folder / "names").write_text(f"subjectAltName=IP:{HOST},DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    for name in ("broker", "client"):
        run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}")  # fmt: skip
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "names", "-out", f"{name}.pem")  # fmt: skip
    run("pkcs8", "-topk8", "-nocrypt", "-in", "broker.key", "-out", "broker.pk8")
    (folder / "keystore.pem").write_text(
        (folder / "broker.pk8").read_text() + (folder / "broker.pem").read_text()
    )
    return folder


class Secured:
    """Addresses of the listeners of a secured broker, by name."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.servers = {name: (f"{HOST}:{port}",) for name, port in ports.items()}

    def stream(self, listener: str, topic: str = "", **options: str) -> KafkaEventStream:
        topic = topic or f"t-{uuid.uuid4().hex[:8]}"
        return KafkaEventStream(topic=topic, bootstrap_servers=self.servers[listener], **options)


@pytest.fixture(scope="module")
def secured(tmp_path_factory, certificates):
    """Apache Kafka with a listener of each kind, users and access lists; PLAINTEXT may do everything."""
    if missing := missing_apache_kafka():
        pytest.skip(missing)
    ports = {name: free_port() for name in ("PLAINTEXT", "CONTROLLER", "TLS", "MUTUAL", "SASL")}
    jaas = "org.apache.kafka.common.security"
    public = {name: port for name, port in ports.items() if name != "CONTROLLER"}
    broker = ApacheKafka(
        tmp_path_factory.mktemp("secured"),
        ports["PLAINTEXT"],
        scram={"reelgraph": "right"},
        properties={
            "controller.quorum.voters": f"1@{HOST}:{ports['CONTROLLER']}",
            "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items()),
            "advertised.listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in public.items()),
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL,MUTUAL:SSL,"
            "SASL:SASL_PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(certificates / "keystore.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(certificates / "ca.pem"),
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{jaas}.scram.ScramLoginModule required;",
            "listener.name.sasl.oauthbearer.sasl.jaas.config": f"{jaas}.oauthbearer.OAuthBearerLoginModule "
            'required unsecuredLoginStringClaim_sub="broker";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:CN=client;User:token-user",
        },
    )
    broker.start()
    yield Secured(ports)
    broker.stop()


SCRAM = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_plain_username": "reelgraph",
    "sasl_plain_password": "right",
}


def test_each_cause_of_a_failed_connection_is_said_in_one_line(secured, certificates):
    authority = str(certificates / "ca.pem")
    cases = [
        ("SASL", {**SCRAM, "sasl_plain_password": "wrong"}, "refuses the credentials of reelgraph"),
        ("SASL", {**SCRAM, "sasl_mechanism": "PLAIN"}, "does not know KAFKA_SASL_MECHANISM=PLAIN"),
        ("SASL", {}, "wants a password; set KAFKA_SECURITY_PROTOCOL to SASL_PLAINTEXT"),
        ("PLAINTEXT", SCRAM, "takes no password"),
        ("TLS", {"security_protocol": "SSL"}, "is not trusted"),
        ("TLS", {}, "speaks TLS; set KAFKA_SECURITY_PROTOCOL to SSL"),
        ("PLAINTEXT", {"security_protocol": "SSL", "ssl_cafile": authority}, "does not speak TLS"),
        ("MUTUAL", {"security_protocol": "SSL", "ssl_cafile": authority}, "set KAFKA_SSL_CERTFILE"),
    ]
    said = {}
    for listener, options, expected in cases:
        line = unavailable(secured.stream(listener, **options))
        said[listener, expected] = line
    assert {key: line for key, line in said.items() if key[1] not in line} == {}
    assert not [line for line in said.values() if "\n" in line or "Unable to bootstrap" in line]


def test_mutual_tls_and_oauth_carry_messages(secured, certificates):
    mutual = secured.stream(
        "MUTUAL",
        security_protocol="SSL",
        ssl_cafile=str(certificates / "ca.pem"),
        ssl_certfile=str(certificates / "client.pem"),
        ssl_keyfile=str(certificates / "client.key"),
    )
    create(mutual)
    mutual.publish([message()])
    mutual.close()
    with tokens("token-user") as url:
        options = {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_plain_username": "client",
            "sasl_plain_password": "secret",
            "oauth_token_url": url,
        }
        oauth = secured.stream("SASL", mutual.topic, **options)
        oauth.publish([message()])
        oauth.close()
    refused = secured.stream("SASL", mutual.topic, **{**options, "oauth_token_url": f"http://{HOST}:1/token"})
    assert f"http://{HOST}:1/token gives no token" in unavailable(refused)


class tokens:
    """A server that gives unsigned tokens for one user to whoever knows the secret."""

    def __init__(self, user: str) -> None:
        now = int(time.time())
        parts = ({"alg": "none"}, {"sub": user, "iat": now, "exp": now + 600})
        encoded = [urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts]
        token = ".".join([*encoded, ""])

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                known = "client_secret=secret" in form and "grant_type=client_credentials" in form
                self.send_response(200 if known else 401)
                self.end_headers()
                self.wfile.write(json.dumps({"access_token": token, "expires_in": 600}).encode())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = HTTPServer((HOST, 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://{HOST}:{self.server.server_port}/token"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


# -- rights ---------------------------------------------------------------------------------------


def grant(secured: Secured, kind: str, name: str, *operations: str, prefixed: bool = False) -> None:
    from kafka.admin import (
        ACL,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        ResourcePattern,
        ResourceType,
    )

    pattern = ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL
    rules = [
        ACL("User:reelgraph", "*", ACLOperation[each], ACLPermissionType.ALLOW,
            ResourcePattern(ResourceType[kind], name, pattern))
        for each in operations
    ]  # fmt: skip
    with secured.stream("PLAINTEXT").admin() as admin:
        admin._client.create_acls(rules)


def test_a_missing_right_is_named_and_the_documented_ones_are_enough(secured, capsys):
    owner = secured.stream("PLAINTEXT")
    stream = secured.stream("SASL", owner.topic, **SCRAM)
    options = {"topic": owner.topic, "bootstrap_servers": secured.servers["SASL"], **SCRAM}
    grant(secured, "TOPIC", owner.topic, "DESCRIBE")
    with (
        stream_setting(**options),
        pytest.raises(CommandError, match=r"no right to make it.*kafka-topics\.sh"),
    ):
        call_command("create_event_topic", partitions=2)
    create(owner)
    with stream_setting(**options):
        call_command("create_event_topic", partitions=2)
    told = capsys.readouterr().out
    assert f"The topic {owner.topic} is there." in told and "DescribeConfigs" in told
    assert f"no right on the topic {owner.topic}; grant Read, Write and Describe" in unavailable(stream)
    grant(secured, "TOPIC", owner.topic, "READ", "WRITE")
    stream.publish([message()])
    with pytest.raises(EventStreamUnavailable, match="no right on the group reelgraph-popularity"):
        for _ in stream.consume("popularity", lambda: False):
            pass
    grant(secured, "GROUP", "reelgraph-", "READ", prefixed=True)
    batch = next(batch for batch in stream.consume("popularity", lambda: False) if batch)
    assert len(batch) == 1
    stream.close()


# -- the topic ------------------------------------------------------------------------------------


@pytest.fixture
def apache_stream(apache_kafka_service):
    servers = (apache_kafka_service.variables()["KAFKA_BOOTSTRAP_SERVERS"],)
    stream = KafkaEventStream(topic=f"t-{uuid.uuid4().hex[:8]}", bootstrap_servers=servers)
    yield stream
    stream.close()


def test_a_relay_and_a_consumer_wait_for_a_missing_topic_and_never_make_it(apache_stream):
    line = f"there is no topic {apache_stream.topic}; make it with manage.py create_event_topic"
    assert unavailable(apache_stream) == line
    with pytest.raises(EventStreamUnavailable, match="make it with"):
        next(apache_stream.consume("popularity", lambda: False))
    assert apache_stream.topic not in topic_names(apache_stream)
    create(apache_stream)
    apache_stream.publish([message()])


def test_a_topic_that_is_deleted_under_way_is_not_made_again_by_the_client(apache_stream, monkeypatch):
    monkeypatch.setattr(kafka_stream, "ACKNOWLEDGED_WITHIN", 3)
    monkeypatch.setattr(kafka_stream, "COMMIT_MS", 1_000)
    create(apache_stream)
    apache_stream.publish([message()])
    batches = apache_stream.consume("popularity", lambda: False)
    assert next(batch for batch in batches if batch)
    with apache_stream.admin() as admin:
        admin._client.delete_topics([apache_stream.topic])
    with pytest.raises(EventStreamUnavailable):
        apache_stream.publish([message()])
    with suppress(EventStreamUnavailable):  # from the commit, which finds no topic
        for _ in range(6):
            next(batches)
    batches.close()
    assert apache_stream.topic not in topic_names(apache_stream)


def make_again(stream: KafkaEventStream) -> None:
    """Delete the topic and make it with one partition, in which nothing lies."""
    with stream.admin() as admin:
        admin._client.delete_topics([stream.topic])
        while stream.topic in admin._client.list_topics():
            time.sleep(0.05)
        admin.create(TopicSpec(partitions=1, copies=1))
    stream.close()  # its producer knows the old one


def read(batches: Iterator[Batch], number: int, seconds: float = 20.0) -> set[str]:
    """Return the ids of so many messages, or of those that came in time."""
    ids: set[str] = set()
    end = time.monotonic() + seconds
    while len(ids) < number and time.monotonic() < end:
        ids |= {decode(each.raw).event_id for each in next(batches)}
    return ids


@pytest.mark.parametrize(("before", "after"), [(40, 10), (10, 40)], ids=["shorter", "longer"])
@pytest.mark.parametrize("who", ["same consumer", "another of the group"])
def test_all_of_a_topic_that_was_made_again_is_read(apache_stream, monkeypatch, before, after, who):
    """Also by a consumer that was busy all the while and has its position in the old topic."""
    monkeypatch.setattr(kafka_stream, "METADATA_MS", 1_000)
    create(apache_stream, partitions=1)
    apache_stream.publish([message() for _ in range(before)])
    batches = apache_stream.consume("popularity", lambda: False, "member-1")
    assert len(read(batches, before)) == before
    make_again(apache_stream)
    new = [message() for _ in range(after)]
    apache_stream.publish(new)
    if who != "same consumer":  # what the busy one read last is committed in the new topic
        next(batches)
        batches.close()
        batches = apache_stream.consume("popularity", lambda: False, "member-1")
    assert read(batches, after) == {each.event_id for each in new}
    batches.close()


def test_a_topic_that_is_not_as_it_should_be_is_compared_and_altered(apache_stream, capsys):
    with apache_stream.admin() as admin:
        admin._client.create_topics({apache_stream.topic: {"num_partitions": 1, "replication_factor": 1,
            "configs": {"retention.ms": str(7 * 24 * HOUR_MS), "cleanup.policy": "compact"}}})  # fmt: skip
    warnings = apache_stream.warnings()
    assert any("partitions is 1" in each for each in warnings)
    options = {"topic": apache_stream.topic, **apache_stream._connection}
    with stream_setting(**options):
        with pytest.raises(CommandError) as differs:
            call_command("create_event_topic", partitions=4)
        assert differs.value.returncode == 3
        told = capsys.readouterr().out
        for name in ("partitions is 1", "retention.ms is 604800000", "cleanup.policy is compact"):
            assert name in told
        with pytest.raises(CommandError) as remains:
            call_command("create_event_topic", partitions=4, replication=2, alter=True)
        assert remains.value.returncode == 3
        assert "kafka-reassign-partitions.sh" in capsys.readouterr().out
        call_command("create_event_topic", partitions=4)
        assert "is there." in capsys.readouterr().out
    with apache_stream.admin() as admin:
        topic = admin.describe()
    assert topic is not None and topic.partitions == 4
    assert topic.settings["cleanup.policy"] == "delete"
    assert apache_stream.warnings() == []


def test_a_batch_larger_than_the_topic_takes_is_split_and_arrives(apache_stream):
    create(apache_stream, partitions=1)
    from kafka.admin import ConfigResource, ConfigResourceType

    with apache_stream.admin() as admin:
        configs = {"max.message.bytes": "8000"}
        resource = ConfigResource(ConfigResourceType.TOPIC, apache_stream.topic, configs=configs)
        admin._client.alter_configs([resource])
    messages = [message(f"guest:{n}") for n in range(200)]
    apache_stream.publish(messages)
    found: list = []
    for batch in apache_stream.consume("popularity", lambda found=found: len(found) >= 200):
        found += batch
    assert len(found) == 200


def test_a_member_without_a_partition_says_why_and_is_not_ready(apache_stream, monkeypatch, caplog):
    monkeypatch.setattr("movie.events.stream.base.WITHOUT_PARTITION_SECONDS", 3.0)
    monkeypatch.setattr(kafka_stream, "OBSERVE_SECONDS", 0.5)
    create(apache_stream, partitions=1)
    memberships = [Membership("popularity") for _ in range(2)]
    stop = threading.Event()

    def run(membership: Membership) -> None:
        own = KafkaEventStream(topic=apache_stream.topic, **apache_stream._connection)
        for _ in own.consume("popularity", stop.is_set, membership=membership):
            pass

    with caplog.at_level(logging.WARNING, logger="movie.events.stream.kafka"):
        threads = [threading.Thread(target=run, args=[each]) for each in memberships]
        for each in threads:
            each.start()
        try:
            deadline = time.monotonic() + 40
            while time.monotonic() < deadline and not any(each.problem for each in memberships):
                time.sleep(0.2)
        finally:
            stop.set()
            for each in threads:
                each.join(30)
    idle, busy = sorted(memberships, key=lambda each: each.partitions)
    assert (idle.partitions, busy.partitions) == (0, 1)
    assert "hold all 1 partitions" in idle.why_not_ready()
    assert not busy.why_not_ready()
    assert any("hold all 1 partitions" in each.getMessage() for each in caplog.records)


def test_a_consumer_answers_probes_on_its_metrics_port():
    why = [""]
    port = free_port()
    address = f"http://{HOST}:{port}/health/ready"
    with metrics_server(port, lambda: why[0]):
        with urlopen(address, timeout=5) as answer:
            assert (answer.status, answer.read()) == (200, b"ready\n")
        why[0] = "holds no partition: no right on the topic"
        with pytest.raises(HTTPError) as refused:
            urlopen(address, timeout=5)
        assert refused.value.code == 503
        assert "no right on the topic" in refused.value.read().decode()


# -- the client's own lines ------------------------------------------------------------------------


def test_the_same_line_of_the_client_comes_once_in_half_a_minute_with_its_count(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("movie.telemetry.logging.time.monotonic", lambda: now[0])
    lines = RepeatFilter()

    def passes(text: str, *arguments: object) -> str:
        record = logging.LogRecord("kafka.cluster", logging.ERROR, "", 0, text, arguments, None)
        return record.getMessage() if lines.filter(record) else ""

    assert passes("Topic %s not found, try %d", "t", 1)
    for number in range(9):
        assert not passes("Topic %s not found, try %d", "t", number)
    assert passes("Another line")
    now[0] += 31
    assert passes("Topic %s not found, try %d", "t", 11).endswith("(and 9 more like it since)")
