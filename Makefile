# One virtual environment (.venv). The first target that needs it creates it; changes of pyproject.toml or
# constraints.txt update it. `make help` lists the targets.

PYTHON ?= python3
EXTRA  ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)

EXTRA := $(EXTRA)# evaluated once
BIN   := .venv/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check -q

.DEFAULT_GOAL := help
.PHONY: help serve test check develop format train bench gpu-check scale-test lock clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' Makefile

serve: .venv/serve-$(EXTRA)  ## serve models/ on LIMELIGHT_HOST:LIMELIGHT_PORT (127.0.0.1:8000)
	@echo 'Starting the service; Ctrl-C stops it.' >&2
	@exec $(BIN)/python -m service

test: check  ## run all checks and tests (as CI does)
	$(BIN)/python -m pytest -n 2 --dist worksteal

develop: .venv/develop-$(EXTRA)

check: develop  ## check format, lint rules, types and imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/develop-$(EXTRA)  ## format the code and apply the linter's fixes
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Only options of the command line: shells set COLUMNS and NAME too.
option = $(if $(findstring command line,$(origin $1)),$2 '$($1)')
flag   = $(if $(findstring command line,$(origin $1)),$2)
train: .venv/develop-$(EXTRA)  ## train, export and evaluate DATA=your-file (docs/train-a-classifier.md), or RECIPE=sms-spam
	@$(BIN)/python -m training train $(call option,RECIPE) $(call option,DATA,--data) $(call option,COLUMNS,--columns) \
	  $(call option,NAME,--name) $(call option,VERSION,--version) $(call option,EPOCHS,--epochs) \
	  $(call flag,SKIP,--skip-bad-rows) $(call flag,FRESH,--fresh) $(call flag,REPLACE,--replace)

bench: .venv/develop-$(EXTRA) .venv/bentoml/bin/bentoml  ## measure speed and memory, compared with other servers if the corpora exist
	$(PIP) install -c constraints.txt -e '.[$(EXTRA),bench]'
	$(BIN)/python -m bench

scale-test: .venv/develop-$(EXTRA) .venv/charts/bin/python .venv/ray/bin/serve  ## check what is for several machines; needs Debian's prometheus (docs/scale.md)
	$(BIN)/python -m bench.scale.monitoring
	.venv/charts/bin/python -m bench.scale.charts
	.venv/ray/bin/python -m bench.scale.edge
	unshare -n sh -c 'ip link set lo up && exec .venv/ray/bin/python -m bench.scale.cluster'

# 350 MB: Helm as a library, and the schemas of Kubernetes.
.venv/charts/bin/python: | $(BIN)/python
	@$(PYTHON) -m venv .venv/charts
	.venv/charts/bin/python -m pip --disable-pip-version-check -q install helm-python-sdk kubernetes-validate

.venv/ray/bin/serve: | $(BIN)/python
	@$(PYTHON) -m venv .venv/ray
	.venv/ray/bin/python -m pip --disable-pip-version-check -q install -e '.[cpu,ray]'

# BentoML requires other versions than constraints.txt has.
.venv/bentoml/bin/bentoml: | $(BIN)/python
	@$(PYTHON) -m venv .venv/bentoml
	.venv/bentoml/bin/python -m pip --disable-pip-version-check -q install 'bentoml>=1.4' numpy onnxruntime tokenizers

gpu-check: .venv/develop-$(EXTRA)  ## check the bundles on a GPU; without one, on the CPU (docs/operations.md)
	$(BIN)/python -m bench.cuda --device $(if $(filter gpu,$(EXTRA)),cuda,cpu)

# Pins of packages that are not installed here (those of the other extra) are kept.
lock: .venv/develop-$(EXTRA)  ## write the versions installed in .venv to constraints.txt
	@{ sed -n '/^#/p' constraints.txt; \
	   { $(PIP) list --format=freeze --exclude-editable --exclude pip | sed 's/+.*//'; grep -v '^#' constraints.txt; } \
	   | tr 'A-Z_' 'a-z-' | LC_ALL=C sort -s -u -t= -k1,1; } > .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt

clean:  ## remove .venv and all caches
	rm -rf .venv build .coverage .*_cache *.egg-info .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo 'Limelight needs Python 3.11 or newer with its venv module (Debian, Ubuntu: apt install python3-venv).' >&2; \
	  echo 'To use another interpreter: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@echo 'Creating .venv, a virtual environment for this repository only.' >&2
	@$(PYTHON) -m venv .venv

# Both wheels install into the same folder, so the other one is removed first.
.venv/serve-cpu .venv/develop-cpu: UNWANTED := onnxruntime-gpu
.venv/serve-gpu .venv/develop-gpu: UNWANTED := onnxruntime
.venv/serve-%: pyproject.toml constraints.txt | $(BIN)/python
	@rm -f .venv/serve-* .venv/develop-*
	@$(PIP) uninstall -y $(UNWANTED) 2>/dev/null
	@echo 'Installing the service with its dependencies into .venv. The first time this takes a minute or two.' >&2
	$(PIP) install -c constraints.txt -e '.[$*,documents]'
	@touch $@

.venv/develop-%: pyproject.toml constraints.txt | $(BIN)/python
	@rm -f .venv/serve-* .venv/develop-*
	@$(PIP) uninstall -y $(UNWANTED) 2>/dev/null
	@echo 'Installing what training and the tests need into .venv. The first time this takes some minutes.' >&2
	$(PIP) install -c constraints.txt -e '.[$*,documents,grpc,training,dev]'
	@touch .venv/serve-$* $@
