"""How fast the API and the pages are served, beside a plain FastAPI service with the same model."""
