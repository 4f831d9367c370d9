"""Several web machines before one database, behind a proxy: whoever is asked, the answer is the same.

`python -m tests.replicas` runs it and prints what came of it.
"""
