"""Connections to Kafka: settings for the client, and one line of our own for each way in which they fail.

The client reports every failed connection as "Unable to bootstrap". The cause is in its log lines, where it
keeps it, and in what the broker's port answers; `explain` reads both.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from movie.events.stream.kafka_probe import probe, protocol_of

TOKEN_SECONDS = 10.0
RENEW_BEFORE = 60.0  # seconds before a token ends


class FailureLog(logging.Handler):
    """Keeps the last exceptions that the client only writes into its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._seen: deque[tuple[float, BaseException]] = deque(maxlen=50)

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        self._seen += [(time.monotonic(), each) for each in arguments if isinstance(each, BaseException)]

    def since(self, start: float) -> list[BaseException]:
        """Return the exceptions since this monotonic time, the newest first."""
        return [error for at, error in reversed(self._seen) if at >= start]


def prepare_client() -> FailureLog:
    """Make the client keep its failures and never create a topic; return where it keeps them.

    The clients' own option `allow_auto_create_topics` reaches no request (kafka-python 3.0.12).
    """
    from kafka.cluster import ClusterMetadata

    ClusterMetadata.DEFAULT_CONFIG["allow_auto_create_topics"] = False
    logger = logging.getLogger("kafka")
    for handler in logger.handlers:
        if isinstance(handler, FailureLog):
            return handler
    found = FailureLog()
    logger.addHandler(found)
    return found


def client_options(connection: Mapping[str, Any]) -> dict[str, Any]:
    """Return the client's options: an address for OAuth tokens becomes a provider of tokens."""
    options = dict(connection)
    url, scope = options.pop("oauth_token_url", ""), options.pop("oauth_scope", "")
    if url:
        options["sasl_oauth_token_provider"] = _token_provider(
            url, options.pop("sasl_plain_username"), options.pop("sasl_plain_password"), scope
        )
    return options


def _token_provider(url: str, client_id: str, secret: str, scope: str) -> Any:
    from kafka.errors import KafkaConfigurationError
    from kafka.net.sasl.oauth import AbstractTokenProvider

    class ClientCredentials(AbstractTokenProvider):
        """Fetches tokens by the client credentials grant (RFC 6749, 4.4) and keeps each until it ends."""

        def __init__(self) -> None:
            super().__init__()
            self._token, self._until = "", 0.0

        def token(self) -> str:
            if time.monotonic() >= self._until:
                self._fetch()
            return self._token

        def _fetch(self) -> None:
            form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
            body = urlencode({**form, **({"scope": scope} if scope else {})}).encode()
            try:
                with urlopen(Request(url, body), timeout=TOKEN_SECONDS) as response:  # noqa: S310 - checked at start
                    answer = json.load(response)
                self._token = str(answer["access_token"])
            except (URLError, OSError, ValueError, KeyError) as error:
                raise KafkaConfigurationError(f"{url} gives no token: {error}") from error
            self._until = time.monotonic() + float(answer.get("expires_in", 300)) - RENEW_BEFORE

    return ClientCredentials()


def explain(
    error: BaseException,
    connection: Mapping[str, Any],
    logged: Iterable[BaseException],
    topic: str,
    group: str = "",
) -> str:
    """Return one line: why the client failed and what to change."""
    for each in (error, *logged):
        if line := _by_type(each, connection, topic, group):
            return line
    from kafka.errors import KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError

    if isinstance(error, KafkaConnectionError | KafkaTimeoutError | NodeNotReadyError | OSError):
        for server in connection["bootstrap_servers"]:
            if line := probe(server, connection):
                return line
        if "Unable to bootstrap" in str(error):
            servers = ", ".join(connection["bootstrap_servers"])
            why = next((str(each) for each in logged if str(each)), "no answer in time")
            return (
                f"{servers} can be reached but does not answer as a Kafka broker of "
                f"KAFKA_SECURITY_PROTOCOL={protocol_of(connection)} ({why}); compare that with its listener"
            )
    return str(error) or type(error).__name__


def _by_type(error: BaseException, connection: Mapping[str, Any], topic: str, group: str) -> str:
    """Return the line for an error that says by its type what is wrong, or an empty string."""
    from kafka import errors

    if isinstance(error, errors.KafkaConfigurationError):
        return str(error) or "the client refuses its configuration"
    mechanism, user = (
        connection.get("sasl_mechanism", ""),
        connection.get("sasl_plain_username", "this client"),
    )
    lines: tuple[tuple[type[BaseException], str], ...] = (
        (
            errors.SaslAuthenticationFailedError,
            f"the broker refuses the credentials of {user} ({mechanism}); "
            "check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
        ),
        (
            errors.UnsupportedSaslMechanismError,
            f"the broker's listener does not know KAFKA_SASL_MECHANISM={mechanism}; use one that it has",
        ),
        (
            errors.IllegalSaslStateError,
            f"the broker's listener takes no password, KAFKA_SECURITY_PROTOCOL is {protocol_of(connection)}; "
            "use PLAINTEXT or SSL, or the port of a SASL listener",
        ),
        (
            errors.TopicAuthorizationFailedError,
            f"no right on the topic {topic}; grant Read, Write and Describe on it to {user}",
        ),
        (
            errors.GroupAuthorizationFailedError,
            f"no right on the group {group}; grant Read on groups of prefix reelgraph- to {user}",
        ),
        (
            errors.MessageSizeTooLargeError,
            f"a message is larger than max.message.bytes of the topic {topic}; raise that",
        ),
        (
            errors.RecordListTooLargeError,
            f"a batch is larger than the brokers take for the topic {topic}; raise its segment.bytes",
        ),
    )
    return next((line for kind, line in lines if isinstance(error, kind)), "")
