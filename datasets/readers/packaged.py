"""Find MovieLens 100K in the installed recbole wheel, which only carries the data and is never imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def movielens_100k() -> Path:
    """Return the folder of MovieLens 100K with its films. Raises FileNotFoundError."""
    spec = find_spec("recbole")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "dataset_example" / "ml-100k"
        if (path / "ml-100k.inter").is_file():
            return path
    raise FileNotFoundError(
        "The demonstration data is not installed. Run pip install --no-deps recbole==1.2.1."
    )
