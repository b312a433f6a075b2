# What a user calls. `make demo` is the way in; `make help` lists the rest.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS := .venv-docs
# In a folder of ours: mkdocs empties the one that it writes into.
SITE := $(DOCS)/site

# Groups of assets to make, all by default: `make demo GROUPS=mnist`.
GROUPS ?=

export PYTHONUTF8 := 1

.PHONY: help set-up demo ui test test-slow check docs format lock clean

help: ## List what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

set-up: $(STAMP) ## Make .venv with the locked packages.

# The lock is complete, so nothing is resolved: uv where there is one, else pip.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11, 3.12 or 3.13 is needed (set PYTHON=...)"; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON)"
	@if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
		uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock && \
		uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e . ; \
	fi
	@touch $(STAMP)

demo: $(STAMP) ## Make every asset of the sample profile (GROUPS=mnist: one group).
	$(BIN)/dcgan materialize $(if $(GROUPS),$(GROUPS) report)

ui: $(STAMP) ## Open the Dagster web UI.
	$(BIN)/dcgan ui

test: $(STAMP) ## Run the fast tests, in two processes.
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(STAMP) ## Run the slow tests, in two processes: UI, kills, DVC; they reuse what `make demo` made.
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

check: $(STAMP) ## Lint, format, types, and dvc.yaml against the graph.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dcgan dvc-sync --check

# In an environment of their own: what makes the site is no part of the lock.
$(DOCS)/bin/mkdocs: pyproject.toml $(STAMP)
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet $$($(BIN)/python -c "import tomllib; \
		print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'])")

docs: $(DOCS)/bin/mkdocs ## Write the generated pages, and the site into .venv-docs/site/.
	$(BIN)/python -m docs.writers
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --site-dir $(SITE)
	@echo "open $(SITE)/index.html, or serve it: $(PYTHON) -m http.server --directory $(SITE)"

format: $(STAMP) ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Resolve requirements.lock anew (needs uv).
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header --quiet \
		--output-file requirements.lock

# By its records, and so no more than was made here. An environment goes where we set it up.
clean: $(STAMP) ## Remove what was made here, .venv included, and nothing else.
	$(BIN)/dcgan clean
	test ! -f $(DOCS)/pyvenv.cfg || rm -rf $(DOCS)
	test ! -f $(STAMP) || rm -rf $(VENV)
