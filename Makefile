# Everything happens inside the checkout: .venv (dependencies), .airflow (Airflow's home), data (runs and results).
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python

# A domain is a package with a domain.py (include/domains.py lists them). Nothing here names one.
DOMAINS := $(filter-out include/core,$(patsubst %/domain.py,%,$(sort $(wildcard include/*/domain.py))))
DOMAIN_IMAGES := $(patsubst %/Dockerfile,%,$(wildcard $(addsuffix /Dockerfile,$(DOMAINS))))
DOMAIN_LOCKS := $(wildcard $(addsuffix /requirements.txt,$(DOMAINS)))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup:
	@tools/setup

.PHONY: setup-dev
setup-dev:
	@tools/setup dev

.PHONY: run
run: ## Set up and run each domain's pipeline in turn, down to its report, with the profile `demo` if it has one
	@for domain in $(notdir $(DOMAINS)); do \
	  tools/setup $$domain || exit 1; \
	  [ -e include/config/$$domain-pipeline.json ] || [ -e dags/$${domain}_pipeline.py ] || continue; \
	  [ ! -e include/$$domain/profiles/demo.json ] && profile= || profile="--profile demo"; \
	  ./pipeline run $$domain $$profile || exit 1; done

# One worker more than there are cores: tests of Airflow wait about as much as they compute.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
# Compiled tests are kept: each worker imports all of them, at every run.
PYTEST = env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: test
test: setup-dev ## Run the tests that need no Docker and no browser (in parallel)
	@$(PYTEST) -m "not docker and not browser and not e2e" $(ARGS)

.PHONY: test-all
test-all: setup-dev ## Run also those in containers and in a browser (what is missing is skipped)
	@$(PYTEST) -m "not e2e" $(ARGS)

.PHONY: e2e
e2e: setup-dev stack-images ## Run the tests on a running Airflow and on the full stack: used, killed, filled up (an hour)
	@$(PY) -m pytest -v -m e2e $(ARGS)

.PHONY: soak
soak: setup-dev stack-images ## Keep a stack busy and restart its services meanwhile; race for its mounts; prints tables (40 minutes)
	@$(PY) -m tools.soak $(ARGS)

.PHONY: lint
lint: setup-dev ## ruff, mypy (strict), the import rules, and whether generated blocks are up to date
	@$(PY) -m tools.generate --check
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports --no-logo --no-cache

.PHONY: generate
generate: setup-dev ## Rewrite the blocks of files that are generated from include/domains.py
	@$(PY) -m tools.generate

.PHONY: ui
ui: setup ## Airflow's own UI on 127.0.0.1, with a password
	@$(PY) -m tools.ui

PIP = $(if $(wildcard .venv/bin/pip),.venv/bin/pip,python3 -m pip)

WHEEL = $(PIP) download -q --no-deps --only-binary=:all: --python-version 3.11 -d .wheels

IMAGE_LABEL = io.groundtruth=image
BUILD = docker build -q --label $(IMAGE_LABEL)
SUPERSEDED = --filter label=$(IMAGE_LABEL) --filter dangling=true
PRUNE = [ -n "$(KEEP_IMAGES)" ] || docker image prune -f $(SUPERSEDED) | tail -1

.PHONY: superseded
superseded: ## List the images that newer builds took the names of; `make images` removes them, unless KEEP_IMAGES=1
	@docker image ls $(SUPERSEDED)

.PHONY: images
images: ## Build the images of the steps (for the docker runtime)
	@for folder in $(DOMAIN_IMAGES); do \
	  if [ -e $$folder/torch.txt ]; then \
	    $(WHEEL) --retries 0 --timeout 10 --index-url https://download.pytorch.org/whl/cpu -r $$folder/torch.txt 2>/dev/null || \
	      $(WHEEL) -r $$folder/torch.txt || exit 1; \
	  fi; \
	  $(BUILD) -t groundtruth-$${folder#include/}:latest -f $$folder/Dockerfile . || exit 1; done
	@$(PRUNE)

.PHONY: stack-images
stack-images: images
	@$(BUILD) --build-arg EXTRA_PACKAGES="$(EXTRA_PACKAGES)" -t groundtruth-airflow:latest .
	@$(BUILD) -t groundtruth-docker-policy:latest --target policy -f include/docker_proxy/Dockerfile .
	@$(BUILD) -t groundtruth-docker-proxy:latest --target front -f include/docker_proxy/Dockerfile .
	@$(PRUNE)

.PHONY: mlflow-image
mlflow-image:
	@$(BUILD) -t groundtruth-mlflow:latest -f include/mlflow/Dockerfile .

COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose) --env-file stack/stack.env
PROFILES ?= --profile demo

.PHONY: secrets
secrets: ## Make the full stack's secrets in stack/secrets, those that are missing
	@python3 -m tools.stack secrets stack/secrets

.PHONY: check-project
check-project:
	@python3 -m tools.stack check

.PHONY: up
up: check-project secrets stack-images $(if $(findstring mlflow,$(PROFILES)),mlflow-image) ## The full stack: Postgres, Redis, Celery workers, step containers (first time: minutes)
	@$(COMPOSE) $(PROFILES) up -d
	@python3 -m tools.stack wait $$($(COMPOSE) $(PROFILES) ps -q)
	@python3 -m tools.stack address

.PHONY: down
down: secrets ## Stop the full stack (keeps its volumes and stack/)
	@$(COMPOSE) $(PROFILES) down

.PHONY: backup
backup: ## Back up this checkout (database, key, data, env files) to backups/; also while Airflow runs
	@python3 -m tools.backup create $(BACKUP)

.PHONY: restore
restore: ## Restore this checkout from BACKUP=backups/FILE.tar.gz; what is there is moved aside
	@python3 -m tools.backup restore $(BACKUP)
	@[ ! -e .venv ] || tools/setup

.PHONY: stack-backup
stack-backup: ## Back up the full stack (secrets, data, database) to backups/, while it runs; as root
	@python3 -m tools.backup stack-create $(BACKUP)

.PHONY: stack-restore
stack-restore: ## Restore the full stack from BACKUP=backups/FILE-stack.tar.gz, as root; then run make up
	@python3 -m tools.backup stack-restore $(BACKUP)

.PHONY: bench-models
bench-models: setup-dev ## Measure the forecast's gates and intervals on fresh simulated worlds; takes half an hour
	@$(PY) -m tools.bench_models

.PHONY: bench
bench: setup-dev ## Measure speed and memory; prints tables
	@for file in $(filter-out tools/bench_models.py,$(sort $(wildcard tools/bench*.py))); do $(PY) -m tools.$$(basename $$file .py) || exit 1; done

.PHONY: docs
docs: setup-dev ## Generate the references in docs/reference (with CI=true: fail when they are stale)
	@$(PY) -m tools.docs $(if $(CI),--check)

COMPILE = uv pip compile -q --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links --generate-hashes
TORCH ?= --torch-backend cpu

.PHONY: lock
lock: ## Lock the dependencies named in the *.in files anew (needs uv)
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) -c requirements.txt requirements-stack.in -o requirements-stack.txt
	for folder in $(patsubst %/requirements.in,%,$(wildcard include/*/requirements.in)); do \
	  $(COMPILE) $(TORCH) --no-emit-package torch -c requirements.txt $$folder/requirements.in -o $$folder/requirements.txt \
	    || exit 1; done
	$(COMPILE) -c requirements.txt $(addprefix -c ,$(DOMAIN_LOCKS)) requirements-dev.in -o requirements-dev.txt

LOCKS = requirements.txt requirements-stack.txt $(wildcard include/*/requirements.txt include/*/torch.txt)
AUDIT = .venv-audit/bin

.PHONY: audit
audit: ## Look up known vulnerabilities of what is locked; write bills of materials to sbom/
	@[ -x $(AUDIT)/cyclonedx-py ] || { python3 -m venv .venv-audit && $(AUDIT)/pip install -q pip-audit==2.10.1 cyclonedx-bom==7.5.0; }
	@mkdir -p sbom && for lock in $(LOCKS); do \
	  $(AUDIT)/cyclonedx-py requirements $$lock --sv 1.6 -o sbom/$$(echo $${lock%.txt} | tr / -).json || exit 1; done
	@for lock in $(LOCKS); do echo "$$lock"; $(AUDIT)/pip-audit -r $$lock --no-deps --disable-pip --strict || exit 1; done

BASES = $(shell sed -n 's/^ *image: *\([a-z][a-z/]*:[^ ]*\).*/\1/p' docker-compose.yaml | grep -v '^groundtruth-' | sort -u)
BUILT = groundtruth-airflow:latest groundtruth-docker-policy:latest groundtruth-docker-proxy:latest \
  $(patsubst include/%,groundtruth-%:latest,$(DOMAIN_IMAGES))

.PHONY: audit-images
audit-images: stack-images ## Look up known vulnerabilities that have a fix in our images and those of the stack (Trivy)
	@for image in $(BUILT) $(BASES); do echo "$$image"; \
	  docker run --rm -v /var/run/docker.sock:/var/run/docker.sock:ro -v trivy:/root/.cache aquasec/trivy:0.58.1 image \
	    --quiet --ignore-unfixed --severity HIGH,CRITICAL --exit-code 1 $$image || exit 1; done

.PHONY: clean
clean: ## Remove the set-up (keeps data/)
	rm -rf .venv .airflow .mypy_cache .ruff_cache .pytest_cache
