"""Write locks/*.txt from the requirements: every version, and the sha256 of every file of it on PyPI.

One lock serves Linux (x86_64 and aarch64), macOS and Windows, and Python 3.11 to 3.13: markers say what is
only for some of them. Every set has the versions of the largest. Nothing is upgraded that a lock has
already; `--upgrade` or `--upgrade-package NAME`, as of `uv pip compile`, does.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# locks/NAME.txt of requirements-NAME.txt, the largest first
SETS = ("dev", "train", "serve", "services", "mysql", "postgresql", "deploy", "docs", "data", "install")
WITHOUT_DEPENDENCIES = ("data",)
COMPILE = (
    "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", "3.11",
    "--custom-compile-command", "make lock", "--default-index", "https://pypi.org/simple",
)  # fmt: skip


def main() -> None:
    command = [str(Path(sys.executable).with_name(COMPILE[0])), *COMPILE[1:]]
    for name in SETS:
        arguments = [f"requirements-{name}.txt", "--output-file", f"locks/{name}.txt", *sys.argv[1:]]
        if name in WITHOUT_DEPENDENCIES:
            arguments.append("--no-deps")
        elif name != SETS[0]:
            arguments += ["--constraints", f"locks/{SETS[0]}.txt"]
        subprocess.run([*command, *arguments], cwd=ROOT, check=True)  # noqa: S603 - our own command


if __name__ == "__main__":
    main()
