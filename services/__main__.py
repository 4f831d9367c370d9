"""python -m services start|stop|status [NAME ...]"""

import argparse
import sys
from pathlib import Path

import psutil

from services import SERVICES, Service, ServiceError

ROOT = Path(__file__).resolve().parent.parent / "var" / "services"


def main() -> int:
    arguments = _arguments()
    ports = arguments.ports
    chosen = [SERVICES[name](arguments.data_dir, ports.get(name)) for name in arguments.names or SERVICES]
    return {"start": _start, "stop": _stop, "status": _status}[arguments.action](chosen)


def _start(chosen: list[Service]) -> int:
    problems = []
    for service in chosen:
        try:
            started = service.start()
        except ServiceError as error:
            problems.append(str(error))
            continue
        _say(f"# {service.title}: port {service.port_used}, {'started' if started else 'was running'}")
        for variable, value in service.variables().items():
            _say(f"export {variable}='{value}'")
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


def _stop(chosen: list[Service]) -> int:
    for service in chosen:
        _say(f"{service.title}: {'stopped' if service.stop() else 'was not running'}")
    return 0


def _status(chosen: list[Service]) -> int:
    """0 when all of them run and answer."""
    well = True
    for service in chosen:
        process = service.process()
        if process is None:
            state = service.missing() or "is not running"
        else:
            state = "answers" if service.answers() else "runs but does not answer"
            state += f", port {service.port_used}, process {process.pid}, {_memory(process)} MB"
        well = well and state.startswith("answers")
        _say(f"{service.title}: {state}")
    return 0 if well else 1


def _memory(process: psutil.Process) -> int:
    return round(process.memory_info().rss / 2**20)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__)
    parser.add_argument("action", choices=("start", "stop", "status"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(SERVICES)}; all by default")
    parser.add_argument("--data-dir", type=Path, default=ROOT, help="where their data lies")
    parser.add_argument("--ports", type=_ports, default={}, metavar="NAME=PORT,...")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in SERVICES]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(SERVICES)}")
    return arguments


def _ports(spelled: str) -> dict[str, int]:
    """`kafka=39093,redis=36380` as a dictionary."""
    ports = {}
    for pair in filter(None, spelled.split(",")):
        name, _, number = pair.partition("=")
        if name not in SERVICES or not number.isdecimal() or not 0 < int(number) < 2**16:
            raise argparse.ArgumentTypeError(f"{pair!r} is not like kafka=39093")
        ports[name] = int(number)
    return ports


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
