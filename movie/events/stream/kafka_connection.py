"""Connections to Kafka: settings for the client, and one line of our own for each way in which they fail.

The client reports every failed connection as "Unable to bootstrap". The cause is in its log lines and in what
the broker's port answers; `explain` reads both.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

PROBE_SECONDS = 1.0
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
            if line := _probe(server, connection):
                return line
        if "Unable to bootstrap" in str(error):
            servers = ", ".join(connection["bootstrap_servers"])
            why = next((str(each) for each in logged if str(each)), "no answer in time")
            return (
                f"{servers} can be reached but does not answer as a Kafka broker of "
                f"KAFKA_SECURITY_PROTOCOL={_protocol(connection)} ({why}); compare that with its listener"
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
            f"the broker's listener takes no password, KAFKA_SECURITY_PROTOCOL is {_protocol(connection)}; "
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


def _protocol(connection: Mapping[str, Any]) -> str:
    return str(connection.get("security_protocol", "PLAINTEXT"))


def _probe(server: str, connection: Mapping[str, Any]) -> str:
    """Return what is wrong with a broker's address, port or encryption, or an empty string."""
    host, _, port = server.rpartition(":")
    try:
        socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        return f"the host {host} of KAFKA_BOOTSTRAP_SERVERS does not resolve ({error.strerror or error})"
    try:
        plain = socket.create_connection((host, int(port)), timeout=PROBE_SECONDS)
    except TimeoutError:
        return f"{server} does not answer; is a firewall between, or the host down?"
    except OSError as error:
        return f"nothing listens on {server} ({error.strerror or error}); start it or correct the port"
    with plain:
        if _protocol(connection).endswith("SSL"):
            return _probe_tls(plain, host, server, connection)
        return _probe_plain(plain, host, server)


def _probe_tls(  # noqa: PLR0911 - one way to fail, one line
    plain: socket.socket, host: str, server: str, connection: Mapping[str, Any]
) -> str:
    try:
        context = ssl.create_default_context(cafile=connection.get("ssl_cafile"))
        if connection.get("ssl_certfile"):
            context.load_cert_chain(connection["ssl_certfile"], connection.get("ssl_keyfile"))
    except OSError as error:
        return f"the files of KAFKA_SSL_CAFILE, _CERTFILE and _KEYFILE cannot be used together ({error})"
    try:
        with context.wrap_socket(plain, server_hostname=host) as encrypted:
            encrypted.settimeout(PROBE_SECONDS / 2)
            encrypted.recv(1)  # a broker says only now, in TLS 1.3, that it wants a certificate
    except ssl.SSLCertVerificationError as error:
        return (
            f"the certificate of {server} is not trusted ({error.verify_message}); "
            "set KAFKA_SSL_CAFILE to the authority that signed it"
        )
    except TimeoutError:
        return ""
    except (ssl.SSLEOFError, ConnectionError):
        return _no_tls(server, connection)
    except ssl.SSLError as error:
        if "CERTIFICATE" in str(error.reason):
            return f"{server} wants a certificate of the client; set KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE"
        return _no_tls(server, connection)
    return ""


def _no_tls(server: str, connection: Mapping[str, Any]) -> str:
    instead = _protocol(connection).replace("SASL_SSL", "SASL_PLAINTEXT").replace("SSL", "PLAINTEXT")
    if "SASL" in _protocol(connection):
        instead = "SASL_PLAINTEXT"
    return (
        f"{server} does not speak TLS, but KAFKA_SECURITY_PROTOCOL is {_protocol(connection)}; "
        f"use {instead}, or the port of a TLS listener"
    )


def _probe_plain(plain: socket.socket, host: str, server: str) -> str:
    """A TLS listener answers a TLS greeting; any other closes the connection or says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only asked whether it speaks TLS
    try:
        with context.wrap_socket(plain, server_hostname=host):
            return f"{server} speaks TLS; set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL"
    except OSError:
        return ""
