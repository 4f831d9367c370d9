"""Private database, broker, log and cache servers for development and tests, without containers.

`python -m services start` runs them on 127.0.0.1, each with a data folder and a port of its own.
A deployment has its own servers and does not use this package.
"""

from collections.abc import Callable

from services.base import Service, ServiceError
from services.dynamodb import DynamoDB
from services.kafka import kafka_service
from services.mariadb import MariaDB
from services.postgresql import PostgreSQL
from services.redis import Redis

__all__ = ["SERVICES", "Service", "ServiceError"]

SERVICES: dict[str, Callable[..., Service]] = {
    "mariadb": MariaDB,
    "postgresql": PostgreSQL,
    "kafka": kafka_service,  # Apache Kafka or a stand-in
    "dynamodb": DynamoDB,
    "redis": Redis,
}
