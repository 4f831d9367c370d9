"""Download MovieLens data sets and check them against their published MD5 checksums."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.reports import ProgressCallback, ignore_progress

BASE_URL = "https://files.grouplens.org/datasets/movielens/"
TIMEOUT = 20  # seconds without an answer
CHUNK = 1 << 18
LARGEST = 4 << 30  # bytes unpacked; the largest data set has 1.6 GB
# Files that never change, with their MD5. The "latest" ones do: theirs is published beside them.
PINNED = {
    "ml-100k": "0e33842e24a9c977be4e0107933c0723",
    "ml-1m": "c4d9eecfca2ab87c1945afe126590906",
    "ml-10m": "ce571fd55effeba0271552578f2648bd",
    "ml-20m": "cd245b17a1ae2cc31bb14903e1204af3",
    "ml-25m": "6b51fb2759a8657d3bfcbfc42b592ada",
}
NAMES = ("ml-latest-small", "ml-latest", "ml-32m", *sorted(PINNED))
_MD5 = re.compile(r"\b[0-9a-f]{32}\b")


def download(
    name: str,
    into: Path,
    *,
    base_url: str = BASE_URL,
    timeout: float = TIMEOUT,
    progress: ProgressCallback = ignore_progress,
) -> Path:
    """Fetch a data set and unpack it to `into`/`name`; a folder that is there is used as it is.

    Nothing appears under that name before the checksum has been verified and everything is
    unpacked. Raises CatalogueError saying what failed and what to do instead.
    """
    if name not in NAMES:
        message = "There is no data set “%(name)s”; there are %(names)s."
        raise CatalogueError(message % {"name": name, "names": ", ".join(NAMES)})
    target = into / name
    if target.is_dir():
        return target
    if urlsplit(base_url).scheme not in ("http", "https"):
        raise CatalogueError(f"“{base_url}” should be an http or https address.")
    url = f"{base_url.rstrip('/')}/{name}.zip"
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into, prefix=f".{name}-") as folder:
            expected = PINNED.get(name) or _published_checksum(f"{url}.md5", timeout)
            archive = Path(folder) / "archive.zip"
            found = _fetch(url, archive, timeout, progress)
            if found != expected:
                message = (
                    "%(url)s arrived damaged: its MD5 is %(found)s, the published one is %(expected)s. "
                    "Nothing was kept; try again."
                )
                raise CatalogueError(message % {"url": url, "found": found, "expected": expected})
            unpacked = Path(folder) / "unpacked"
            _unpack(archive, unpacked)
            entries = list(unpacked.iterdir())
            root = entries[0] if len(entries) == 1 and entries[0].is_dir() else unpacked
            root.rename(target)
    except OSError as error:
        message = "The data set could not be stored under %(folder)s: %(why)s"
        raise CatalogueError(message % {"folder": into, "why": error.strerror or error}) from error
    return target


def _unreachable(url: str, why: object) -> CatalogueError:
    message = (
        "%(url)s could not be reached (%(why)s). Nothing was imported. With a browser on another machine, "
        "download it from https://grouplens.org/datasets/movielens/, unpack it here, and run import_movies "
        "and import_ratings with the folder's path; or run load_demo_data, which needs no download."
    )
    return CatalogueError(message % {"url": url, "why": why})


def _open(url: str, timeout: float) -> http.client.HTTPResponse:
    request = Request(url, headers={"User-Agent": "reelgraph"})  # noqa: S310 - scheme checked by `download`
    return urlopen(request, timeout=timeout)  # noqa: S310


def _published_checksum(url: str, timeout: float) -> str:
    try:
        with _open(url, timeout) as answer:
            text = answer.read(4096).decode("ascii", errors="replace")
    except HTTPError as error:
        raise _unreachable(url, f"HTTP {error.code}") from error
    except (URLError, OSError, http.client.HTTPException) as error:
        raise _unreachable(url, getattr(error, "reason", None) or error) from error
    found = _MD5.search(text.lower())
    if not found:
        raise CatalogueError(f"{url} holds no MD5 checksum; nothing was downloaded.")
    return found[0]


def _fetch(url: str, path: Path, timeout: float, progress: ProgressCallback) -> str:
    """Store the file at `url` and return its MD5, the checksum that GroupLens publishes."""
    digest = hashlib.md5(usedforsecurity=False)
    received = 0
    try:
        with _open(url, timeout) as answer, path.open("wb") as file:
            expected = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                progress(received / expected if expected else 0.0, "downloading")
    except HTTPError as error:
        raise _unreachable(url, f"HTTP {error.code}") from error
    except (URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _unreachable(url, getattr(error, "reason", None) or error) from error
    if received < expected:
        raise _unreachable(url, "the connection ended early")
    return digest.hexdigest()


def _unpack(archive: Path, into: Path) -> None:
    """Unpack the files of an archive below `into`, whatever paths it names."""
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
            if sum(member.file_size for member in members) > LARGEST:
                raise CatalogueError("The archive is far larger than any MovieLens data set.")
            for member in members:
                path = (into / member.filename).resolve()
                if not path.is_relative_to(into.resolve()):
                    raise CatalogueError("The archive names a file outside its folder.")
                path.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target)
    except zipfile.BadZipFile as error:
        raise CatalogueError(f"The archive is damaged: {error}") from error
