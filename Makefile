# Everything a developer does. `make help` lists it.
# Downloads, tools and compiled code lie outside the checkout and are kept between runs.
SHELL := /bin/bash
BREVET_CACHE ?= $(HOME)/.cache/brevet
CARGO_TARGET_DIR ?= $(BREVET_CACHE)/target
export BREVET_CACHE CARGO_TARGET_DIR
PYTHON := $(BREVET_CACHE)/tools/tests/bin/python
STACK := python3 infra/local/stack.py

.DEFAULT_GOAL := help
.PHONY: help tools build up down status demo check test test-long

help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 11

tools: ## Installs the pinned tools of the local stack (once)
	@python3 infra/local/tools.py

# The same command as the suites use: what they have compiled is not compiled again.
build: ## Builds functions, command, gate and tests (debug)
	cargo build --locked --workspace --bins --tests

up: tools build ## Starts the local stack with the example catalogue; prints three commands to try
	@$(STACK) up
	@$(STACK) dev

down: ## Stops the local stack; leaves nothing running
	@$(STACK) down

status: ## Says what runs
	@$(STACK) status

demo: tools build ## Plays five cases over HTTP, from request to proof of ending (KEEP=1 leaves the stack up)
	@$(PYTHON) tests/stack/demo/demo.py $(if $(KEEP),--keep)

check: ## Formatting, clippy, and every test that needs no stack
	@python3 tests/run.py check $(SUITES) $(if $(ONLY),-- $(ONLY))

test: ## Every suite, side by side on stacks of their own (some: SUITES="rust rights"; of one: ONLY=…)
	@python3 tests/run.py test $(SUITES) $(if $(ONLY),-- $(ONLY))

test-long: tools build ## What takes hours, once a commit, with one table (PART="sim chaos", AGAIN=1)
	@BREVET_AGAIN=$(AGAIN) python3 tests/run.py long $(PART)
