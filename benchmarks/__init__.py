"""Measure what models and the site cost and find, beside baselines: `python -m benchmarks.NAME`."""

import os

# Before numpy is imported: threads of BLAS that wait for one another count as CPU time, most under load.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
