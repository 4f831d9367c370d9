"""The short form of `make test-faults`: the hardest faults in turn while visitors use the site."""

import pytest

from services.kafka import KafkaCluster
from tests.faults import breaking
from tests.faults.__main__ import SHORT_PAUSE, new_deployment, run
from tests.faults.cluster import SHORT
from tests.faults.cluster import run as break_kafka
from tests.faults.deployment import Deployment


def test_nothing_is_lost_and_nothing_counts_twice_whatever_breaks(tmp_path):
    pytest.importorskip("MySQLdb", reason="mysqlclient is not installed; see requirements-mysql.txt")
    site = new_deployment(tmp_path)
    if missing := site.missing():
        pytest.skip(missing)
    try:
        site.start()
        result = run(site, breaking.SHORT, least=200, seconds=2.0, calm=0.5, pause=SHORT_PAUSE)
    finally:
        site.stop()
    print(result.table())  # noqa: T201 - shown when it fails
    assert result.problems == []


def test_nothing_is_lost_whatever_apache_kafka_does(tmp_path):
    """The short form of `python -m tests.faults --brokers 3`: one broker, a minute under load."""
    pytest.importorskip("MySQLdb", reason="mysqlclient is not installed; see requirements-mysql.txt")
    cluster = KafkaCluster(tmp_path, n_nodes=1)
    site = Deployment(tmp_path, kafka=cluster)
    if missing := site.missing():
        pytest.skip(missing)
    try:
        site.start()
        trial = break_kafka(site, cluster, SHORT, seconds=3.0, pause=SHORT_PAUSE)
    finally:
        site.stop()
    print(trial.table())  # noqa: T201 - shown when it fails
    assert trial.result.problems == []
    assert not any(trial.deaths.values()), "a process waits for Kafka and does not end"
