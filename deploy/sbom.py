"""Write var/release/reelgraph-VERSION.cdx.json: what a release is made of, with hashes, as CycloneDX."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = (
    "locks/train.txt",
    "locks/mysql.txt",
    "locks/postgresql.txt",
    "locks/data.txt",
    "requirements-torch.txt",
)


def main() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    target = ROOT / "var" / "release" / f"reelgraph-{version}.cdx.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).with_name("cyclonedx-py")), "requirements", "-"]
    command += ["--pyproject", "pyproject.toml", "--output-reproducible", "--output-file", str(target)]
    requirements = "\n".join((ROOT / part).read_text() for part in PARTS)
    subprocess.run(command, cwd=ROOT, input=requirements, text=True, check=True)  # noqa: S603 - our own
    sys.stdout.write(f"{target.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
