"""Why no connection comes about: address, port, encryption and password, tried one after the other.

The client (kafka-python 3.0.12) drops what a broker answers right before it closes the connection, so that a
wrong password looks like a broken line.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping
from typing import Any

PROBE_SECONDS = 2.0
SILENT_SECONDS = 0.5  # a broker that wants a certificate says so within
HANDSHAKE, AUTHENTICATE = (17, 1), (36, 0)  # requests and their versions
UNSUPPORTED_MECHANISM, ILLEGAL_STATE = 33, 34
MOST_BYTES = 1_000_000


def protocol_of(connection: Mapping[str, Any]) -> str:
    return str(connection.get("security_protocol", "PLAINTEXT"))


def probe(server: str, connection: Mapping[str, Any]) -> str:
    """Return what is wrong with a broker's address, port, encryption or password, or an empty string."""
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
        if protocol_of(connection).endswith("SSL"):
            return _probe_tls(plain, host, server, connection)
        return _probe_password(plain, server, connection) or _probe_plain(host, int(port), server)


def _probe_tls(plain: socket.socket, host: str, server: str, connection: Mapping[str, Any]) -> str:
    try:
        context = ssl.create_default_context(cafile=connection.get("ssl_cafile"))
        if connection.get("ssl_certfile"):
            context.load_cert_chain(connection["ssl_certfile"], connection.get("ssl_keyfile"))
    except OSError as error:
        return f"the files of KAFKA_SSL_CAFILE, _CERTFILE and _KEYFILE cannot be used together ({error})"
    try:
        with context.wrap_socket(plain, server_hostname=host) as encrypted:
            encrypted.settimeout(SILENT_SECONDS)
            try:
                encrypted.recv(1)  # a broker says only now, in TLS 1.3, that it wants a certificate
            except TimeoutError:
                encrypted.settimeout(PROBE_SECONDS)
                return _probe_password(encrypted, server, connection)
    except ssl.SSLCertVerificationError as error:
        return (
            f"the certificate of {server} is not trusted ({error.verify_message}); "
            "set KAFKA_SSL_CAFILE to the authority that signed it"
        )
    except TimeoutError:
        return f"{server} does not answer a TLS greeting; is the broker hung?"
    except OSError as error:
        if "CERTIFICATE" in str(getattr(error, "reason", "")):
            return f"{server} wants a certificate of the client; set KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE"
    use = "SASL_PLAINTEXT" if protocol_of(connection) == "SASL_SSL" else "PLAINTEXT"
    return (
        f"{server} does not speak TLS, but KAFKA_SECURITY_PROTOCOL is {protocol_of(connection)}; "
        f"use {use}, or the port of a TLS listener"
    )


def _probe_plain(host: str, port: int, server: str) -> str:
    """Return that a broker speaks TLS, if it answers a TLS greeting."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only asked whether it speaks TLS
    try:
        with (
            socket.create_connection((host, port), timeout=PROBE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return f"{server} speaks TLS; set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL"
    except OSError:
        return ""


def _probe_password(line: socket.socket, server: str, connection: Mapping[str, Any]) -> str:
    """Return what a broker has against the mechanism or the credentials, or an empty string."""
    protocol, mechanism = protocol_of(connection), connection.get("sasl_mechanism", "")
    try:
        name = (mechanism or "none").encode()
        error, body = _ask(line, HANDSHAKE, struct.pack(">h", len(name)) + name)
        if error == ILLEGAL_STATE and mechanism:
            return (
                f"{server} takes no password, but KAFKA_SECURITY_PROTOCOL is {protocol}; "
                f"use {protocol.replace('SASL_', '')}, or the port of a SASL listener"
            )
        if error == UNSUPPORTED_MECHANISM:
            known = ", ".join(_strings(body))
            if mechanism:
                return f"{server} does not know KAFKA_SASL_MECHANISM={mechanism}; it knows {known}"
            with_password = "SASL_SSL" if protocol == "SSL" else "SASL_PLAINTEXT"
            return (
                f"{server} wants a password; set KAFKA_SECURITY_PROTOCOL to {with_password} and "
                f"KAFKA_SASL_MECHANISM to one of: {known}"
            )
        if mechanism.startswith(("PLAIN", "SCRAM")) and not error:
            return _probe_credentials(line, server, connection)
    except (OSError, struct.error, ValueError, IndexError):  # it speaks another protocol
        pass
    return ""


def _probe_credentials(line: socket.socket, server: str, connection: Mapping[str, Any]) -> str:
    from kafka.net.sasl import get_sasl_mechanism

    mechanism = connection["sasl_mechanism"]
    exchange = get_sasl_mechanism(mechanism)(host=server.rpartition(":")[0], **connection)
    while not exchange.is_done():
        token = exchange.auth_bytes()
        error, body = _ask(line, AUTHENTICATE, struct.pack(">i", len(token)) + token)
        if error:
            user = connection.get("sasl_plain_username", "this client")
            return (
                f"{server} refuses the credentials of {user} ({mechanism}); "
                "check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            )
        (length,) = struct.unpack_from(">h", body)
        answer = body[2 + max(0, length) :]
        exchange.receive(answer[4:])
    return ""


def _ask(line: socket.socket, kind: tuple[int, int], body: bytes) -> tuple[int, bytes]:
    """Send a request; return the error code and the rest of the response. Raises OSError, struct.error."""
    client = b"reelgraph"
    request = struct.pack(">hhih", *kind, 1, len(client)) + client + body
    line.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _read(line, 4))
    if not 6 <= size <= MOST_BYTES:
        raise ValueError("no answer of a Kafka broker")
    response = _read(line, size)
    (error,) = struct.unpack_from(">h", response, 4)
    return error, response[6:]


def _read(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = line.recv(size - len(found))
        if not part:
            raise ConnectionResetError("closed")
        found += part
    return found


def _strings(body: bytes) -> list[str]:
    (count,), at, found = struct.unpack_from(">i", body), 4, []
    for _ in range(count):
        (length,) = struct.unpack_from(">h", body, at)
        found.append(body[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return found
