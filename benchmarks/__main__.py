"""The quick benchmarks, one after another: `python -m benchmarks [NAME ...]`.

Each is a module of its own with options; `python -m benchmarks.NAME --help` tells them.
"""

import subprocess
import sys
from pathlib import Path

QUICK = ("sasrec_latency", "home_page", "import_ratings")


def main(names: list[str]) -> int:
    folder = Path(__file__).resolve().parent
    known = sorted(
        path.stem for path in folder.glob("[a-z]*") if path.suffix or (path / "__main__.py").exists()
    )
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.stderr.write(f"no benchmark named {', '.join(unknown)}; known: {', '.join(known)}\n")
        return 2
    failed = []
    for name in names or QUICK:
        sys.stdout.write(f"\n== {name}\n")
        sys.stdout.flush()
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
