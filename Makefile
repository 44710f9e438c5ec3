# Every target is listed by `make help`, which reads the comments behind `##`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
RELEASE_STAMP := .release/.installed

.DEFAULT_GOAL := help
.PHONY: help demo demo-batch quickstart test test-spark test-browser forms surroundings campaign mutants model soak check format house bench bench-full bench-features bench-serving bench-gpu sbom audit hashes deploy smoke wheels pin-images planner-alone template-test destroy clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Rebuilt only when the dependencies change: the stamp is newer than both files otherwise.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## Run the whole job against an embedded S3: generate, forecast, look, rerun
	$(BIN)/python main.py demo

demo-batch: $(STAMP) ## The same as an array job, on a Batch and an S3 of this machine
	$(BIN)/python -m tests.support.demo_batch

test-spark: $(STAMP) ## Run the tests of the feature store on Spark, which needs Java
	@command -v "$${JAVA_HOME:+$$JAVA_HOME/bin/}java" > /dev/null || { \
		echo "Spark needs Java 17 or later: apt-get install openjdk-17-jre-headless, or set JAVA_HOME" >&2; exit 1; }
	@$(BIN)/python -c "import pyspark" 2> /dev/null || \
		$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,spark]'
	$(BIN)/python -m pytest -q tests/contract/engine tests/spark

test-browser: $(STAMP) ## Run the tests of pages in a Chromium: served features, reports
	$(BIN)/python -m pytest -q tests/flow/feature_store/test_page.py tests/flow/reporting/test_pages.py

quickstart: $(STAMP) ## Walk through the feature store: define, compile, backfill, print
	$(BIN)/python -m tools.quickstart

test: $(STAMP) ## Run the tests in parallel
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

forms: $(STAMP) ## Write the same data in thousands of forms, and read them all alike (half an hour)
	$(BIN)/python -W error -m tests.forms

surroundings: $(STAMP) ## Run every command with closed output, a full disk, other locales and homes, with long names
	$(BIN)/python -m tests.support.surroundings

campaign: $(STAMP) ## Kill, disturb and damage every job for hours; results in docs/reliability.md
	$(BIN)/python -m tests.campaign.run

mutants: $(STAMP) ## Change the code at random places, and count the changes that no test notices (an hour)
	$(BIN)/python -m tools.mutants --write

model: $(STAMP) ## Try all orders of the steps of runs, clean-ups and readers that share a bucket (minutes)
	$(BIN)/python -W error -m tests.model

soak: $(STAMP) ## Serve random events under kills for minutes, and compare every answer with its backfill
	$(BIN)/python -W error -m tests.support.features.soak

check: $(STAMP) ## Format, lint, strict types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

house: $(STAMP) ## Measure the code: sizes, widths, circles, comments, places per option
	$(BIN)/python -m tools.house

# One thread and one core: on a machine with other work two threads wait for each other.
bench: $(STAMP) ## Measure the engine and the whole job against the stock pipeline (minutes)
	$(BIN)/python benchmarks/engine.py --threads 1
	$(BIN)/python benchmarks/end_to_end.py 1000 10000 --cores 1

bench-full: $(STAMP) ## The same up to a million series, planning and reading (hours)
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/engine.py --shape base
	$(BIN)/python benchmarks/chronos2.py
	$(BIN)/python benchmarks/chronos2.py --groups
	$(BIN)/python benchmarks/end_to_end.py 1000 10000 100000 1000000 --per_partition 100000 \
		--script_bfloat16 --output benchmarks/results/end_to_end.json
	$(BIN)/python benchmarks/plots.py
	$(BIN)/python benchmarks/stages.py
	$(BIN)/python benchmarks/threads.py
	$(BIN)/python benchmarks/plan.py
	$(BIN)/python benchmarks/scale.py 1000000 --children 1000
	$(BIN)/python benchmarks/read_series.py
	$(BIN)/python benchmarks/load.py
	$(BIN)/python benchmarks/contracts.py
	$(BIN)/python benchmarks/clean.py
	$(BIN)/python benchmarks/clean.py --n_jobs 2
	$(BIN)/python benchmarks/clean.py --files 1
	$(BIN)/python benchmarks/codecs.py
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/feature_store.py
	$(BIN)/python benchmarks/store_clients.py

bench-serving: $(STAMP) ## Measure fetches, the HTTP server and uploads of features (minutes)
	$(BIN)/python benchmarks/fetch.py --output benchmarks/results/fetch.json
	$(BIN)/python benchmarks/serving.py --output benchmarks/results/serving.json
	$(BIN)/python benchmarks/upload.py --output benchmarks/results/upload.json

bench-features: $(STAMP) ## Measure the feature store and write the tables of the docs (minutes)
	$(BIN)/python benchmarks/feature_store_record.py

bench-gpu: $(STAMP) ## Measure all GPUs of this machine: speed, busy share, ceiling (an hour)
	$(BIN)/python benchmarks/gpu.py --output benchmarks/results/gpu.json

# An environment of their own: the tools need other versions than the product.
$(RELEASE_STAMP): constraints.txt
	$(PYTHON) -m venv .release
	.release/bin/python -m pip install --quiet cyclonedx-bom==7.5.0 pip-audit==2.10.1
	@touch $@

sbom: $(RELEASE_STAMP) ## Write the bill of materials of a release to dist/sbom.json (CycloneDX)
	.release/bin/python -m tools.supply sbom

audit: $(RELEASE_STAMP) ## Look the pinned packages up among the known vulnerabilities; 75 without a verdict
	.release/bin/python -m tools.supply audit

hashes: $(RELEASE_STAMP) ## Write dist/requirements.txt: the packages of a release, each with its hash
	.release/bin/python -m tools.supply hashes

deploy: $(STAMP) ## Make or update the AWS stacks of config/aws.yaml
	$(BIN)/python -m infra.deploy up

smoke: $(STAMP) ## Forecast a partition on each queue of the deployment, from plan to receipt
	$(BIN)/python -m infra.smoke

wheels: $(STAMP) ## Resolve the packages of each image for the Python and glibc of its base
	$(BIN)/python -m infra.wheels

pin-images: $(STAMP) ## Write the digests of the base images into the Dockerfile (docker, network)
	$(BIN)/python -m infra.pin_images

template-test: $(STAMP) ## Deploy the templates on moto, and judge the requests of each role by its policies
	$(BIN)/python -m pytest -q tests/unit/test_infra.py tests/unit/test_deployment.py \
		tests/flow/batch/test_infra_deploy.py tests/flow/batch/test_policies.py

planner-alone: $(STAMP) ## Run the functions on moto with nothing but the packages of their image
	$(BIN)/python -m tests.support.planner_alone

destroy: $(STAMP) ## Delete the AWS stacks but that of the bucket, the images and the table
	$(BIN)/python -m infra.deploy down

clean: ## Remove the environment and every cache
	rm -rf .venv .release .planner .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .mutants demo-output
