"""python -m tests.fuzz: the fuzz test with as many requests as wanted."""

import argparse
import sys

import pytest

TEST = "movie/pages/tests/test_fuzz.py"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="in all, of guest, member and staff")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    return pytest.main(
        [
            "-q",
            "-s",
            "-n0",
            "--show-capture=no",
            "-p",
            "no:logging",
            TEST,
            f"--fuzz-requests={arguments.requests}",
            f"--fuzz-seed={arguments.seed}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
