"""Model fields that apps share."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class ExactCharField(models.CharField):
    """Holds text that is compared exactly, by letter, case and accent, in every database.

    MySQL and MariaDB compare text loosely by default; here their column has the binary collation. PostgreSQL
    compares exactly, and with the collation "C" its index of the column finds beginnings too.
    """

    COLLATIONS: ClassVar = {"mysql": "utf8mb4_bin", "postgresql": "C"}

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters: dict[str, Any] = super().db_parameters(connection)
        if collation := self.COLLATIONS.get(connection.vendor):
            parameters["collation"] = collation
        return parameters
