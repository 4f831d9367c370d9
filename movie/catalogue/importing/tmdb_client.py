"""Ask TMDB, politely: one request at a time, paced, with growing pauses after failures.

The API is described at https://developer.themoviedb.org/reference. A key is either an API key (32
hexadecimal digits, sent as `api_key`) or an API read access token (sent as a bearer token).
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import TypeVar

import urllib3
from pydantic import BaseModel, ValidationError
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ReadTimeoutError

from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.tmdb_answers import Configuration, Details, Found

PER_SECOND = 10.0  # requests: a quarter of what TMDB says that it allows
TIMEOUT = 20.0  # seconds without an answer
TRIES_AGAIN = 5
LONGEST_WAIT = 300  # seconds: as long as a Retry-After may ask for
LARGEST_ANSWER = 8 << 20  # bytes of JSON; the longest credits have about 1 MB
TRY_AGAIN = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
POSTER_SIZE = "w500"  # twice the 240 pixels that a card shows
_API_KEY = re.compile(r"[0-9a-fA-F]{32}")

Answer = TypeVar("Answer", bound=BaseModel)


class TmdbFailure(Exception):
    """Says why an answer could not be had or used, and which one it was; it never holds the key."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class TmdbClient:
    """Asks the API of TMDB, and its image host, which the API names."""

    def __init__(
        self,
        key: str,
        base_url: str,
        *,
        per_second: float = PER_SECOND,
        timeout: float = TIMEOUT,
        first_pause: float = 0.5,
    ) -> None:
        """Connect to nothing yet. `first_pause` is in seconds, doubled with every failure in a row."""
        self._base_url, self._step = base_url.rstrip("/"), 1 / per_second
        self._next = 0.0  # monotonic time from which on the next request may go out
        self._images = ""  # base address, once it was asked for
        is_key = _API_KEY.fullmatch(key) is not None
        self._fields = {"api_key": key} if is_key else {}
        self._headers = {} if is_key else {"Authorization": f"Bearer {key}"}
        self._pool = urllib3.PoolManager(
            timeout=timeout, headers={"User-Agent": "reelgraph", "Accept-Encoding": "gzip"}
        )
        self._retries = urllib3.Retry(
            total=TRIES_AGAIN,
            redirect=False,
            status_forcelist=TRY_AGAIN,
            raise_on_status=False,
            backoff_factor=first_pause,
            backoff_jitter=first_pause,
            backoff_max=60,
            retry_after_max=LONGEST_WAIT,
        )

    def details(self, tmdb: str) -> Details | None:
        """Return a film with credits, translations and videos; None where TMDB has none of that id.

        Raises TmdbFailure, and CatalogueError for a refused key.
        """
        fields = {"append_to_response": "credits,translations,videos", "language": "en-US"}
        return self._ask(f"/movie/{tmdb}", Details, fields)

    def find(self, imdb: str) -> str:
        """Return the TMDB id of an IMDb id, "" where TMDB has no film of it. Raises as `details` does."""
        found = self._ask(f"/find/{imdb}", Found, {"external_source": "imdb_id"})
        return str(found.movie_results[0].id) if found and found.movie_results else ""

    def poster(self, path: str, limit: int) -> bytes:
        """Return a poster, of a longer one `limit` bytes and one more. Raises as `details` does."""
        if not self._images:
            configuration = self._ask("/configuration", Configuration, {})
            self._images = configuration.images.secure_base_url if configuration else ""
            if not self._images.startswith(("https://", "http://")):
                raise TmdbFailure("TMDB names no host of images")
        address = f"{self._images.rstrip('/')}/{POSTER_SIZE}/{path.lstrip('/')}"
        status, body = self._fetch(address, limit, fields={}, headers={})
        if status != HTTPStatus.OK:
            raise TmdbFailure(f"TMDB's images answer with status {status}", path)
        return body

    def _ask(self, path: str, model: type[Answer], fields: dict[str, str]) -> Answer | None:
        status, body = self._fetch(
            self._base_url + path, LARGEST_ANSWER, fields=fields | self._fields, headers=self._headers
        )
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise CatalogueError(
                f"TMDB refused the key in TMDB_API_KEY (status {status}): compare it with the one at "
                "https://www.themoviedb.org/settings/api."
            )
        if status != HTTPStatus.OK:
            raise TmdbFailure(f"TMDB answers with status {status}", path)
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            message = f"{where}: {first['msg']}" if where else first["msg"]
            raise TmdbFailure("TMDB's answer is not of its form", f"{path}: {message}") from None

    def _fetch(
        self, address: str, limit: int, *, fields: dict[str, str], headers: dict[str, str]
    ) -> tuple[int, bytes]:
        """Return the status and at most `limit` bytes and one; tries again, also when a body is cut off."""
        retries = self._retries
        while True:
            self._pace()
            try:
                response = self._pool.request(
                    "GET",
                    address,
                    fields=fields,
                    headers={**self._pool.headers, **headers},
                    retries=retries,
                    preload_content=False,
                )
                try:
                    body = response.read(limit + 1)
                finally:
                    response.close()
                return response.status, body
            except (ProtocolError, ReadTimeoutError) as error:  # in the middle of the body
                try:
                    retries = retries.increment("GET", address, error=error)
                except HTTPError:
                    raise TmdbFailure("TMDB cut the connection again and again") from None
                retries.sleep()
            except MaxRetryError as error:
                raise TmdbFailure("TMDB could not be reached", _cause(error)) from None
            except HTTPError as error:
                raise TmdbFailure("TMDB's answer could not be read", type(error).__name__) from None

    def _pace(self) -> None:
        now = time.monotonic()
        if now < self._next:
            time.sleep(self._next - now)
        self._next = max(now, self._next) + self._step


def _cause(error: MaxRetryError) -> str:
    """Return the kind of error: its own text holds the address, and with it the key."""
    return type(error.reason).__name__ if error.reason is not None else "no answer"
