"""Ask PyPI's advisories, else OSV's, about every locked package. Status 1: one is known to be vulnerable.

Where no source knows any of the packages nothing was checked; that is said with the reason, and the status is
0.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = (
    "locks/dev.txt",
    "locks/mysql.txt",
    "locks/postgresql.txt",
    "locks/services.txt",
    "locks/deploy.txt",
    "locks/docs.txt",
    "locks/install.txt",
)
SERVICES = ("pypi", "osv")
SECONDS = 300


def ask(service: str) -> list[dict]:
    """Return what a source of advisories says of each package. Raises OSError where it says nothing."""
    files = [argument for part in PARTS for argument in ("--requirement", part)]
    command = [str(Path(sys.executable).with_name("pip-audit")), "--disable-pip", "--require-hashes"]
    command += ["--progress-spinner", "off", "--format", "json", "--vulnerability-service", service, *files]
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"no answer in {SECONDS} seconds") from None
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise OSError((done.stderr.strip().splitlines() or ["no answer"])[-1]) from None
    if all("skip_reason" in each for each in packages):
        raise OSError("it knows none of the packages")
    return packages


def main() -> int:
    for service in SERVICES:
        try:
            packages = ask(service)
        except OSError as error:
            sys.stdout.write(f"{service}: {error}\n")
            continue
        unknown = [each["name"] for each in packages if "skip_reason" in each]
        found = [(each, vulnerability) for each in packages for vulnerability in each.get("vulns", ())]
        for each, known in found:
            fixed = ", ".join(known["fix_versions"]) or "no version yet"
            sys.stdout.write(f"{each['name']} {each['version']}: {known['id']}, fixed in {fixed}\n")
        sys.stdout.write(
            f"{len(packages) - len(unknown)} packages, {len(found)} known vulnerabilities ({service})\n"
        )
        if unknown:
            sys.stdout.write(f"Not checked: {', '.join(unknown)}\n")
        return 1 if found else 0
    sys.stdout.write("Skipped: no source of advisories can be asked from here. Nothing was checked.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
