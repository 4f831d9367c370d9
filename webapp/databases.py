"""The databases that DATABASE_URL and DATABASE_REPLICA_URL name, with what each kind needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from webapp.environment import Environment

HINT = "Write sqlite:////absolute/path, mysql://user:password@host:3306/name or postgresql://...:5432/name."
SQLITE_MAPPED_BYTES = 256 * 2**20  # of the file, at most
CONNECT_SECONDS = 5  # after which a page says that the database is away rather than hang


def databases(environment: Environment, data_dir: Path) -> dict[str, dict[str, Any]]:
    """Return DATABASES: "default", by default a file in `data_dir`, and "replica" if one is named.

    A replica of another kind than the default is refused.
    """
    embedded = f"sqlite:///{data_dir / 'reelgraph.sqlite3'}"
    found = {"default": environment.parsed("DATABASE_URL", embedded, environment.database, HINT)}
    if environment.text("DATABASE_REPLICA_URL"):
        replica = environment.parsed("DATABASE_REPLICA_URL", embedded, environment.database, HINT)
        if replica["ENGINE"] != found["default"]["ENGINE"] or "sqlite3" in replica["ENGINE"]:
            environment.refuse(
                "DATABASE_REPLICA_URL", "is no replica of DATABASE_URL", "Name a server of the same kind."
            )
        else:
            found["replica"] = replica | {"TEST": {"MIRROR": "default"}}
    connection_seconds = environment.number("CONN_MAX_AGE", 60)
    for alias, database in found.items():
        variable = "DATABASE_URL" if alias == "default" else "DATABASE_REPLICA_URL"
        database.update(CONN_MAX_AGE=connection_seconds, CONN_HEALTH_CHECKS=True)
        database.update(_options(environment, variable, database))
    return found


def _options(environment: Environment, variable: str, database: dict[str, Any]) -> dict[str, Any]:
    """Return what a database of its kind needs beside its address."""
    asked = database.get("OPTIONS", {})
    if "sqlite3" in database["ENGINE"]:
        options = {
            # A write transaction takes its lock at the start, so two writers wait instead of failing midway.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # All processes share pages that are mapped; others are copied into the cache of each connection.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32000; "
            f"PRAGMA mmap_size={SQLITE_MAPPED_BYTES};",
        }
        return {"ENGINE": "movie.core.sqlite3", "TEST": {"NAME": ":memory:"}, "OPTIONS": options}
    if "mysql" in database["ENGINE"]:
        options = {
            "charset": "utf8mb4",
            # A request waits so many seconds for somebody else's lock, and is then tried again or refused.
            "init_command": "SET sql_mode='STRICT_TRANS_TABLES', innodb_lock_wait_timeout=3",
            "isolation_level": "read committed",
            "connect_timeout": CONNECT_SECONDS,
            **environment.mysql_tls(variable, asked),
        }
        return {"OPTIONS": options}
    # PostgreSQL. What the URL asks of the connection, such as sslmode=verify-full, stays.
    return {"OPTIONS": {"options": "-c lock_timeout=3s", "connect_timeout": CONNECT_SECONDS, **asked}}
