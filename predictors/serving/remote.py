"""Reads and writes the files of models in a bucket with S3's API or in a folder, and reads them over HTTP.

Errors of urllib3, boto3 and the file system end here as RemoteError, whose text is one line.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Container, Iterator
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from predictors.durable_files import whole_file
from predictors.errors import PredictorError

CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
TRIES = 3
CHUNK = 1 << 20  # bytes
ADDRESSES = "s3://bucket/folder, https://host/folder or file:///folder"
CUT = "the connection ended too early"  # without the bytes read, which differ each time


class RemoteError(PredictorError):
    """Raised when a remote cannot be reached, read or written; the message names the address."""


class NotInRemote(RemoteError):
    """Raised for a key that a remote does not have."""


class Remote(ABC):
    """Files by key, such as `popular/20260301T020000.000000-ab12/meta.json`.

    A file appears whole or not at all. Every method raises RemoteError.
    """

    def __init__(self, label: str) -> None:
        self.label = label.rstrip("/")  # the address without a password, for messages

    @abstractmethod
    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield a file's bytes. Raises NotInRemote, and RemoteError where the connection ends too early."""

    @abstractmethod
    def put(self, key: str, source: Path | bytes) -> None:
        """Store a file or these bytes under a key, in place of what was there."""

    @abstractmethod
    def keys(self, folder: str) -> list[str]:
        """Return the keys of all files in a folder and in its folders."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete a file; one that is not there is no error."""

    def read(self, key: str) -> bytes:
        """Return a small file."""
        return b"".join(self.chunks(key))

    def address(self, key: str) -> str:
        return f"{self.label}/{key}"

    def missing(self, key: str) -> NotInRemote:
        return NotInRemote(f"{self.address(key)} does not exist")

    def failed(self, key: str, error: object) -> RemoteError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return RemoteError(f"{self.address(key)}: {reason}")


class FolderRemote(Remote):
    """A folder, for example one that a web server shows to other machines."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self._root = root

    def chunks(self, key: str) -> Iterator[bytes]:
        with self._translated(key), (self._root / key).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def put(self, key: str, source: Path | bytes) -> None:
        target = self._root / key
        with (
            self._translated(key),
            BytesIO(source) if isinstance(source, bytes) else source.open("rb") as content,
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(target) as file:
                shutil.copyfileobj(content, file, CHUNK)

    def keys(self, folder: str) -> list[str]:
        with self._translated(folder):
            files = [path for path in (self._root / folder).rglob("*") if path.is_file()]
        return sorted(str(path.relative_to(self._root)) for path in files)

    def delete(self, key: str) -> None:
        path = self._root / key
        with self._translated(key):
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise self.missing(key) from error
        except OSError as error:
            raise self.failed(key, error.strerror or error) from error


class HTTPRemote(Remote):
    """Files of a web server, which can only be read. The address may hold a name and a password."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        super().__init__(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
        self._user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None

    @cached_property
    def _pool(self) -> Any:
        from urllib3 import PoolManager, Retry, Timeout

        headers = {"Cache-Control": "no-cache"}
        if self._user:  # in UTF-8 (RFC 7617), where urllib3's own function knows Latin-1 alone
            headers["Authorization"] = f"Basic {b64encode(self._user.encode()).decode()}"
        timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        return PoolManager(headers=headers, timeout=timeout, retries=Retry(TRIES - 1, backoff_factor=0.2))

    def chunks(self, key: str) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError

        try:
            response = self._pool.request("GET", self.address(quote(key)), preload_content=False)
            try:
                if response.status == 404:
                    raise self.missing(key)
                if response.status != 200:
                    raise self.failed(key, f"HTTP status {response.status}")
                yield from response.stream(CHUNK)
            finally:
                response.close()
        except ProtocolError as error:
            raise self.failed(key, CUT) from error
        except HTTPError as error:
            raise self.failed(key, error.reason if isinstance(error, MaxRetryError) else error) from error

    def put(self, key: str, source: Path | bytes) -> None:
        raise self._read_only()

    def keys(self, folder: str) -> list[str]:
        raise self._read_only()

    def delete(self, key: str) -> None:
        raise self._read_only()

    def _read_only(self) -> RemoteError:
        return RemoteError(
            f"{self.label}: models are only read over HTTP; write to its folder or to s3://..."
        )


class S3Remote(Remote):
    """A bucket of Amazon S3 or of another store with its API, with the credentials that boto3 finds."""

    def __init__(self, url: str, *, region: str = "", endpoint_url: str = "") -> None:
        super().__init__(url)
        parts = urlsplit(url)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._region, self._endpoint_url = region, endpoint_url

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "max_attempts": TRIES},
            # Not every store knows the checksums that boto3 adds; artifacts have their own.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        place = {"region_name": self._region or None, "endpoint_url": self._endpoint_url or None}
        return boto3.client("s3", config=config, **place)

    def chunks(self, key: str) -> Iterator[bytes]:
        with self._translated(key):
            body = self._client.get_object(Bucket=self._bucket, Key=self._path(key))["Body"]
            try:
                yield from body.iter_chunks(CHUNK)
            finally:
                body.close()

    def put(self, key: str, source: Path | bytes) -> None:
        with self._translated(key):
            if isinstance(source, bytes):
                self._client.put_object(Bucket=self._bucket, Key=self._path(key), Body=source)
            else:
                self._client.upload_file(str(source), self._bucket, self._path(key))

    def keys(self, folder: str) -> list[str]:
        with self._translated(folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._path(f"{folder}/")
            )
            found = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return [key.removeprefix(self._path("")) for key in found]

    def delete(self, key: str) -> None:
        with self._translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._path(key))

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            IncompleteReadError,
            ResponseStreamingError,
        )

        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise self.missing(key) from error
            raise self.failed(key, error) from error
        except (IncompleteReadError, ResponseStreamingError) as error:
            raise self.failed(key, CUT) from error
        except (BotoCoreError, Boto3Error, OSError, ValueError) as error:  # ValueError: no such address
            raise self.failed(key, error) from error


def is_address(url: str, schemes: Container[str] = ("s3", "http", "https", "file")) -> bool:
    """Return whether `open_remote` takes an address, of one of these schemes."""
    try:
        parts = urlsplit(url)
        has_host, _number = bool(parts.hostname), parts.port
    except ValueError:  # such as a port that is no number
        return False
    # What is behind the host is in messages, where an unquoted # or / would put the end of a password.
    if parts.scheme not in schemes or "@" in parts.path or parts.query or parts.fragment:
        return False
    if parts.scheme == "file":
        return not parts.netloc and parts.path.startswith("/")
    return has_host and (parts.scheme != "s3" or "@" not in parts.netloc)


def open_remote(url: str, *, region: str = "", endpoint_url: str = "") -> Remote:
    """Return the remote of an address: s3://bucket/folder, https://host/folder or file:///folder.

    `region` and `endpoint_url` are of S3 alone. Connects to nothing. Raises RemoteError on another address.
    """
    if not is_address(url):
        raise RemoteError(f"this is no address of models; write {ADDRESSES}")  # it may hold a password
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return S3Remote(url, region=region, endpoint_url=endpoint_url)
    return FolderRemote(Path(unquote(parts.path))) if parts.scheme == "file" else HTTPRemote(url)
