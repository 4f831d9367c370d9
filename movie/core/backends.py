"""Backends that settings choose by {"BACKEND": dotted path, "OPTIONS": keyword arguments}."""

from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any

from django.utils.module_loading import import_string


def get_backend(setting: Mapping[str, Any]) -> Any:
    """Return the backend of a setting, built on first use and shared by all threads."""
    return _build(setting["BACKEND"], tuple(sorted(setting.get("OPTIONS", {}).items())))


@cache
def _build(path: str, options: tuple[tuple[str, Hashable], ...]) -> Any:
    return import_string(path)(**dict(options))
