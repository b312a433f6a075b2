# What a user calls. `make demo` is the way in; `make help` lists the rest.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEVELOPER := $(VENV)/.developer
DOCS := .venv-docs
# In a folder of ours: mkdocs empties the one that it writes into.
SITE := $(DOCS)/site

# Groups of assets to make, all by default: `make demo GROUPS=mnist`.
GROUPS ?=

# Tests in so many processes, a file of them in one: tests/conftest.py says which files come first.
# The slow ones often wait, for daemons, disks and schedules; two more processes fill that time.
SHARED := --dist loadfile --no-loadscope-reorder
TWO := -n 2 $(SHARED)
FOUR := -n 4 $(SHARED)

export PYTHONUTF8 := 1

.PHONY: help set-up engines resolve demo ui test test-slow test-hostile check gpu-check docs reference \
	pictures format lock clean

help: ## List what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

set-up: $(STAMP) ## Make .venv with the locked packages (TORCH=cpu: without CUDA).

# The locks are complete, so nothing is resolved: uv where there is one, else pip.
UV := $(shell command -v uv)
INSTALL = $(if $(UV),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install) --quiet --no-deps

# TORCH=cpu: torch and torchvision of the lock's versions as their CPU builds, which PyPI does not
# have. The index that has them is the user's to name, as uv (UV_INDEX) and pip
# (PIP_EXTRA_INDEX_URL) take it; the lock holds no hashes of them.
TORCH ?=
CUDA := ^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==
CPU_BUILDS := $$(sed -nE 's/^(torch|torchvision)==([^ ;]+).*/\1==\2+cpu/p' requirements.lock)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 to 3.14 is needed (set PYTHON=...)"; exit 1; }
	@case "$(TORCH)" in ""|cpu) ;; *) echo "error: TORCH=$(TORCH); allowed: cpu, or nothing"; exit 1;; esac
	@echo "setting up $(VENV) with $(PYTHON)"
	@$(if $(UV),uv venv --quiet --allow-existing --python $(PYTHON),$(PYTHON) -m venv) $(VENV)
ifeq ($(TORCH),cpu)
	@awk '/^[a-z]/ {skip = $$0 ~ /$(CUDA)/} !skip' requirements.lock > $(VENV)/cpu.lock
	@$(INSTALL) --require-hashes -r $(VENV)/cpu.lock
	@$(INSTALL) $(CPU_BUILDS)
else
	@$(INSTALL) --require-hashes -r requirements.lock
endif
	@$(INSTALL) --no-build-isolation -e .
	@touch $(STAMP)

# What tests and checks need beside that.
$(DEVELOPER): requirements-dev.lock $(STAMP)
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $(DEVELOPER)

# One lock holds what tests need, and so both engines.
engines: $(DEVELOPER) ## Add the packages of the engines for several machines, Ray and Celery.

demo: $(STAMP) ## Make every asset of the sample profile (GROUPS=mnist: one group).
	$(BIN)/dcgan materialize $(if $(GROUPS),$(GROUPS) report)

ui: $(STAMP) ## Open the Dagster web UI.
	$(BIN)/dcgan ui

test: $(DEVELOPER) ## Run the fast tests, in two processes.
	$(BIN)/python -m pytest $(TWO)

test-slow: $(DEVELOPER) ## Run the slow tests, in four processes: UI, kills, DVC; they reuse what `make demo` made.
	$(BIN)/python -m pytest -m slow $(FOUR)

test-hostile: $(DEVELOPER) ## Run every attack, the slow ones too; a table of what held ends it.
	DCGAN_EXAMPLES=500 $(BIN)/python -m pytest tests/hostile -m "" $(TWO)

check: $(DEVELOPER) ## Lint, format, types, and dvc.yaml against the graph.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dcgan dvc-sync --check

# With any Python that has torch and what dcgan_models imports: PYTHON=... names it.
gpu-check: ## Everything that a GPU must show, in ten minutes (SIMULATE=1: on the processor, in small).
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m benchmarks.gpu_check \
		$(if $(SIMULATE),--simulate)

# In an environment of their own: what makes the site is no part of the lock.
$(DOCS)/bin/mkdocs: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet $$($(PYTHON) -c "import tomllib; \
		print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'])")

# Pages that are made from the code are in git, and tests hold them to it: the site needs no torch.
docs: $(DOCS)/bin/mkdocs ## Write the site into .venv-docs/site/.
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --site-dir $(SITE)
	@echo "open $(SITE)/index.html, or serve it: $(PYTHON) -m http.server --directory $(SITE)"

reference: $(STAMP) ## Write the pages that are made from the code: docs/reference and two more.
	$(BIN)/python -m docs.writers

pictures: $(DEVELOPER) ## Take the pictures of README and docs from what `make demo` made.
	$(BIN)/python -m docs.writers.pictures

format: $(DEVELOPER) ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One resolution, in two files: what a user needs, and what tests and checks need beside that.
RESOLVE = uv pip compile pyproject.toml --extra pipeline --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --no-header --quiet

lock: ## Resolve requirements.lock and requirements-dev.lock anew (needs uv).
	@mkdir -p $(VENV) && cat requirements.lock requirements-dev.lock > $(VENV)/whole.lock
	$(RESOLVE) --extra dev --output-file $(VENV)/whole.lock
	$(RESOLVE) --constraint $(VENV)/whole.lock --output-file requirements.lock
	@awk 'NR == FNR {if (/^[a-z]/) user[$$1]; next} /^[a-z]/ {skip = $$1 in user} !skip' \
		requirements.lock $(VENV)/whole.lock > requirements-dev.lock

# As a stranger installs it: the built wheel, plain pip of today, no lock. Nothing is installed, and
# of wheels no more is fetched than says what they need. An index that does not answer is told apart
# by asking for one package first: pip itself then speaks of a missing version.
WHEEL := $(VENV)/wheel
PLAIN_PIP := $(WHEEL)/bin/python -m pip --quiet --quiet --retries 1 --timeout 15

resolve: $(STAMP) ## Ask pip whether it finds packages for the built wheel.
	@rm -rf $(WHEEL) && $(PYTHON) -m venv $(WHEEL)
	@$(PLAIN_PIP) download --no-deps --dest $(WHEEL)/newest pip >/dev/null 2>&1 \
		|| { echo "error: no package index answers; pip's own settings name one"; exit 1; }
	@$(PLAIN_PIP) install --upgrade $(WHEEL)/newest/pip-*.whl
	@$(PLAIN_PIP) wheel --no-deps --wheel-dir $(WHEEL) .
	@$(PLAIN_PIP) install --dry-run --use-feature=fast-deps \
		"$$(ls $(WHEEL)/*.whl)[pipeline,fidelity]"
	@echo "pip finds packages"

# By its records, and so no more than was made here. An environment goes where we set it up.
clean: $(STAMP) ## Remove what was made here, .venv included, and nothing else.
	$(BIN)/dcgan clean
	test ! -f $(DOCS)/pyvenv.cfg || rm -rf $(DOCS)
	test ! -f $(STAMP) || rm -rf $(VENV)
