# `make` lists the targets. Environments are made from the lock files, with hashes, when a target needs them.

PYTHON ?= python3
PARAMS ?= params.yaml
# A file that `latentbench init` wrote has the name of its study.
STUDY ?= $(if $(filter params.yaml,$(PARAMS)),demo,$(basename $(notdir $(PARAMS))))
BUDGET ?=
BIN := .venv/bin
LINT := .venv-lint/bin
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate

# The stages' command `latentbench` is in this environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup cluster kubernetes remotes report test test-cluster test-remotes test-app test-page chromium app soak check docs bench sync-dvc sync-snakemake lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.ready ## Make the environment in .venv (other targets do this, too)
	@echo "The environment is ready: . .venv/bin/activate"

cluster: .venv/.cluster ## Add Snakemake's plugins for Slurm and other clusters
	@echo "Ready for snakemake --profile profiles/slurm and --profile profiles/generic"

kubernetes: .venv-kubernetes/.ready ## Make the environment for jobs on Kubernetes
	@echo "Ready for .venv-kubernetes/bin/snakemake --profile profiles/kubernetes"

report: .venv/.ready ## Run STUDY=demo (of PARAMS=params.yaml, with BUDGET=full or small) and render its report
	@$(BIN)/latentbench plan $(STUDY) --params "$(PARAMS)" $(if $(BUDGET),--budget $(BUDGET)) \
		--save scratch/$(STUDY)/forecast.json
	@$(BIN)/snakemake $(STUDY) --configfile "$(PARAMS)" $(if $(BUDGET),--config budget=$(BUDGET)) \
		--logger latentbench --logger-latentbench-forecast scratch/$(STUDY)/forecast.json
	@echo "The report is up to date: report/$(STUDY)/index.html"

app: .venv/.app ## Explore the models of STUDY=demo in the browser
	@$(BIN)/latentbench app $(STUDY)

test: .venv/.ready ## Run the tests
	@OMP_WAIT_POLICY=passive $(BIN)/pytest -q -n auto --maxprocesses 4 --dist worksteal

test-cluster: .venv/.cluster .venv-kubernetes/.ready .venv-s3/.ready ## Run the workflow on a Slurm and a Kubernetes on this machine
	@command -v slurmctld munged >/dev/null || PATH="$$PATH:/usr/sbin" command -v slurmctld munged >/dev/null || \
		{ apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends slurm-wlm munge >/dev/null; }
	@$(BIN)/pytest -q -m cluster tests/cluster

test-remotes: .venv/.remotes ## Test DVC with an SSH server, which apt installs if there is none
	@PATH=$$PATH:/usr/sbin command -v sshd > /dev/null || { [ "$$(id -u)" = 0 ] && \
		apt-get update -qq && apt-get install -qq --no-install-recommends openssh-server; } || \
		{ echo "There is no sshd, and only root may install it: apt-get install openssh-server"; exit 1; }
	@$(BIN)/pytest -q -m remotes tests/remotes

test-app: .venv/.app .venv/.browser chromium ## Test the explorer in Chromium, which apt installs if there is none
	@$(BIN)/pytest -q -m browser tests/app

test-page: .venv/.browser chromium ## Test the report's page in Chromium
	@$(BIN)/pytest -q -m browser tests/report

chromium:
	@command -v chromium > /dev/null || { [ "$$(id -u)" = 0 ] && \
		apt-get update -qq && apt-get install -qq --no-install-recommends chromium; } || \
		{ echo "There is no chromium, and only root may install it: apt-get install chromium"; exit 1; }

soak: .venv/.ready ## Try bad inputs, crashes, kills and odd environments for MINUTES=20
	@$(BIN)/python tests/soak/run.py --minutes $(or $(MINUTES),20) --seed $(or $(SEED),0)

check: .venv/.ready .venv-lint/.ready ## Check format, style, types, layers and workflow
	$(LINT)/ruff format --check .
	$(LINT)/ruff check .
	$(LINT)/mypy --python-executable $(BIN)/python
	$(BIN)/lint-imports
	$(LINT)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

docs: .venv-docs/.ready ## Build the documentation site in site/
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet
	@echo "The documentation is built: site/index.html"

