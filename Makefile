# `make demo` sets up and runs the demo, `make test` sets up and runs the tests. `make` alone lists all targets: `##@` begins
# a group, `##` describes a target.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
UV_VERSION := 0.13.9
# More arguments for the demo, the tests or a benchmark, for example ARGS="--speed 1 --exit" or ARGS="tests/land -x".
ARGS ?=
# How Python runs the tests; `make coverage` overrides both.
PYTEST := -m pytest
TRACED :=
# Whose words codespell checks.
PROSE := mmplatform assets sensors resources quality definitions.py docs README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md examples/README.md
# Old names, and lists of the words that customers use, in many languages.
NO_PROSE := docs/explanation/renames.md,mmplatform/derive/pii/*

##@ Run

demo: $(VENV)/.local models  ## Set up, start the stack, stream the sample case, ask about it; stays up until Ctrl-C
	$(BIN)/mmplatform demo $(ARGS)

up: $(VENV)/.local models  ## Set up and start the stack; Ctrl-C stops it
	$(BIN)/mmplatform up $(ARGS)

down: $(VENV)/.local  ## Stop a stack that runs in the background
	$(BIN)/mmplatform down

models: $(VENV)/.local  ## Pull the pinned models (once; about 230 MB)
	$(BIN)/mmplatform models pull

##@ Test

test: $(VENV)/.dev models  ## Set up and run the tests, without `caption` and `system` (about 40 minutes on two cores)
	$(BIN)/mmplatform models pull whisper-tiny minilm-fp32 minilm-ct2
	$(TRACED) $(BIN)/python $(PYTEST) -n 2 --max-worker-restart 2 --dist loadscope --no-loadscope-reorder -m "not caption and not system" $(ARGS) 2> >(tee .test-stderr >&2); \
	code=$$?; if grep -q 'Fatal Python error' .test-stderr; then echo "a test process was killed; its first lines:"; \
	  grep -v '^Extension modules' .test-stderr | grep -B 8 -A 60 'Fatal Python error' | cut -c1-160; fi; exit $$code

coverage: $(VENV)/.dev  ## The same tests, with the coverage of every process they start (half as long again)
	rm -f .coverage .coverage.*
	$(MAKE) test PYTEST="-m coverage run -m pytest" TRACED="COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml"; \
	code=$$?; set -o pipefail; $(BIN)/coverage combine -q && $(BIN)/coverage report --format=total | sed 's/^/coverage, percent: /' || exit 1; exit $$code

test-system: $(VENV)/.dev models  ## A stack under attack, under a surge, and operated by the runbook (about 10 minutes)
	$(BIN)/mmplatform models pull whisper-tiny
	$(BIN)/python -m pytest -m system $(ARGS)

test-flow: $(VENV)/.dev models  ## Every backpressure policy, a rolling restart, more topic partitions (about 4 minutes)
	MMPLATFORM_TEST_FLOW_WHOLE=1 $(BIN)/python -m pytest tests/integration/test_flow.py $(ARGS)

test-backfill: $(VENV)/.dev models  ## A backfill of 24 hours beside a stream, as the UI starts it (`make test` takes 4)
	MMPLATFORM_TEST_BACKFILL_HOURS=24 $(BIN)/python -m pytest tests/integration/test_backfill.py $(ARGS)

test-faults: $(VENV)/.dev models  ## Every process killed, servers away for 20 s, a chaos run of 10 kills (about 6 minutes)
	$(BIN)/mmplatform models pull whisper-tiny
	MMPLATFORM_TEST_FAULTS=1 $(BIN)/python -m pytest tests/faults $(ARGS)

test-runbook: $(VENV)/.dev models  ## Every recipe of docs/how-to/runbook.md against a stack (about 3 minutes)
	MMPLATFORM_TEST_RUNBOOK=1 $(BIN)/python -m pytest tests/operations $(ARGS)

test-caption: .venv-caption/.ready  ## Set up torch in a venv of its own and drive the transformers captioner
	.venv-caption/bin/python -m pytest -m caption tests/derive/adapters/test_transformers_captioner.py $(ARGS)

fuzz: $(VENV)/.dev models  ## Send 100,000 bad and good inputs to a stack of its own and account for each (about 9 minutes)
	export MMPLATFORM_DATA_DIR=$$(mktemp -d) MMPLATFORM_GATEWAY_PORT=0; $(BIN)/mmplatform up --detach --no-dagster && \
	  $(BIN)/python -m benchmarks.fuzz --inputs 100000 $(ARGS); code=$$?; $(BIN)/mmplatform down; exit $$code

##@ Check and measure

check: $(VENV)/.dev  ## Lint, types, layers, docs, names and prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell -D - -D tests/dialect.txt -S $(NO_PROSE) $(PROSE)
	$(BIN)/python -m tools.schema_compatibility
	$(BIN)/python -m pytest @tests/house_rules.txt

bench: $(VENV)/.dev models  ## Print the figures of docs/benchmarks (about 35 minutes)
	$(BIN)/python -m benchmarks.replay_log
	$(BIN)/python -m benchmarks.record_sizes
	$(BIN)/python -m benchmarks.efficiency
	$(BIN)/mmplatform models pull minilm-fp32 minilm-ct2
	$(BIN)/python -m benchmarks.embedders
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.index_writes
	$(BIN)/python -m benchmarks.receipts
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.sensors
	$(BIN)/python -m benchmarks.event_log
	$(BIN)/python -m benchmarks.reprocess
	$(BIN)/python -m benchmarks.surge --out docs/benchmarks
	$(BIN)/python -m benchmarks.unit_costs --out docs/benchmarks/unit-costs.json
	$(BIN)/python -m benchmarks.sizing
	$(BIN)/python -m benchmarks.rolling
	$(BIN)/python -m benchmarks.screen_memory
	$(BIN)/mmplatform up --detach --no-dagster
	$(BIN)/python -m benchmarks.requests; code=$$?; $(BIN)/python -m benchmarks.freshness --out docs/benchmarks || code=$$?; \
	  $(BIN)/mmplatform down; exit $$code

bench-accuracy: $(VENV)/.dev models  ## Accuracy of speech recognition, OCR and search on real data (about 20 minutes)
	$(BIN)/python -m benchmarks.accuracy $(ARGS)

bench-pii: $(VENV)/.dev models  ## Recall and precision of redaction, typed, spoken and shown (about 8 minutes); ARGS="--modality typed"
	$(BIN)/python -m benchmarks.pii $(ARGS)

bench-incremental: $(VENV)/.dev models  ## 1% edits and deletes in 100,000 passages, against a complete build (about 40 minutes)
	$(BIN)/python -m benchmarks.incremental $(ARGS)

bench-peers: $(VENV)/.dev models  ## The same chats in hand-written loops, CocoIndex, Pixeltable and Pathway (about an hour)
	$(BIN)/python -m benchmarks.peers $(ARGS)

chaos: $(VENV)/.dev models  ## 100 kills and 60 other faults under load, then sets are compared; ARGS="--kills 30 --seed 2"
	$(BIN)/mmplatform models pull whisper-tiny
	$(BIN)/python -m benchmarks.chaos $(ARGS)

soak: $(VENV)/.dev models  ## Memory over an hour of steady load, by process; ARGS="--minutes 15"
	export MMPLATFORM_DATA_DIR=$$(mktemp -d) MMPLATFORM_GATEWAY_PORT=0; $(BIN)/mmplatform up --detach --no-dagster && \
	  $(BIN)/python -m benchmarks.soak $(ARGS); code=$$?; $(BIN)/mmplatform down; exit $$code

##@ Deploy

manifests:  ## Render deploy/overlays into deploy/rendered (needs kubectl)
	for overlay in small production; do kubectl kustomize deploy/overlays/$$overlay > deploy/rendered/$$overlay.yaml || exit 1; done

##@ Housekeeping

help:  ## List the targets
	@awk -F ':.*## ' '/^##@ / {print (n++ ? "\n" : "") substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

clean:  ## Remove the virtual environments, caches and the stack's data (pulled models stay)
	-test ! -x $(BIN)/mmplatform || $(BIN)/mmplatform down
	rm -rf $(VENV) .venv-caption .mmplatform .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*

$(VENV)/.uv: constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || { echo "$(PYTHON) is not Python 3.11 or 3.12: name one with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	-$(BIN)/python -m pip install -q uv==$(UV_VERSION)
	@touch $@

# uv first, because it is ten times as fast; pip where uv fails (a mirror that only pip is configured for).
define install
	$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e '.[$(1)]' || $(BIN)/python -m pip install -c constraints.txt -e '.[$(1)]'
endef

$(VENV)/.local: $(VENV)/.uv pyproject.toml constraints.txt
	$(call install,local)
	@touch $@

$(VENV)/.dev: $(VENV)/.local pyproject.toml constraints.txt
	$(call install,local$(comma)dev)
	@touch $@

comma := ,

# A venv that sees everything in $(VENV) and adds only torch, so that torch never gets into $(VENV). pip, not uv: pip also
# finds a build of torch that the machine provides.
.venv-caption/.ready: $(VENV)/.dev
	$(PYTHON) -m venv .venv-caption
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > "$$(.venv-caption/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
	.venv-caption/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
	  $$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["caption"])')
	@touch $@

.PHONY: demo up down models test coverage test-system test-flow test-backfill test-faults test-runbook test-caption fuzz check bench bench-accuracy bench-pii bench-incremental bench-peers chaos soak manifests help clean
