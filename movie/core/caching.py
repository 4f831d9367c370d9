"""The caches of the site: Redis and its twin in memory, which hold JSON alone; values kept for some seconds.

A Redis that is away slows pages down and breaks none.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

from movie.telemetry.counters import count_cache_failure

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_SECONDS, ANSWER_SECONDS = 0.3, 0.5
AWAY_SECONDS = 5.0  # after a failure each process caches in its own memory for so long
LOCAL_ENTRIES = 5_000


class TTLValue(Generic[T]):
    """Keeps a computed value for some seconds. One thread computes it, others wait; errors are not kept."""

    def __init__(self, compute: Callable[[], T], seconds: float) -> None:
        self._compute, self._seconds = compute, seconds
        self._lock = threading.Lock()
        self._kept: tuple[float, T] | None = None  # monotonic time, value

    def get(self) -> T:
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] >= self._seconds:
                self._kept = None
                value = self._compute()
                self._kept = time.monotonic(), value
            return self._kept[1]

    def clear(self) -> None:
        with self._lock:
            self._kept = None


class JSONSerializer:
    """Turns values into JSON and back, and refuses what JSON cannot hold (TypeError, or ValueError for NaN).

    Nothing that a cache holds is ever run, whoever wrote it. Lists come back in place of tuples.
    """

    def dumps(self, value: Any) -> bytes:
        _refuse_keys(value)
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


def _refuse_keys(value: Any) -> None:
    """Raise TypeError for a key that is no text: JSON would silently make it one."""
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise TypeError(f"A key of a cached dictionary is text, not {key!r}.")
            _refuse_keys(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            if isinstance(each, (dict, list, tuple)):
                _refuse_keys(each)


class JSONLocMemCache(LocMemCache):
    """Keeps in the process's memory what Redis would return, so that no page works with one cache alone."""

    serializer = JSONSerializer()

    def validate_key(self, key: str) -> None:
        """Take every key: what Django warns of here are limits of memcached's."""

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return super().add(key, self._plain(value), timeout, version)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        super().set(key, self._plain(value), timeout, version)

    def _plain(self, value: Any) -> Any:
        """Return the value after a round trip through JSON. Raises for one that JSON cannot hold."""
        return self.serializer.loads(self.serializer.dumps(value))


class ForgivingRedisCache(RedisCache):
    """Caches in Redis, and in local memory while Redis is away; the local memory is emptied when Redis is
    back.
    """

    away_until: dict[tuple[str, ...], float] = {}  # by servers, for all threads of the process
    clients: dict[str, Any] = {}  # by servers and options, likewise
    _class: Any
    _servers: list[str]
    _options: dict[str, Any]

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        options = {"serializer": JSONSerializer, **params.get("OPTIONS", {})}
        super().__init__(server, {**params, "OPTIONS": options})
        self._local = JSONLocMemCache(f"without {server}", {"OPTIONS": {"MAX_ENTRIES": LOCAL_ENTRIES}})

    @cached_property
    def _cache(self) -> Any:
        """The client, which is one for the process.

        Django makes a cache for each thread and each context, so for each request of a group. The connections
        of redis-py may be used by all threads, and a forked process opens its own.
        """
        known = repr((self._servers, sorted(self._options.items())))
        return self.clients.get(known) or self.clients.setdefault(known, self._new_client())

    def _new_client(self) -> Any:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return self._class(
            self._servers,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
            **self._options,
        )

    def add(self, *arguments: Any, **options: Any) -> Any:
        return self._try_redis("add", *arguments, **options)

    def get(self, *arguments: Any, **options: Any) -> Any:
        return self._try_redis("get", *arguments, **options)

    def set(self, *arguments: Any, **options: Any) -> Any:
        return self._try_redis("set", *arguments, **options)

    def touch(self, *arguments: Any, **options: Any) -> Any:
        return self._try_redis("touch", *arguments, **options)

    def delete(self, *arguments: Any, **options: Any) -> Any:
        return self._try_redis("delete", *arguments, **options)

    def get_many(self, *arguments: Any, **options: Any) -> Any:
        return self._try_redis("get_many", *arguments, **options)

    def has_key(self, *arguments: Any, **options: Any) -> Any:
        return self._try_redis("has_key", *arguments, **options)

    def incr(self, *arguments: Any, **options: Any) -> Any:
        return self._try_redis("incr", *arguments, **options)

    def set_many(self, *arguments: Any, **options: Any) -> Any:
        return self._try_redis("set_many", *arguments, **options)

    def delete_many(self, *arguments: Any, **options: Any) -> Any:
        return self._try_redis("delete_many", *arguments, **options)

    def clear(self) -> Any:
        return self._try_redis("clear")

    def _try_redis(self, operation: str, *arguments: Any, **options: Any) -> Any:
        from redis.exceptions import RedisError

        servers = tuple(self._servers)
        away_until = self.away_until.get(servers)
        if away_until is None or time.monotonic() >= away_until:
            try:
                answer = getattr(super(), operation)(*arguments, **options)
            except RedisError as error:
                self.away_until[servers] = time.monotonic() + AWAY_SECONDS
                count_cache_failure()
                log.warning("Redis is away, each process caches for itself: %s", error)
            else:
                if away_until is not None and self.away_until.pop(servers, 0.0):
                    self._local.clear()
                return answer
        return getattr(self._local, operation)(*arguments, **options)
