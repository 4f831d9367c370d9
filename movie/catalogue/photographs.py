"""Photographed posters: image files that the site stores under their checksum and serves itself.

An image is taken in only when its structure is that of a whole JPEG or PNG file: sizes are read from the
headers, checksums and end marks are compared, and nothing is decoded.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import tempfile
import zlib
from pathlib import Path

from django.conf import settings

NAME_PATTERN = r"[0-9a-f]{64}\.(?:jpg|png)"
_NAME = re.compile(NAME_PATTERN)
CONTENT_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
LARGEST = 1 << 20  # bytes; a poster 500 pixels wide has about 80,000
MOST_PIXELS = 4000  # wide or high
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_SCAN = 0xDA
# Segments that state the size (SOF0 to SOF15), but for three that share their range (DHT, JPG, DAC).
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD8)))


class NotAnImage(Exception):
    """Says why a file is no image that the site stores."""


def store(content: bytes) -> str:
    """Store an image and return its name, the SHA-256 of its content. Raises NotAnImage, and OSError.

    The file appears under its name when it is complete. The same image is stored once.
    """
    name = name_of(content)
    path = _path(name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        number, part = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(content)
            Path(part).chmod(0o644)
            Path(part).replace(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
    return name


def name_of(content: bytes) -> str:
    """Return the name that an image is stored under. Raises NotAnImage."""
    if len(content) > LARGEST:
        raise NotAnImage(f"it has more than {LARGEST:,} bytes")
    if content.startswith(_PNG):
        suffix, (wide, tall) = ".png", _png_size(content)
    elif content.startswith(_JPEG):
        suffix, (wide, tall) = ".jpg", _jpeg_size(content)
    else:
        raise NotAnImage("it is neither JPEG nor PNG")
    if not (0 < wide <= MOST_PIXELS and 0 < tall <= MOST_PIXELS):
        raise NotAnImage(f"it is {wide} by {tall} pixels")
    return hashlib.sha256(content).hexdigest() + suffix


def stored_path(name: str) -> Path | None:
    """Return the file of a name, None where there is none."""
    path = _path(name) if _NAME.fullmatch(name) else None
    return path if path is not None and path.is_file() else None


def discard(name: str) -> None:
    """Delete the file of a name where there is one. Raises OSError."""
    if (path := stored_path(name)) is not None:
        path.unlink(missing_ok=True)


def any_stored() -> bool:
    """Return whether the site has photographed posters at all."""
    try:
        with os.scandir(settings.PHOTOGRAPH_DIR) as folders:
            return any(folder.is_dir() and any(Path(folder).iterdir()) for folder in folders)
    except OSError:
        return False


def _path(name: str) -> Path:
    return Path(settings.PHOTOGRAPH_DIR) / name[:2] / name


def _png_size(content: bytes) -> tuple[int, int]:
    """Return the size after a walk over all chunks. Raises NotAnImage."""
    at, size, kind = len(_PNG), (0, 0), b""
    while at < len(content):
        header = content[at : at + 8]
        if len(header) < 8:
            raise NotAnImage("a PNG chunk is cut off")
        length, kind = struct.unpack(">I4s", header)
        body = content[at + 8 : at + 8 + length]
        stated = content[at + 8 + length : at + 12 + length]
        if len(body) < length or len(stated) < 4:
            raise NotAnImage("a PNG chunk is cut off")
        if zlib.crc32(kind + body) != int.from_bytes(stated):
            raise NotAnImage("the checksum of a PNG chunk is wrong")
        if at == len(_PNG):
            if kind != b"IHDR" or length != 13:
                raise NotAnImage("the PNG states no size")
            size = struct.unpack(">II", body[:8])
        at += 12 + length
        if kind == b"IEND":
            break
    if kind != b"IEND" or at != len(content):
        raise NotAnImage("the PNG does not end where its file does")
    return size


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Return the size after a walk over the segments before the scan. Raises NotAnImage."""
    at, size = 2, (0, 0)
    while True:
        if content[at : at + 1] != b"\xff" or at + 4 > len(content):
            raise NotAnImage("a JPEG segment is cut off")
        kind = content[at + 1]
        if kind == 0xFF:  # padding
            at += 1
            continue
        if kind in _WITHOUT_LENGTH:
            at += 2
            continue
        length = int.from_bytes(content[at + 2 : at + 4])
        if kind in _SIZES and length >= 7:
            tall, wide = struct.unpack(">HH", content[at + 5 : at + 9].ljust(4, b"\0"))
            size = wide, tall
        at += 2 + length
        if kind == _SCAN:
            break
    if not content.rstrip(b"\0").endswith(_JPEG_END):
        raise NotAnImage("the JPEG does not end where its file does")
    return size
