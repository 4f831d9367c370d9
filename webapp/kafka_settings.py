"""Which settings of Kafka fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from webapp.environment import Environment


def refuse_wrong_kafka(environment: Environment, servers: Sequence[str], options: Mapping[str, str]) -> None:
    """Refuse addresses that are none, and options that need others or rule them out."""
    if servers:
        _refuse_wrong_servers(environment, servers)
        _refuse_wrong_sign_in(environment, options)
        _refuse_wrong_tls(environment, options)
    elif any(value for name, value in options.items() if name != "security_protocol"):
        environment.refuse(
            "KAFKA_BOOTSTRAP_SERVERS", "is not set", "Name the brokers, or unset the other KAFKA_ variables."
        )


def _refuse_wrong_servers(environment: Environment, servers: Sequence[str]) -> None:
    for server in servers:
        host, _colon, port = server.rpartition(":")
        if not host or not port.isdecimal():
            environment.refuse("KAFKA_BOOTSTRAP_SERVERS", f"holds {server!r}", "Write each as host:9092.")


def _refuse_wrong_sign_in(environment: Environment, options: Mapping[str, str]) -> None:
    protocol, mechanism = options["security_protocol"], options["sasl_mechanism"]
    user = [options["sasl_plain_username"], options["sasl_plain_password"]]
    if protocol.startswith("SASL") != bool(mechanism):
        environment.refuse(
            "KAFKA_SECURITY_PROTOCOL",
            "and KAFKA_SASL_MECHANISM do not fit together",
            "Set the mechanism with SASL_SSL or SASL_PLAINTEXT, and none with the others.",
        )
    elif any(user) != all(user) or bool(mechanism and mechanism != "AWS_MSK_IAM") != all(user):
        environment.refuse(
            "KAFKA_SASL_USERNAME",
            "and the other KAFKA_SASL_ variables do not fit together",
            "Set KAFKA_SASL_USERNAME and _PASSWORD with every mechanism but AWS_MSK_IAM.",
        )
    if mechanism == "AWS_MSK_IAM" and protocol != "SASL_SSL":
        environment.refuse("KAFKA_SECURITY_PROTOCOL", "is not SASL_SSL", "AWS_MSK_IAM needs SASL_SSL.")
    token_url = urlsplit(options["oauth_token_url"])
    is_url = bool(token_url.netloc) and token_url.scheme in ("http", "https")
    if (mechanism == "OAUTHBEARER") != is_url or bool(options["oauth_token_url"]) != is_url:
        environment.refuse(
            "KAFKA_OAUTH_TOKEN_URL",
            "and KAFKA_SASL_MECHANISM do not fit together",
            "Name the https address that gives tokens, with OAUTHBEARER and only with it.",
        )


def _refuse_wrong_tls(environment: Environment, options: Mapping[str, str]) -> None:
    if options["ssl_keyfile"] and not options["ssl_certfile"]:
        environment.refuse("KAFKA_SSL_CERTFILE", "is not set", "Name the certificate of KAFKA_SSL_KEYFILE.")
    has_tls = options["security_protocol"].endswith("SSL")
    if not has_tls and (options["ssl_cafile"] or options["ssl_certfile"]):
        environment.refuse(
            "KAFKA_SECURITY_PROTOCOL", "has no TLS", "Use SSL or SASL_SSL, or unset the KAFKA_SSL_ variables."
        )
