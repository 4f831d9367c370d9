"""The same work in many threads at once, each with a database connection of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor

from django.db import connections


def in_threads(count, work):
    start = threading.Barrier(count)

    def run(number):
        try:
            start.wait()
            return work(number)
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
