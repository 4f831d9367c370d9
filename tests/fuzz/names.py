"""Names of parameters, as the code and the pages of the site have them: no list is kept by hand."""

from __future__ import annotations

import inspect
import re
import sys
from functools import cache
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from movie.api.compat.api import api as compat_api
from movie.api.v1 import api

READ = re.compile(r"""(?:GET|POST|FILES|params|data)(?:\.(?:get|getlist|pop)\(|\[)\s*["'](\w+)["']""")
CONSTANTS = re.compile(r"""^[A-Z_]+(?:_VAR|_PARAM|_FIELD(?:_NAME)?) *= *["']([\w-]+)["']""", re.MULTILINE)
PACKAGES = ("movie.", "allauth.account", "import_export.", "django.contrib.admin.", "django.views.i18n")
LOOKUPS = ("", "__exact", "__in", "__isnull", "__gte", "__year", "__icontains", "__bogus", "__id__exact")


@cache
def read_by_code() -> tuple[str, ...]:
    """Return the names under which views of the site and of its packages read parameters."""
    found: set[str] = set()
    for name, module in list(sys.modules.items()):
        if name.startswith(PACKAGES) and ".tests" not in name:
            try:
                source = inspect.getsource(module)
            except (OSError, TypeError):
                continue
            found |= set(READ.findall(source)) | set(CONSTANTS.findall(source))
    return tuple(sorted(found))


@cache
def of_schemas() -> tuple[str, ...]:
    """Return the names of all properties and parameters in the descriptions of the API."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            found.update(node.get("properties", ()))
            found.update(each["name"] for each in node.get("parameters", ()) if "name" in each)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    for described in (api, compat_api):
        walk(described.get_openapi_schema())
    return tuple(sorted(found))


def of_admin(callback: Any) -> tuple[str, ...]:
    """Return filters of a changelist: fields of the admin's model with lookups."""
    model_admin = getattr(callback, "model_admin", None)
    if model_admin is None:
        return ()
    return tuple(field.name + lookup for field in model_admin.model._meta.get_fields() for lookup in LOOKUPS)


class PageForms(HTMLParser):
    """Reads the forms of a page with what they hold, and the parameters of its links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.files: set[str] = set()
        self.parameters: set[str] = set()
        self._select = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self.forms.append({})
        elif tag == "a":
            self.parameters |= {name for name, _ in parse_qsl(_query(given.get("href", "")))}
        elif not self.forms:
            return
        elif tag == "input" and given.get("type") == "file":
            self.files.add(name)
        elif tag in ("input", "textarea", "button") and name:
            self.forms[-1].setdefault(name, given.get("value", ""))
        elif tag == "select":
            self._select = name
            self.forms[-1].setdefault(name, "")
        elif (
            tag == "option" and self._select and ("selected" in given or not self.forms[-1].get(self._select))
        ):
            self.forms[-1][self._select] = given.get("value", "")


def _query(address: str) -> str:
    try:
        return urlsplit(address).query
    except ValueError:
        return ""
