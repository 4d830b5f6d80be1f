# Everything people do with this repository. `make` alone lists it.
#   make parity                      the whole suite on sample_dataset/
#   make parity MODELS=mit_b2 IMAGES=photos WEIGHTS=weights/trufor.pth.tar
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# What `make export` exports, and what `make parity` compares; MODELS=... sets both.
EXPORT_MODELS := $(or $(MODELS),noiseprint_pp mit_b2 trufor trufor_head)
PARITY_MODELS := $(or $(MODELS),noiseprint_pp mit_b2)
IMAGES ?= sample_dataset
OUT    ?= reports/parity
# Processes of `make test`; a file's tests stay in one, for they share what they export.
JOBS ?= logical
# What `make bench` measures; BENCH=... adds options of `parity bench`.
VARIANTS ?= plain,portable,ort
SIZES ?= 256
VARIANT_MODELS := $(or $(MODELS),noiseprint_pp mit_b2 trufor_head)
LARGE ?= 512
REPEATS ?= 7
BENCH_OUT ?= reports/bench
BENCH ?=
WEIGHTS ?=
# portable, ort or plain; more: docs/variants.md.
VARIANT ?= portable
W      := $(if $(WEIGHTS),--weights "$(WEIGHTS)")
# The commit goes into a release's provenance where the working tree has no changes.
REVISION = $(shell git diff-index --quiet HEAD -- 2>/dev/null && echo --revision $$(git rev-parse HEAD))

.DEFAULT_GOAL := help
.PHONY: help setup constraints export export-check split merge parity gate release release-verify bench bench-history bench-variants report dataset weights check format test test-slow wrong-answers clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv with everything, versions as in constraints.txt

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

constraints: ## write constraints.txt anew from a fresh environment
	@rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	@build/constraints/bin/python -m pip install --quiet -e '.[dev]' torch==2.13.0
	@build/constraints/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//' > build/constraints.txt
	@(sed -n '/^#/p' constraints.txt; cat build/constraints.txt) > build/new && mv build/new constraints.txt

export: $(READY) ## export MODELS (all four unless given) to onnx_models/; WEIGHTS=file or folder, VARIANT=ort, REPLACE=1
	@$(BIN)/python -m export $(EXPORT_MODELS) --variant $(VARIANT) $(W) $(if $(REPLACE),--replace)

export-check: $(READY) ## rebuild the committed locks and compare: 0 same, 1 different, 2 could not
	@$(BIN)/python -m export check

split: $(READY) ## cut onnx_models/*.onnx into pieces that a git host takes
	@$(BIN)/python -m chunking split onnx_models

merge: $(READY) ## put the pieces in onnx_models/ back together, verified
	@$(BIN)/python -m chunking merge onnx_models

parity: $(READY) ## export what is missing, compare MODELS with PyTorch on IMAGES, print the table
	@$(BIN)/python -m export $(PARITY_MODELS) --missing-only $(W) $(if $(REPLACE),--replace)
	@$(BIN)/python -m parity run --models $(PARITY_MODELS) --images "$(IMAGES)" --out "$(OUT)" $(W)

gate: $(READY) ## judge the last parity run; GATE="--bench B.json --baseline OLD.json --explain"
	@$(BIN)/python -m parity gate "$(OUT)/parity.json" $(GATE)

release: $(READY) ## assemble dist/models-VERSION/; RELEASE="--bench B.json --sign-key KEY.pem"
	@test -n "$(VERSION)" || { echo 'error: make release VERSION=1.2.0' >&2; exit 2; }
	@$(BIN)/python -m parity release "$(VERSION)" --report "$(OUT)/parity.json" $(REVISION) $(RELEASE)

release-verify: $(READY) ## check dist/models-VERSION/; KEY=pub.pem checks who signed it
	@test -n "$(VERSION)" || { echo 'error: make release-verify VERSION=1.2.0' >&2; exit 2; }
	@$(BIN)/python -m parity release-verify "dist/models-$(VERSION)" $(if $(KEY),--key "$(KEY)")

