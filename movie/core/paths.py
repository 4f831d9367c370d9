"""Paths of the server in texts that a page shows: the name of a file may be said, its folders may not."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

# Folders before the last part of an absolute path. An address (https://...) and "and/or" are none.
_FOLDERS = re.compile(r"(?<![\w.:/~-])~?/(?:[^\s/\"'`|<>]+/)+")


def without_folders(value: Any) -> Any:
    """Return a value, lists and dictionaries too, without the folders of absolute paths in it."""
    if isinstance(value, dict):
        return {key: without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_folders(each) for each in value]
    if not isinstance(value, str):
        return value
    if value.startswith(("/", "~/")) and "\n" not in value:
        return PurePath(value).name
    return _FOLDERS.sub("", value)
