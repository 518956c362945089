# Everything runs in .venv, made by `make setup` with the exact versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OUT ?= out
FLOORS ?= .venv-floors
WORKERS ?= 2
DEVICE ?= cuda

.DEFAULT_GOAL := help

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 18

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m compileall -q nin_spec exporters  # an editable install compiles nothing by itself
	@touch $@

setup: $(VENV)/.ready  ## make .venv with everything, exact versions

demo: setup  ## set up, then build nin_cifar, and train, evaluate, export and run nin_digits
	@PATH="$(abspath $(BIN)):$$PATH" OUT=$(OUT) sh tests/demo.sh

test: setup  ## set up, then check style and types and run the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-long: setup  ## run what takes minutes, and what Hypothesis tests on many examples
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'long or hypothesis'

coverage: setup  ## measure how much of the language, the IR, the passes and the exporters their tests run: 98% is the bar
	$(BIN)/python -m coverage run -m pytest $(addprefix tests/,language ir passes exporters test_lower.py test_words.py)
	$(BIN)/python -m coverage report

test-floors: setup  ## install each dependency at its lower bound, apart, and run the tests there: ONLY=--quick for some
	$(BIN)/python tests/lower_bounds.py $(FLOORS) --workers $(WORKERS) $(ONLY)

wheel: setup  ## build sdist and wheel in out/wheel, and try the wheel in a clean environment
	rm -rf $(OUT)/wheel
	mkdir -p $(OUT)/wheel
	bash .ci/wheel $(BIN)/python "$(abspath $(OUT)/wheel)"

bench: setup  ## compare the commands and the graphs with their peers, and judge by the bars
	$(BIN)/python tests/bench.py
	$(BIN)/python tests/bench_graphs.py

bench-graphs: setup  ## the graphs alone: ONLY='--specs nin_cifar --batches 1,8' for some of them
	$(BIN)/python tests/bench_graphs.py $(ONLY)

$(OUT)/openvino: | setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ onnxruntime-openvino==1.24.1

test-openvino: $(OUT)/openvino  ## run the tests of devices on the package onnxruntime-openvino, apart
	PYTHONPATH="$(abspath $(OUT)/openvino)" $(BIN)/python -m pytest tests/runtime tests/cli/test_devices.py

bench-openvino: $(OUT)/openvino  ## judge OpenVINO in bfloat16 on that package: ONLY='--run RUN --data DIR'
	PYTHONPATH="$(abspath $(OUT)/openvino)" $(BIN)/python tests/bench_openvino.py $(ONLY)

bench-maps: setup  ## what class maps cost, judged by the bars
	$(BIN)/python tests/bench_maps.py

bench-training: setup  ## compare training with a plain PyTorch loop, in one run
	$(BIN)/python tests/bench_training.py $(ONLY)

bench-resize: setup  ## resizing pictures in memory on two threads, judged by its bar
	$(BIN)/python tests/bench_resize.py

bench-sweep: setup  ## judge a sweep on the digits: speed, accuracy, CPU time outside training
	$(BIN)/python tests/bench_sweep.py

bench-serving: setup  ## the server, a bare session, and others: ONLY='--litserve DIR --kserve DIR'
	$(BIN)/python tests/bench_serving.py $(ONLY)

bench-studio: setup  ## time a keystroke in the studio, in a browser; needs playwright and a Chromium
	$(BIN)/python tests/bench_studio.py

bench-import: setup  ## time imports against another revision's checkout: BEFORE=../before
	$(BIN)/python tests/bench_import.py $(BEFORE) $(ONLY)

gpu:  ## certify CUDA, TensorRT and training on an NVIDIA GPU, in 8 minutes: PYTHON=with-torch WHEELS=dir DEVICE=cpu
	$(PYTHON) tests/gpu --device $(DEVICE) --out $(OUT) $(if $(WHEELS),--wheels $(WHEELS)) $(ONLY)

targets: setup  ## measure every onnxruntime release and write exporters/targets.json; ONLY='--releases 1.32.0'
	$(BIN)/python tests/measure_targets.py $(ONLY)

pictures: setup  ## take the pictures of the README again, and of each page in out/pages; needs playwright and a Chromium
	$(BIN)/python tests/take_diagram_picture.py
	$(BIN)/python tests/take_page_pictures.py $(OUT)/pages
	$(BIN)/python tests/take_maps_picture.py

clean:  ## remove what was made here
	rm -rf $(VENV) $(FLOORS) $(OUT) build dist

.PHONY: help setup demo test test-long test-openvino coverage test-floors wheel bench bench-graphs bench-openvino bench-maps bench-training bench-resize bench-sweep bench-serving bench-studio bench-import targets pictures gpu clean
