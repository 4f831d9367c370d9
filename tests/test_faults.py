"""The short form of `make test-faults`: every part is broken once while visitors use the site."""

import pytest

from tests.faults.__main__ import run
from tests.faults.deployment import Deployment


def test_nothing_is_lost_and_nothing_counts_twice_whatever_breaks(tmp_path):
    pytest.importorskip("MySQLdb", reason="mysqlclient is not installed; see requirements-mysql.txt")
    site = Deployment(tmp_path)
    if missing := site.missing():
        pytest.skip(missing)
    try:
        site.start()
        result = run(site, least=200, seconds=2.0, calm=1.0)
    finally:
        site.stop()
    print(result.table())  # noqa: T201 - shown when it fails
    assert result.problems == []
    assert len(result.load.acknowledged) >= 200
