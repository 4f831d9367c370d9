"""Measure what models and the site cost and find, beside baselines: `python -m benchmarks.NAME`."""

import os

# Before numpy is imported: threads of BLAS that wait for one another count as CPU time, most under load.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ["OMP_NUM_THREADS"])  # which OpenBLAS prefers