bench: .venv/.ready .peers/.ready ## Compare speed with other packages (PICTURES=faces.zip: on your images)
	@PYTHONPATH=$(CURDIR)/.peers $(BIN)/python benchmarks/run.py $(if $(PICTURES),--pictures "$(PICTURES)")

remotes: .venv/.remotes ## Add to .venv what DVC needs for remotes over SSH and S3
	@echo "DVC can use ssh:// and s3:// now."

sync-dvc: .venv/.ready ## After Snakemake ran STUDY=demo: record the results with DVC
	@$(BIN)/python workflow/scripts/sync.py dvc $(STUDY)

sync-snakemake: .venv/.ready ## After DVC ran or checked out STUDY=demo: record the results with Snakemake
	@$(BIN)/python workflow/scripts/sync.py snakemake $(STUDY)

lock: .venv/.ready ## Update requirements/*.lock to the newest versions
	echo uv | $(COMPILE) - --output-file requirements/uv.lock
	$(COMPILE) --extra report --extra workflow --extra test pyproject.toml --output-file requirements/main.lock
	$(COMPILE) --constraints requirements/main.lock requirements/app.in --output-file requirements/app.lock
	$(COMPILE) --constraints requirements/main.lock requirements/browser.in --output-file requirements/browser.lock
	$(COMPILE) --constraints requirements/main.lock requirements/cluster.in --output-file requirements/cluster.lock
	$(COMPILE) --overrides requirements/main.lock requirements/remotes.in --output-file requirements/remotes.lock
	$(COMPILE) --constraints requirements/main.lock pyproject.toml requirements/walkthrough.in \
		--output-file requirements/walkthrough.lock
	$(COMPILE) requirements/kubernetes.in --output-file requirements/kubernetes.lock
	$(COMPILE) requirements/s3.in --output-file requirements/s3.lock
	$(COMPILE) requirements/docs.in --output-file requirements/docs.lock
	$(COMPILE) requirements/lint.in --output-file requirements/lint.lock
	$(COMPILE) --no-deps requirements/bench.in --output-file requirements/bench.lock

clean: ## Remove all results; the downloads in data/raw stay
	rm -rf results/*/ report/*/ walkthrough handin logs scratch data/params data/config data/prepared data/provenance data/reference
	@if [ -d data/raw ]; then echo "data/raw stays: it has the downloads. Remove it by hand to download again."; fi

.venv/.ready: requirements/main.lock requirements/uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed, and $(PYTHON) is not; name one: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python .venv \
		requirements/main.lock requirements/uv.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python .venv --editable .
	@touch $@

.venv/.cluster: requirements/cluster.lock .venv/.ready
	$(BIN)/uv pip install --quiet --require-hashes --python .venv --requirement requirements/cluster.lock
	@touch $@

.venv/.app: requirements/app.lock .venv/.ready
	$(BIN)/uv pip install --quiet --require-hashes --python .venv --requirement requirements/app.lock
	@touch $@

.venv/.browser: requirements/browser.lock .venv/.ready
	$(BIN)/uv pip install --quiet --require-hashes --python .venv --requirement requirements/browser.lock
	@touch $@

# --no-deps: the lock file has them all; a constraint that main.lock overrides would be a conflict.
.venv/.remotes: requirements/remotes.lock .venv/.ready
	$(BIN)/uv pip install --quiet --no-deps --require-hashes --python .venv --requirement requirements/remotes.lock
	@touch $@

.venv-kubernetes/.ready: requirements/kubernetes.lock .venv/.ready
	$(PYTHON) -m venv --without-pip .venv-kubernetes
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-kubernetes requirements/kubernetes.lock
	@echo $(CURDIR)/src > $$(echo .venv-kubernetes/lib/python*/site-packages)/latentbench.pth
	@touch $@

.venv-s3/.ready: requirements/s3.lock .venv/.ready
	$(PYTHON) -m venv --without-pip .venv-s3
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-s3 requirements/s3.lock
	@touch $@

.venv-lint/.ready: requirements/lint.lock
	$(PYTHON) -m venv .venv-lint
	.venv-lint/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lint.lock
	@touch $@

.venv-docs/.ready: requirements/docs.lock
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.lock
	@touch $@

# The packages that speed is compared with are not installed into the environment.
.peers/.ready: requirements/bench.lock .venv/.ready
	rm -rf .peers
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --require-hashes --python .venv --target .peers \
		--requirement requirements/bench.lock
	@touch $@
