"""python -m tests.replicas: two machines, one database, a proxy; prints what holds."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from services import MariaDB, Redis, ServiceError
from services.base import free_port
from tests.replicas import scenario
from tests.replicas.site import Site


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.replicas", description=__doc__)
    parser.add_argument("--visitors", type=int, default=8, help="who use the site while a machine dies")
    parser.add_argument("--seconds", type=float, default=10, help="for which a machine is away")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelgraph-replicas-") as folder:
        root = Path(folder)
        servers = [MariaDB(root / "services", free_port()), Redis(root / "services", free_port())]
        try:
            for server in servers:
                server.start()
            return _run(Site(root, *servers), arguments)
        except ServiceError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        finally:
            for server in servers:
                server.stop()


def _run(site: Site, arguments: argparse.Namespace) -> int:
    try:
        site.start()
        lines = [("two machines", site.network.kind)]
        lines += scenario.a_guest_is_known_everywhere(site)
        lines += scenario.a_member_is_signed_in_everywhere(site)
        lines += scenario.choices_and_forms_hold_everywhere(site)
        lines += scenario.a_model_goes_live_everywhere(site)
        lines += scenario.a_machine_dies(site, visitors=arguments.visitors, seconds=arguments.seconds)
    finally:
        site.stop()
    for what, found in lines:
        sys.stdout.write(f"{what:<70}{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
