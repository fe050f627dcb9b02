# Two commands: `make demo` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MIDSTREAM_ASSETS ?= ../shared/assets
export MIDSTREAM_ASSETS

NATIVE := CMakeLists.txt $(wildcard native/*.cpp native/*.hpp)
COCO := $(MIDSTREAM_ASSETS)/coco

.PHONY: demo test test-torch lint clean

# The main job: rate and accuracy of the paper's codec on a real detector and real photographs.
demo: $(VENV)/.installed
	$(BIN)/midstream eval --model picodet-s-416 --data coco:$(COCO)/eval,$(COCO)/instances_eval.json \
		--symbols 4 --z 1.5 --limit 32

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# torch and torchvision are several GB: their environment lives outside the checkout, one for each pair of versions.
test-torch:
	PYTHON=$(PYTHON) tests/adapters/run.sh

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(NATIVE) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev,cityscapes]'
	touch $@

clean:
	rm -rf $(VENV) build
