.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV ?= .venv
STATE_DIR ?= .local
API_PORT ?= 8080
PYTEST_ARGUMENTS ?=
PYTHON_IN_VENV := $(VENV)/bin/python
export STATE_DIR API_PORT

RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
# The development packages contain those needed to run; a newer development stamp serves both.
RUNNABLE := $(if $(wildcard $(DEV_STAMP)),$(DEV_STAMP),$(RUN_STAMP))
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "  STATE_DIR=folder and API_PORT=port (0: any free) move the stack of 'make run'."

.PHONY: setup
setup: $(DEV_STAMP) ## Make the virtual environment with everything for development

$(RUN_STAMP): requirements.lock requirements-bootstrap.lock pyproject.toml
	@deploy/local/setup.sh $(VENV) requirements.lock
	@touch $@

$(DEV_STAMP): requirements-dev.lock requirements-bootstrap.lock pyproject.toml
	@deploy/local/setup.sh $(VENV) requirements-dev.lock
	@touch $@

.PHONY: run
run: $(RUNNABLE) ## Run everything here: Postgres, Kafka, the services and a first influencer
	@exec $(PYTHON_IN_VENV) -m deploy.local

.PHONY: test
test: lint ## Lint, then run all tests on real Postgres and Kafka
	$(PYTHON_IN_VENV) -m pytest tests $(PYTEST_ARGUMENTS)

.PHONY: test-unit
test-unit: $(DEV_STAMP) ## Run the tests that need neither Postgres nor Kafka
	$(PYTHON_IN_VENV) -m pytest tests/unit $(PYTEST_ARGUMENTS)

.PHONY: test-integration
test-integration: $(DEV_STAMP) ## Run the tests that need Postgres and Kafka
	$(PYTHON_IN_VENV) -m pytest tests --ignore=tests/unit $(PYTEST_ARGUMENTS)

.PHONY: fuzz
fuzz: $(DEV_STAMP) ## Let schemathesis try the api against its description for FUZZ_SECONDS
	FUZZ_SECONDS=$${FUZZ_SECONDS:-600} FUZZ_SEED=$${FUZZ_SEED:-$$(date +%s)} \
		$(PYTHON_IN_VENV) -m pytest tests/integration/api/fuzzing --timeout=0 $(PYTEST_ARGUMENTS)

.PHONY: chaos
chaos: $(DEV_STAMP) ## Break the system in every way, CHAOS="--faults 1000 --minutes 60 --seed 7" or "--soak 30"
	$(PYTHON_IN_VENV) -m tests.faults $(CHAOS)

.PHONY: security
security: $(DEV_STAMP) ## Attack the system in every way of OWASP's API Security Top 10
	$(PYTHON_IN_VENV) -m tests.security

.PHONY: audit
audit: $(DEV_STAMP) ## Ask the public database of vulnerabilities about every locked dependency
	$(PYTHON_IN_VENV) -m tests.security.audit requirements-dev.lock requirements-bootstrap.lock

.PHONY: lint
lint: $(DEV_STAMP) ## Check style, format, types, the import contracts, and that no secret is in a file
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	git ls-files -z | xargs -0 $(VENV)/bin/detect-secrets-hook --no-verify --baseline .secrets.baseline

.PHONY: format
format: $(DEV_STAMP) ## Format the code and repair what can be repaired
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

.PHONY: bench
bench: $(DEV_STAMP) ## Measure the figures the project promises
	$(PYTHON_IN_VENV) -m tests.bench

.PHONY: load
load: $(DEV_STAMP) ## Ask the api for ten times what it can do, and for too much beside others
	$(PYTHON_IN_VENV) -m tests.load

.PHONY: schemas
schemas: $(DEV_STAMP) ## Write the JSON Schemas, openapi.json and asyncapi.yaml anew
	$(PYTHON_IN_VENV) -m schemas.generate
	$(PYTHON_IN_VENV) -m services.api.openapi

.PHONY: release
release: $(DEV_STAMP) ## Freeze the events' schemas as they are; refused while they break with a release
	$(PYTHON_IN_VENV) -m schemas.release

.PHONY: lock
lock: $(DEV_STAMP) ## Resolve all dependencies anew: the Python lock files and Kafka's jars
	echo uv | $(COMPILE) --upgrade --output-file requirements-bootstrap.lock -
	$(COMPILE) --upgrade --group stack --output-file requirements.lock pyproject.toml
	$(COMPILE) --upgrade --group dev --output-file requirements-dev.lock pyproject.toml
	$(PYTHON_IN_VENV) -m deploy.local.jars

.PHONY: clean
clean: ## Delete the environment, the caches and the local stack's data
	rm -rf $(VENV) $(STATE_DIR) .cache .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis build dist *.egg-info
	find services schemas deploy examples tests -name __pycache__ -type d -prune -exec rm -rf {} +
