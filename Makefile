# Everything a developer does. `make help` lists it.
# Downloads, tools and compiled code lie outside the checkout and are kept between runs.
SHELL := /bin/bash
BREVET_CACHE ?= $(HOME)/.cache/brevet
CARGO_TARGET_DIR ?= $(BREVET_CACHE)/target
export BREVET_CACHE CARGO_TARGET_DIR
PYTHON := $(BREVET_CACHE)/tools/tests/bin/python
STACK := python3 infra/local/stack.py

.DEFAULT_GOAL := help
.PHONY: help tools build up down status demo test lint bench coldstart fuzz mutants pace sim chaos

help: ## Lists the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

tools: ## Installs the pinned tools of the local stack (once)
	@python3 infra/local/tools.py

build: ## Builds functions, command and gate (debug)
	cargo build --locked --workspace --bins

up: tools build ## Starts the local stack
	@$(STACK) up

down: ## Stops the local stack; leaves nothing running
	@$(STACK) down

status: ## Says what runs
	@$(STACK) status

demo: tools build ## Plays five cases over HTTP, from request to proof of ending
	@$(PYTHON) tests/stack/demo/demo.py

lint: tools ## Formatting, clippy and cfn-lint
	@$(PYTHON) infra/local/suites.py lint

test: tools ## Every suite, on the local stack where it needs one
	@$(PYTHON) infra/local/suites.py

bench: ## Measures decisions by the size of the catalogue; fails if they grow with it (slow: builds with LTO)
	cargo bench --locked -p brevet-policy

coldstart: tools ## Measures cold starts of a release build of issue (slow: builds with LTO)
	cargo build --locked --release -p brevet-issue -p brevet-bare
	@$(PYTHON) tests/long/coldstart/coldstart.py $(CARGO_TARGET_DIR)/release

fuzz: ## Fuzzes at full length, more than ten million runs (slow; SEED=N for others)
	cargo run --locked --release -p brevet-fuzz -- --seed $(or $(SEED),1)

pace: ## Ends ten thousand grants at once in virtual time; fails if a bound is missed (slow: builds with LTO)
	cargo run --locked --release -p brevet-pace

sim: ## Plays every fault at every port call in a model of the world (slow; SEED=N for others)
	cargo run --locked --release -p brevet-sim -- --seed $(or $(SEED),1)

mutants: tools ## Plants deliberate bugs in a copy and says which test caught each (slow)
	@$(PYTHON) tests/long/mutants/mutants.py

chaos: tools ## Breaks things for minutes around deadlines and watches from outside (slow; `make test` has a short one)
	@BREVET_CHAOS=full $(PYTHON) infra/local/suites.py chaos
