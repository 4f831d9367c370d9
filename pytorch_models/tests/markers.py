"""Reasons for which a test of this package is skipped."""

from importlib.util import find_spec

import pytest

NO_DGL = "DGL is not installed; it has packages for Python 3.11 alone"
needs_dgl = pytest.mark.skipif(find_spec("dgl") is None, reason=NO_DGL)
BACKENDS = ["native", pytest.param("dgl", marks=needs_dgl)]
