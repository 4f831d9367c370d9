# make demo  -> a working site on real data.      make test -> everything checked.
# Both set up what they need; nothing else has to run.

# The first that runs, unless one is named.
ifndef PYTHON
PYTHON := $(shell for python in python3.11 python3.13 python3.12 python3; do \
	$$python -c "" 2>/dev/null && { echo $$python; break; }; done)
endif
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 2

.PHONY: install serve reset docs demo test test-faults fuzz lint format bench clean help messages services services-stop services-status check-deploy \
	lock sbom wheels audit typescript

help:  ## What can be made
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(VENV)/serve.done .env  ## What serving and the closed-form models need, and a .env with a secret

serve: install  ## Serve the site of this folder on http://127.0.0.1:8000, with WORKERS processes
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 MALLOC_ARENA_MAX=2 $(BIN)/python -m webapp.server --interface rsgi \
		--host $(HOST) --port $(PORT) --workers $(WORKERS) --respawn-failed-workers webapp.rsgi:application

# Bytecode is kept, whatever this shell says of it: without it each process of the demo compiles what it imports.
demo: $(VENV)/serve.done .env  ## Load real data, train, serve on http://127.0.0.1:8000 (TORCH=0: without PyTorch)
	PYTHONDONTWRITEBYTECODE= MALLOC_ARENA_MAX=2 $(BIN)/python manage.py demo --host $(HOST) --port $(PORT) $(if $(filter 0,$(TORCH)),--no-torch)

# One thread of BLAS and torch a worker: threads that wait for one another took 3.6 times the CPU. Bytecode is
# kept, whatever this shell says of it: each of the hundred processes would compile what it imports.
test: $(VENV)/dev.done $(VENV)/services.done  ## Run every test
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope \
		--no-loadscope-reorder

test-faults: $(VENV)/dev.done $(VENV)/services.done  ## Break every part in turn under load, then count (20 min)
	$(BIN)/python -m tests.faults
	test -z "$(KAFKA_HOME)" || $(BIN)/python -m tests.faults --brokers 3

fuzz: $(VENV)/dev.done  ## Send 10,000 mutated requests to every address (5 min)
	$(BIN)/python -m tests.fuzz

services: $(VENV)/services.done  ## Private MariaDB, PostgreSQL, Kafka-protocol broker, DynamoDB-API server and Redis
	$(BIN)/python -m services start --ports "$(PORTS)"

services-stop: $(VENV)/run.done  ## Stop them; their data stays in var/services
	$(BIN)/python -m services stop

services-status: $(VENV)/run.done  ## Which of them run
	$(BIN)/python -m services status

check-deploy: $(VENV)/deploy.done  ## Compose file, Dockerfiles, manifests and templates, by the rules of their tools
	$(BIN)/python -m pytest -q -n0 tests/test_deployment.py tests/test_aws.py

lint: $(VENV)/dev.done  ## Style, types, templates, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/djlint --quiet --lint templates
	SECRET_KEY=lint DEBUG=true $(BIN)/mypy
	$(BIN)/mypy --config-file clients/python/pyproject.toml clients/python/reelgraph_client

format: $(VENV)/dev.done  ## Put the code in its style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/run.done .env  ## The quick benchmarks, each with a ratio against a named baseline
	$(BIN)/python -m benchmarks

lock: $(VENV)/lock.done  ## Write locks/ anew from the requirements: every file that pip may install, by its sha256
	$(BIN)/python deploy/lock.py

sbom: $(VENV)/deploy.done  ## var/release/: what a release is made of, as CycloneDX
	$(BIN)/python deploy/sbom.py

wheels: $(VENV)/bin/pip  ## var/release/: a wheel of the site and one of the Python client
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir var/release . ./clients/python

audit: $(VENV)/deploy.done  ## Known vulnerabilities of the locked packages; says so where nobody can be asked
	$(BIN)/python deploy/audit.py

docs: $(VENV)/docs.done  ## The documents as a site in var/docs; a broken link or anchor stops it
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "Open it with: $(BIN)/python -m http.server --directory var/docs 8001"

