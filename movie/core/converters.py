"""Read ids in addresses. A number beyond the range of a 64-bit column is no id: its address is a 404."""

from __future__ import annotations

MAX_ID = 2**63 - 1


class IdConverter:
    """Converts the decimal id of a row, 0 to MAX_ID."""

    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        """Return the id. Raises ValueError, by which Django takes the address for an unknown one."""
        number = int(value)
        if number > MAX_ID:
            raise ValueError(f"{value} is no id")
        return number

    def to_url(self, value: int) -> str:
        return str(value)
