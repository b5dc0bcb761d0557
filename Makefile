# Every target calls one script of Scripts/; nothing is decided here.
.DEFAULT_GOAL := help
.PHONY: help compare test check build docs bench format lint

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

compare: ## Install what is missing, build, compare the models on the sample
	@Scripts/compare

test: ## Install what is missing, build, check the style, run all tests
	@Scripts/test

check: ## Build without optimizing, run the fast tests: the inner loop
	@Scripts/check

build: ## Install what is missing, build the command
	@Scripts/setup
	@Scripts/build

docs: ## Build the documentation of every module
	@Scripts/docs

bench: ## Time Apus beside its Python peers, where Python is there
	@Scripts/bench

format: ## Rewrite the sources as the formatters want them
	@Scripts/format

lint: ## Check formatting and the rules of the house
	@Scripts/lint
