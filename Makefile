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

.PHONY: demo test test-faults fuzz lint format bench clean help messages services services-stop services-status check-deploy

help:  ## What can be made
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/serve.done .env  ## Load real data, train, serve on http://127.0.0.1:8000 (TORCH=0: without PyTorch)
	$(BIN)/python manage.py demo --host $(HOST) --port $(PORT) $(if $(filter 0,$(TORCH)),--no-torch)

test: $(VENV)/dev.done $(VENV)/services.done  ## Run every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope

test-faults: $(VENV)/dev.done $(VENV)/services.done  ## Break every part in turn under load, then count (20 min)
	$(BIN)/python -m tests.faults
	test -z "$(KAFKA_HOME)" || $(BIN)/python -m tests.faults --brokers 3

fuzz: $(VENV)/dev.done  ## Send 10,000 mutated requests to every address (5 min)
	$(BIN)/python -m tests.fuzz

services: $(VENV)/services.done  ## Private MariaDB, Kafka-protocol broker, DynamoDB-API server and Redis
	$(BIN)/python -m services start --ports "$(PORTS)"

services-stop: $(VENV)/run.done  ## Stop them; their data stays in var/services
	$(BIN)/python -m services stop

services-status: $(VENV)/run.done  ## Which of them run
	$(BIN)/python -m services status

check-deploy: $(VENV)/deploy.done  ## Compose file, Dockerfile and manifests, by the rules of their tools
	$(BIN)/python -m pytest -q -n0 tests/test_deployment.py

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

messages: $(VENV)/dev.done  ## Collect and compile translations (needs gettext)
	$(BIN)/python manage.py makemessages -l ko -l zh_Hans --no-obsolete --no-location -i .venv -i var
	$(BIN)/python manage.py compilemessages -l ko -l zh_Hans -i .venv -i var

clean:  ## Remove the environment, the database and all trained models
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Python 3.11 to 3.13 is needed; name one with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Without --no-compile pip compiles 15,000 files that mostly nobody imports: a third of the time.
$(VENV)/serve.done: requirements-serve.txt requirements-data.txt | $(VENV)/bin/python
	@echo "Installing what the site needs (690 MB) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -r requirements-serve.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps -r requirements-data.txt
	touch $@

$(VENV)/run.done: requirements.txt $(VENV)/serve.done
	@echo "Installing PyTorch and what else training needs (5.5 GB on Linux with CUDA, 1 GB elsewhere) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

# mysqlclient is compiled: where that fails, everything but MySQL still works.
$(VENV)/services.done: requirements-services.txt requirements-mysql.txt $(VENV)/run.done
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-services.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-mysql.txt \
		|| echo "mysqlclient could not be built; requirements-mysql.txt says what it needs."
	touch $@

$(VENV)/dev.done: requirements-dev.txt $(VENV)/run.done
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(VENV)/deploy.done: requirements-deploy.txt $(VENV)/dev.done $(VENV)/services.done
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-deploy.txt
	touch $@

.env:  ## Settings for this machine, with a secret of its own
	@$(BIN)/python -c 'import secrets; print("SECRET_KEY=" + secrets.token_urlsafe(48))' > $@.tmp
	@printf 'ALLOWED_HOSTS=localhost,127.0.0.1\nSECURE=false\n' >> $@.tmp
	@chmod 600 $@.tmp && mv $@.tmp $@
	@echo "Wrote .env for this machine; docs/configuration.md explains every line."