typescript: $(VENV)/serve.done clients/typescript/node_modules  ## clients/typescript anew from the API of today (needs npm)
	SECRET_KEY=typescript DEBUG=true $(BIN)/python manage.py shell --verbosity 0 -c \
		"import json; from movie.api.v1 import description; print(json.dumps(description()))" \
		> clients/typescript/openapi.json
	npm run --prefix clients/typescript generate
	npm run --prefix clients/typescript build

clients/typescript/node_modules: clients/typescript/package-lock.json
	npm ci --prefix clients/typescript --no-audit --no-fund
	touch $@

messages: $(VENV)/dev.done  ## Collect and compile translations (needs gettext)
	$(BIN)/python manage.py makemessages -l ko -l zh_Hans --no-obsolete --no-location -i .venv -i var
	$(BIN)/python manage.py compilemessages -l ko -l zh_Hans -i .venv -i var

clean:  ## Remove the environment and caches; the site's data in var/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

reset:  ## Remove var/: the database, all trained models, the feed. Asks first
	@printf 'This deletes var/ with all films, ratings, accounts and models. Type "delete" to go on: '
	@read answer && test "$$answer" = delete && rm -rf var || { echo 'Nothing was deleted.'; exit 1; }

# With uv and pip, by the quickest way that this machine has; with the pip of Python alone where neither can be had.
# pip comes last: where an installation ended early, the next one begins here again.
$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Python 3.11 to 3.13 is needed; name one with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv --without-pip $(VENV)
	@uv pip install --quiet --python $(BIN)/python --require-hashes -r locks/install.txt 2>/dev/null \
		|| $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-compile \
			--require-hashes -r locks/install.txt 2>/dev/null \
		|| $(PYTHON) -m venv $(VENV)

PIP := deploy/install.sh $(VENV)
LOCKED := $(PIP) --require-hashes

$(VENV)/serve.done: locks/serve.txt locks/data.txt | $(VENV)/bin/pip
	@echo "Installing what the site needs (690 MB) ..."
	$(LOCKED) -r locks/serve.txt
	$(LOCKED) --no-deps -r locks/data.txt
	touch $@

# Everything is locked but PyTorch; requirements-torch.txt says why. pip installs it, as it alone reads which build
# somebody has chosen in its configuration.
$(VENV)/run.done: locks/train.txt requirements-torch.txt $(VENV)/serve.done
	@echo "Installing PyTorch and what else training needs (5.5 GB on Linux with CUDA, 1 GB elsewhere) ..."
	$(LOCKED) -r locks/train.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -r requirements-torch.txt
	touch $@

# mysqlclient is compiled: where that fails, everything but MySQL still works.
$(VENV)/services.done: locks/services.txt locks/mysql.txt locks/postgresql.txt $(VENV)/run.done
	$(LOCKED) -r locks/services.txt
	$(LOCKED) -r locks/postgresql.txt
	$(LOCKED) -r locks/mysql.txt \
		|| echo "mysqlclient could not be built; requirements-mysql.txt says what it needs."
	touch $@

$(VENV)/dev.done: locks/dev.txt $(VENV)/run.done
	$(LOCKED) -r locks/dev.txt
	touch $@

$(VENV)/deploy.done: locks/deploy.txt $(VENV)/dev.done $(VENV)/services.done
	$(LOCKED) -r locks/deploy.txt
	touch $@

$(VENV)/docs.done: locks/docs.txt | $(VENV)/bin/pip
	$(LOCKED) -r locks/docs.txt
	touch $@

# uv alone, of the version that the requirements name: the lock of everything else may be out of date.
$(VENV)/lock.done: requirements-deploy.txt | $(VENV)/bin/pip
	$(PIP) $$(grep '^uv==' requirements-deploy.txt)
	touch $@

.env:  ## Settings for this machine, with a secret of its own
	@$(BIN)/python -c 'import secrets; print("SECRET_KEY=" + secrets.token_urlsafe(48))' > $@.tmp
	@printf 'ALLOWED_HOSTS=localhost,127.0.0.1\nSECURE=false\n' >> $@.tmp
	@chmod 600 $@.tmp && mv $@.tmp $@
	@echo "Wrote .env for this machine; docs/configuration.md explains every line."
