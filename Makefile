# Limelight: one virtual environment (.venv), made by the first target that needs it and refreshed only when
# pyproject.toml or constraints.txt changes. `make help` lists the targets.

PYTHON ?= python3
EXTRA  ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
DATA   ?=
RECIPE ?= $(if $(filter %.txt %.txt.gz,$(DATA)),nietzsche,sms-spam)

EXTRA := $(EXTRA)# asked for once, not at every use
BIN   := .venv/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check -q

.DEFAULT_GOAL := help
.PHONY: help serve test check format train bench lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-8s %s\n", $$1, $$2}' Makefile

serve: .venv/serve-$(EXTRA)  ## serve models/ on LIMELIGHT_HOST:LIMELIGHT_PORT (127.0.0.1:8000)
	@exec $(BIN)/python -m service

test: check  ## run the whole test suite (what CI runs)
	$(BIN)/python -m pytest

check: .venv/develop-$(EXTRA)  ## formatter, linter, type checker, import rules
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/develop-$(EXTRA)  ## format the code and mend what the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

train: .venv/develop-$(EXTRA)  ## fit, export and evaluate RECIPE=sms-spam, on your own DATA=file.tsv (or .txt) if given
	$(BIN)/python -m training fit $(RECIPE) $(if $(DATA),--data $(DATA))
	$(BIN)/python -m training export $(RECIPE) $(if $(DATA),--data $(DATA))
	$(BIN)/python -m training evaluate $(RECIPE) $(if $(DATA),--data $(DATA))

bench: .venv/develop-$(EXTRA) .venv/bentoml/bin/bentoml  ## measure, against the peers where the corpora are there
	$(PIP) install -c constraints.txt -e '.[$(EXTRA),bench]'
	$(BIN)/python -m bench

# It asks for other versions than constraints.txt has.
.venv/bentoml/bin/bentoml: | $(BIN)/python
	@$(PYTHON) -m venv .venv/bentoml
	.venv/bentoml/bin/python -m pip --disable-pip-version-check -q install 'bentoml>=1.4' numpy onnxruntime tokenizers

# A pin of a package that is not installed here (the other extra's) stays as it is.
lock: .venv/develop-$(EXTRA)  ## rewrite constraints.txt from what is installed in .venv
	@{ sed -n '/^#/p' constraints.txt; \
	   { $(PIP) list --format=freeze --exclude-editable --exclude pip | sed 's/+.*//'; grep -v '^#' constraints.txt; } \
	   | tr 'A-Z_' 'a-z-' | LC_ALL=C sort -s -u -t= -k1,1; } > .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt

clean:  ## remove .venv and every cache
	rm -rf .venv build .coverage .*_cache *.egg-info .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo 'Limelight needs Python 3.11 or newer with its venv module (Debian, Ubuntu: apt install python3-venv).' >&2; \
	  echo 'Another interpreter: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@$(PYTHON) -m venv .venv

# Both wheels fill the same folder, so the one that is not wanted has to go before the other comes.
.venv/serve-cpu: UNWANTED := onnxruntime-gpu
.venv/serve-gpu: UNWANTED := onnxruntime
.venv/serve-%: pyproject.toml constraints.txt | $(BIN)/python
	@rm -f .venv/serve-* .venv/develop-*
	@$(PIP) uninstall -y $(UNWANTED) 2>/dev/null
	$(PIP) install -c constraints.txt -e '.[$*]'
	@touch $@

.venv/develop-%: .venv/serve-%
	$(PIP) install -c constraints.txt -e '.[$*,training,dev]'
	@touch $@
