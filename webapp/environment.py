"""Reads the environment and refuses a wrong value with its name and a hint.

Only the settings use this. A wrong value is collected, not raised, so that all of them are
reported at once by the system check `webapp.E001`, which stops every command and every server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

Value = TypeVar("Value")
Network = IPv4Network | IPv6Network
DATABASE_SCHEMES = ("sqlite", "mysql", "postgresql", "postgres")
MYSQL_TLS = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")


@dataclass(frozen=True, slots=True)
class SettingError:
    variable: str
    message: str
    hint: str


class Environment:
    """A thin layer over django-environ that collects errors."""

    def __init__(self) -> None:
        self.env = environ.Env()
        self.errors: list[SettingError] = []

    def text(self, variable: str, default: str = "", *, choices: tuple[str, ...] = ()) -> str:
        value = self.env.str(variable, default=default).strip()
        if choices and value not in choices:
            self.refuse(variable, f"is {value!r}", f"Use one of: {', '.join(choices)}.")
            return default
        return value

    def file(self, variable: str) -> str:
        """The path of a file that can be read, or nothing."""
        path = self.text(variable)
        if path:
            try:
                Path(path).open("rb").close()
            except OSError as error:
                self.refuse(
                    variable, f"names {path}, which cannot be read ({error.strerror})", "Name a PEM file."
                )
        return path

    def flag(self, variable: str, default: bool) -> bool:
        spelled = self.env.str(variable, default=str(default)).strip().lower()
        if spelled in ("1", "true", "yes", "on"):
            return True
        if spelled in ("0", "false", "no", "off"):
            return False
        self.refuse(variable, f"is {spelled!r}", "Use true or false.")
        return default

    def number(self, variable: str, default: int, *, least: int = 0, most: int = 2**31) -> int:
        spelled = self.env.str(variable, default=str(default)).strip()
        if spelled.lstrip("-").isdecimal() and least <= int(spelled) <= most:
            return int(spelled)
        self.refuse(variable, f"is {spelled!r}", f"Use a whole number from {least} to {most}.")
        return default

    def rank_and_size(self) -> tuple[int, int]:
        """Return RANK and WORLD_SIZE as torchrun sets them; 0 and 1 where it did not, or they do not fit.

        Schedulers such as Slurm and Kubernetes give these names to any job, so they are never refused, and
        count only beside what torchrun alone sets.
        """
        if not (self.env.str("TORCHELASTIC_RUN_ID", default="") and self.env.str("MASTER_ADDR", default="")):
            return 0, 1
        spelled = [self.env.str(variable, default="").strip() for variable in ("RANK", "WORLD_SIZE")]
        if all(each.isdecimal() for each in spelled) and int(spelled[0]) < int(spelled[1]):
            return int(spelled[0]), int(spelled[1])
        return 0, 1

    def words(self, variable: str, default: tuple[str, ...] = ()) -> list[str]:
        """Return the words of a comma-separated list."""
        spelled = self.env.str(variable, default=",".join(default))
        return [word.strip() for word in spelled.split(",") if word.strip()]

    def networks(self, variable: str, default: tuple[str, ...] = ()) -> list[Network]:
        """Return the networks of a comma-separated list of addresses and networks, such as 10.0.0.0/8."""
        found = []
        for word in self.words(variable, default):
            try:
                found.append(ip_network(word))
            except ValueError:
                self.refuse(variable, f"holds {word!r}", "Write each as 10.0.0.0/8 or 192.0.2.7.")
        return found

    def parsed(self, variable: str, default: str, parse: Callable[[str], Value], hint: str) -> Value:
        """Return a value with a format of its own, such as a URL; `parse` raises on a text that it cannot
        read.
        """
        spelled = self.env.str(variable, default=default).strip() or default
        try:
            return parse(spelled)
        except (ImproperlyConfigured, ValueError, KeyError, AttributeError):
            self.refuse(variable, "cannot be read", hint)  # the value may hold a password: never shown
            return parse(default)

    def database(self, url: str) -> dict[str, Any]:
        """Return the configuration of a database URL; raise ValueError for a database that the site cannot
        use.
        """
        if url.partition("://")[0] not in DATABASE_SCHEMES:
            raise ValueError("unknown database")
        return self.env.db_url_config(url)

    def mysql_tls(self, variable: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Return what the URL in a variable asks of TLS, ssl_mode and ssl_ca, for the client of MySQL."""
        options: dict[str, Any] = {}
        if mode := asked.get("ssl_mode"):
            options["ssl_mode"] = mode
            if mode not in MYSQL_TLS:
                self.refuse(variable, "has another ssl_mode", f"Use one of: {', '.join(MYSQL_TLS)}.")
        if authorities := asked.get("ssl_ca"):
            options["ssl"] = {"ca": authorities}
        return options

    def redis(self, url: str) -> str:
        """Return the address of a Redis server; raise ValueError for another address."""
        if url and url.partition("://")[0] not in ("redis", "rediss", "unix"):
            raise ValueError("unknown scheme")
        return url

    def email(self, url: str) -> dict[str, Any]:
        """Return the configuration of a mail URL; raise KeyError for an unknown backend."""
        return self.env.email_url_config(url)

    def refuse(self, variable: str, message: str, hint: str) -> None:
        self.errors.append(SettingError(variable, message, hint))
