"""The REST API. `v1.py` lists its routers; `docs/api.md` describes it."""
