"""Free-form attributes of a movie: what other programs say of it in words of their own, within bounds."""

from __future__ import annotations

import json
import math
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

MOST_ATTRIBUTES, LONGEST_NAME, LONGEST_TEXT = 50, 64, 1_000
MOST_TEXTS = 100  # of a list
LONGEST = 10_000  # characters of all attributes of a movie as JSON
LARGEST_EXACT = 2**53  # beyond it programs round whole numbers


def check_value(value: Any) -> Any:
    """Return a value of an attribute. Raises ValueError for objects, lists of others and what is too long."""
    texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    if isinstance(value, list) and (
        len(value) > MOST_TEXTS or not all(isinstance(each, str) for each in value)
    ):
        raise ValueError(f"expected a list of at most {MOST_TEXTS} texts")
    if any(len(each) > LONGEST_TEXT for each in texts):
        raise ValueError(f"it is longer than {LONGEST_TEXT:,} characters")
    if isinstance(value, dict):
        raise ValueError("expected a text, a number, true, false, null or a list of texts")
    if isinstance(value, int) and abs(value) > LARGEST_EXACT:
        raise ValueError("programs cannot hold so large a number exactly")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a finite number")
    return value


def check_length(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a movie. Raises ValueError where they are too long together."""
    if len(json.dumps(attributes, ensure_ascii=False)) > LONGEST:
        raise ValueError(f"all attributes together are longer than {LONGEST:,} characters")
    return attributes


def validate_attributes(attributes: Any) -> None:
    """Check what staff write. Raises ValidationError for what an API client may not write either."""
    try:
        if not isinstance(attributes, dict) or len(attributes) > MOST_ATTRIBUTES:
            raise ValueError("expected an object with few names")
        if not all(1 <= len(name) <= LONGEST_NAME for name in attributes):
            raise ValueError("a name is empty or too long")
        for value in attributes.values():
            check_value(value)
        check_length(attributes)
    except ValueError as error:
        message = _(
            "Expected a JSON object of at most %(names)d names with %(name_length)d characters. "
            "A value is a text of at most %(text_length)d characters, a number, true, false, null "
            "or a list of at most %(texts)d texts; all of it has at most %(length)d characters."
        )
        bounds = {"names": MOST_ATTRIBUTES, "name_length": LONGEST_NAME, "text_length": LONGEST_TEXT}
        raise ValidationError(message, params={**bounds, "texts": MOST_TEXTS, "length": LONGEST}) from error


def merge_attributes(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of two movies that become one: the first one's, and of the second what fits."""
    found = dict(first)
    for name, value in second.items():
        if name in found or len(found) >= MOST_ATTRIBUTES:
            continue
        try:
            found = check_length({**found, name: value})
        except ValueError:
            continue
    return found