bench: $(READY) ## time the pieces, then MODELS x VARIANTS x SIZES interleaved (docs/bench.md)
	@mkdir -p "$(BENCH_OUT)"
	@$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-columns=median,iqr,rounds \
		--benchmark-max-time=0.5 --benchmark-json "$(BENCH_OUT)/pieces.json"
	@$(BIN)/python -m parity bench --models $(PARITY_MODELS) --variant $(VARIANTS) \
		--size $(SIZES) --repeats $(REPEATS) --out "$(BENCH_OUT)" $(BENCH) $(W)

bench-variants: $(READY) ## plain, portable and ort in turns, a process each: LARGE="512 1024" (docs/variants.md)
	@for variant in plain portable ort; do \
		$(BIN)/python -m export $(VARIANT_MODELS) --missing-only --variant $$variant $(W) || exit; done
	@$(BIN)/python benchmarks/variants.py --models $(VARIANT_MODELS) --sizes $(LARGE) --repeats $(REPEATS)

bench-history: $(READY) ## reports of the releases in HISTORY=dist: what changed, since when
	@$(BIN)/python -m parity history "$(or $(HISTORY),dist)"

report: $(READY) ## the last parity run as HTML, JUnit XML and Markdown, with the gate's decision and the last benchmark
	@test -f "$(OUT)/parity.json" || { echo 'error: no $(OUT)/parity.json; make it: make parity' >&2; exit 2; }
	@$(BIN)/python -m parity gate "$(OUT)/parity.json" $(GATE) --json > "$(OUT)/gate.json"; test -s "$(OUT)/gate.json"
	@$(BIN)/python -m parity report "$(OUT)/parity.json" --gate "$(OUT)/gate.json" \
		$(if $(wildcard $(BENCH_OUT)/bench.json),--bench "$(BENCH_OUT)/bench.json")

dataset: $(READY) ## make sample_dataset/ anew; COCOGLIDE=zip or folder: the 50-image subset
	@$(BIN)/python -m sample_dataset.maker $(if $(COCOGLIDE),--cocoglide "$(COCOGLIDE)")

weights: $(READY) ## download the published weights to weights/ (their own licence: see NOTICE)
	@$(BIN)/python -m export weights

# Types are read as they are installed: one package, of links to the folders.
check: $(READY) ## linters and types, of the ready-made workflows too
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@rm -rf build/types && mkdir -p build/types/trufor_onnx && cd build/types && ln -s ../../sample_dataset . \
		&& cd trufor_onnx && ln -s ../../../trufor_onnx/* ../../../chunking ../../../export ../../../parity ../../../runtime .
	@cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/zizmor --quiet --offline --no-progress .github/workflows

format: $(READY) ## format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

test: $(READY) ## fast tests, a process a core (JOBS=0: none)
	@$(BIN)/python -m pytest -m "not slow" -n $(JOBS) --maxprocesses 8 --dist loadfile

# Guards and set-ups run beside each other; what takes gigabytes or is timed runs alone.
BESIDE := tests/parity/test_guards.py tests/wrong_answers

test-slow: $(READY) ## full-size networks, long fault tests, guards taken out, set-ups that once fooled us
	@$(BIN)/python -m pytest -m slow --timeout 1800 $(BESIDE) -n $(JOBS) --maxprocesses 8
	@$(BIN)/python -m pytest -m slow --timeout 1800 $(BESIDE:%=--ignore %)

wrong-answers: $(READY) ## the set-ups in which a wrong file must not pass, as a table
	@$(BIN)/python -m tests.wrong_answers

clean: ## remove reports, caches and exported models (not weights/, not .venv)
	@rm -rf reports .benchmarks .cache .hypothesis .mypy_cache .ruff_cache .pytest_cache build dist *.egg-info
	@rm -f onnx_models/*.onnx onnx_models/*.plain.lock.json
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
