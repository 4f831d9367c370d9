# syntax=docker/dockerfile:1
# One image for every process of the site; the command decides which. See docs/deployment.md.
# A tag can be moved, a digest cannot: --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

# -- what needs a compiler, and the static files ------------------------------------------------
FROM ${PYTHON_IMAGE} AS builder

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends default-libmysqlclient-dev gcc libc6-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

WORKDIR /app
COPY requirements-torch.txt ./
COPY locks ./locks

# cpu: the build without CUDA, a fraction of the size. Only PyTorch's own index has it; once it is installed the
# last command finds torch satisfied and adds what it depends on. cuda: what PyPI has, with NVIDIA's libraries.
# none: to serve, and to train the closed-form models. Everything but PyTorch is what locks/ says, by its hash.
ARG TORCH=cpu
RUN case "$TORCH" in \
        cpu|cuda) packages=locks/train.txt ;; \
        none) packages=locks/serve.txt ;; \
        *) echo "TORCH is cpu, cuda or none, not $TORCH" >&2; exit 1 ;; \
    esac \
    && pip install --require-hashes -r "$packages" -r locks/mysql.txt -r locks/postgresql.txt \
    && pip install --require-hashes --no-deps -r locks/data.txt \
    && if [ "$TORCH" = cpu ]; then \
        pip install --no-deps --index-url https://download.pytorch.org/whl/cpu \
            "$(grep '^torch==' requirements-torch.txt)"; \
    fi \
    && if [ "$TORCH" != none ]; then pip install -r requirements-torch.txt; fi

COPY . .
RUN SECRET_KEY=not-kept ALLOWED_HOSTS=localhost DATA_DIR=/tmp STATIC_ROOT=/app/staticfiles \
        python manage.py collectstatic --noinput \
    && python -m compileall -q .

# -- what runs ----------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS runtime

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends fonts-dejavu-core libmariadb3 libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin reelgraph \
    && install -d -m 700 -o reelgraph -g reelgraph \
        /var/lib/reelgraph /var/lib/reelgraph/models /var/lib/reelgraph/feed /var/lib/reelgraph/jobs

COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/var/lib/reelgraph \
    STATIC_ROOT=/app/staticfiles \
    DGLBACKEND=pytorch \
    MPLCONFIGDIR=/tmp/matplotlib

WORKDIR /app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "deploy/healthcheck.py", "8000", "/health/live"]
CMD ["python", "-m", "webapp.server", "--interface", "rsgi", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", \
     "--respawn-failed-workers", "webapp.rsgi:application"]
