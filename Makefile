# PipeOps: every task of this repository. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV ?= .venv
export PYTHON VENV

BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
UNIT := $(PYTEST) -q --numprocesses auto tests/unit
# What a layer needs is found by its tests; a layer that has none yet is left out.
layer = $(wildcard $(addprefix tests/,$(1)))
ARGS ?=

# One line when a step passes; all that it said when it fails.
step = began=$$SECONDS; if said=$$($(2) 2>&1); then echo "ok: $(1) ($$((SECONDS - began)) s)"; \
    else echo "$$said"; echo "FAILED: $(1)   ($(2))"; exit 1; fi

.PHONY: help
help: ## this list
	@echo "usage: make TARGET [ARGS='…']     e.g. make unit ARGS='-k windows'"
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)


.PHONY: up
up: .control ## start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/pipeops up $(ARGS)


# Working on the agent without a cluster: build, run, a mock token, a fresh start.
.PHONY: build run generate-token clean-state
build: .control ## bin/pipeops-agent (and its old name bin/pipeops-vm-agent)
	@mkdir -p bin
	@ln -sfn $(abspath $(BIN))/pipeops-agent bin/pipeops-agent
	@ln -sfn pipeops-agent bin/pipeops-vm-agent
	@echo "built bin/pipeops-agent"
run: build ## run the agent with config.example.yaml; ARGS='--log-level debug' for more
	@exec bin/pipeops-agent --config config.example.yaml $(ARGS)
generate-token: ## write a mock ServiceAccount token to tmp/agent-state.yaml
	@$(PYTHON) scripts/generate_mock_token.py
clean-state: ## remove the agent's state files, so that it registers anew
	@$(PYTHON) scripts/clean_state.py

.PHONY: test
test: .dev ## unit, property, contract and integration tests for what is present; says what was skipped
	@$(PYTEST) -q $(call layer,unit property contract conformance interop integration) $(ARGS)

.PHONY: check
check: .dev ## what a commit must pass (under two minutes): format, lint, types, import rules, unit tests, pages
	@$(call step,format,$(BIN)/ruff format --check .)
	@$(call step,lint,$(BIN)/ruff check .)
	@$(call step,import rules,$(BIN)/lint-imports)
	@$(call step,types,$(BIN)/mypy)
	@$(UNIT) tests/docs -m 'not slow' $(ARGS)

.PHONY: format
format: .dev ## format the code and apply safe lint fixes
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: unit property contract conformance integration interop docs e2e chaos
unit: .dev ## unit tests
	@$(UNIT) $(ARGS)
property: .dev ## property tests; ARGS='--hypothesis-profile=ci' for more examples
	@$(PYTEST) -q $(or $(call layer,property),$(error there are no property tests yet)) $(ARGS)
contract: .dev ## the same cases on the simulated cluster and on a real API server
	@$(PYTEST) -q $(or $(call layer,contract),$(error there are no contract tests yet)) $(ARGS)
conformance: .dev ## each of our ends against scripted peers that speak the PipeOps dialect
	@$(PYTEST) -q $(or $(call layer,conformance),$(error there are no conformance tests yet)) $(ARGS)
interop: .dev ## our multiplexer against hashicorp/yamux (needs Go)
	@$(PYTEST) -q $(or $(call layer,interop),$(error there are no interop tests yet)) $(ARGS)
integration: .dev ## real sockets, real processes, real API server (needs Go, or KUBEBUILDER_ASSETS)
	@$(PYTEST) -q $(or $(call layer,integration),$(error there are no integration tests yet)) $(ARGS)
docs: .dev ## run the commands and check the tables of the documentation
	@$(PYTEST) -q tests/docs $(ARGS)
e2e: .dev ## kubectl through the tunnel, flow by flow; prints the matrix
	@$(PYTEST) -q $(or $(call layer,e2e),$(error there are no end-to-end tests yet)) $(ARGS)
chaos: .dev ## killed processes, dropped networks, restarted API servers
	@$(PYTEST) -q $(or $(call layer,chaos),$(error there are no chaos tests yet)) $(ARGS)

.PHONY: bench
bench: .dev ## compare with nginx and with no tunnel at all; ARGS=--quick for a short run
	@$(BIN)/python -m bench $(ARGS)

.PHONY: fuzz
fuzz: .fuzz ## fuzz every parser of foreign bytes with atheris; ARGS=-max_total_time=600 for how long each (seconds)
	@for target in tests/fuzz/fuzz_*.py; do \
	    echo "== $$target"; PYTHONPATH=. $(BIN)/python $$target --atheris $(or $(ARGS),-max_total_time=60); done

.PHONY: reference
reference: .dev ## write the generated pages of docs/reference again
	@$(BIN)/python docs/reference/generate.py

.PHONY: lock
lock: .lock ## resolve requirements/*.txt again, keeping pins; ARGS=--upgrade for newest
	@requirements/resolve $(ARGS)

.PHONY: clean
clean: ## remove the environment and all caches
	rm -rf $(VENV) bin .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# The environment: made when missing, renewed when a lock file changes.
.PHONY: .control .dev .fuzz .lock
.control .dev .fuzz .lock: .%:
	@requirements/environment $*
