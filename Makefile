# `make demo`, `make compare` and `make test` set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MIDSTREAM_ASSETS ?= ../shared/assets
export MIDSTREAM_ASSETS

NATIVE := CMakeLists.txt $(wildcard native/*.cpp native/*.hpp native/bindings/*)
COCO := $(MIDSTREAM_ASSETS)/coco

# How long `make fuzz` runs each target.
SECONDS ?= 30
# The core is compiled once for a Python: CMake's folder stays, and what compiles there is always that of $(VENV).
BUILD := --no-build-isolation --config-settings=build-dir=build/core/{wheel_tag}
# Into environments of tests. pip, which knows how a machine is set up, is what installs into $(VENV). uv leaves modules
# as source unless told otherwise, which every process would compile anew.
UV_INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python
# A file's tests stay together; the files in their order, in which the longest do not come last. One more at a time than
# there are cores: tests of servers wait.
XDIST := --numprocesses $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)') --dist loadfile --no-loadscope-reorder
# The wheel that other environments take it from, by a file that says that it is there.
WHEEL := build/wheel/.built
# An environment of the lowest versions. torch is too large for it, and Ray's bound is one release.
LOWEST := build/lowest
LOWEST_EXTRAS := demo serve watch
comma := ,
# Left out there, for other packages have no say in them: they are about processes, memory and words, this project's own
# bytes and files, or do once more what their neighbours have done.
LOWEST_WITHOUT := $(addprefix tests/unit/test_,cli_locks.py documents.py extras.py format_coefficients.py \
	format_decoder.py format_entropy.py format_frames.py groups.py install_hints.py layers.py limits.py locks.py ordered.py \
	readme.py release.py stub.py symbols_stream.py threads.py)
LOWEST_ONCE := $(addprefix tests/unit/test_compare.py::test_,killed_and_started_again_it_measures_only_the_rest \
	images_that_cannot_be_read_are_left_out_of_every_point a_codec_that_fails_takes_its_curve_along_and_nothing_else) \
	$(addprefix tests/unit/test_calibrate.py::test_,every_part_can_be_left_out damaged_leftovers_are_made_again \
	levels_are_coded_in_the_way_that_takes_fewer_bytes the_same_seed_gives_the_same_profile_and_another_does_not \
	what_is_left_out_depends_on_what_detections_need with_so_many_passes_no_clock_is_asked)
# The extension with AddressSanitizer and UndefinedBehaviorSanitizer, in an environment that borrows all else.
SANITIZED := build/sanitized
SANITIZED_BUILD := build/core/sanitized
SANITIZED_TESTS := $(addprefix tests/unit/test_,native.py symbols.py dense.py coefficients.py bitstream.py kept_inputs.py)
# The runtimes that have to be there before the interpreter; it keeps memory for ever, which is no leak of ours.
UNDER_SANITIZERS = LD_PRELOAD="$(shell g++ -print-file-name=libasan.so) $(shell g++ -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 $(SANITIZED)/bin/python

.PHONY: environment demo compare test test-lowest test-batch test-torch test-wheel test-native tools-neon test-neon test-sanitized
.PHONY: tools-browser fuzz soak lint docs proto stub clean

# The founding paper's experiment on the project's own network and scenes: midstream-demo/report.html.
demo: $(VENV)/.installed-demo
	$(BIN)/midstream demo

# Every pipeline on the first LIMIT photographs. vvenc's faster preset: medium takes ten times as long.
LIMIT ?= 32
compare: $(VENV)/.installed-compare
	$(BIN)/midstream compare --model picodet-s-416 --data coco:$(COCO)/eval,$(COCO)/instances_eval.json \
		--limit $(LIMIT) --output compare-$(LIMIT) \
		--anchor vvc:preset=faster,qp=22,27,32,37,42 --anchor hevc:qp=22,27,32,37,42 \
		--anchor av1:qp=15,20,30,40,50 --anchor jpegxl:distance=0.5,1,2,4,7 \
		--anchor webp:quality=90,80,50,35,20 --anchor jpeg:quality=95,90,70,50,30 \
		--test paper:symbols=4,z=1,1.5,2 --test paper:symbols=4,z=1,1.5,2,coder=dense \
		--test paper:symbols=3,z=1,1.5,2 --test paper:symbols=3,z=1,1.5,2,coder=dense \
		--test packed-vvc:preset=faster,qp=17,22,27 --test packed-hevc:qp=17,22,27 --test packed-av1:qp=5,10,20 \
		--test float16+zstd --test int8+zstd --test zfp:precision=8,10 --test blosc2 --test pcodec

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(XDIST)

# The unit tests with the oldest of every package that pyproject.toml allows.
test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python tests/lowest.py $(subst $() ,$(comma),$(LOWEST_EXTRAS)) test
	$(LOWEST)/bin/python -m pytest -p no:cacheprovider $(XDIST) tests/unit \
		$(addprefix --ignore ,$(LOWEST_WITHOUT)) $(addprefix --deselect ,$(LOWEST_ONCE))

# Batch jobs and replicas on a real Ray: workers, replicas and drivers are killed. About two minutes on two free cores.
test-batch: $(VENV)/.installed-ray
	$(BIN)/python -m pytest tests/batch

# The documentation as a site, every warning an error: build/site/index.html.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# torch and torchvision are several GB: their environment lives outside the checkout, one for each pair of versions.
test-torch: $(WHEEL) $(BIN)/uv
	PYTHON=$(PYTHON) INSTALL='$(UV_INSTALL)' tests/adapters/run.sh $(dir $(WHEEL))*.whl

# What is released, in environments that have nothing else, with every Python that is found.
test-wheel: $(WHEEL)
	$(BIN)/python tests/wheels.py $(dir $(WHEEL))*.whl

# The kernels without Python: every instruction set against the scalar reference, under the sanitizers.
test-native: $(SANITIZED)/.installed
	$(SANITIZED_BUILD)/paths

PATHS := $(wildcard native/tests/*.cpp native/*.cpp)
# As in CMakeLists.txt, but with symbols.
PATHS_FLAGS := -std=c++20 -O2 -g1 -ffp-contract=off -fno-trapping-math -Wall -Wextra -Inative
ARM_CXX := aarch64-linux-gnu-g++
ARM_RUN := qemu-aarch64

tools-neon:
	@for tool in $(ARM_CXX) $(ARM_RUN); do command -v $$tool > /dev/null || \
		{ echo "make test-neon needs $$tool (Debian: g++-aarch64-linux-gnu, qemu-user)"; exit 1; }; done

# What the tests of the page of `midstream watch` look for; without it they are skipped, and say so.
tools-browser:
	@for tool in chromium chromedriver; do command -v $$tool > /dev/null || \
		{ echo "the tests of the page need $$tool (Debian: chromium, chromium-driver)"; exit 1; }; done

build/neon/%.o: native/%.cpp $(wildcard native/*.hpp) | tools-neon
	mkdir -p $(@D)
	$(ARM_CXX) $(PATHS_FLAGS) -c -o $@ $<

test-neon: $(PATHS:native/%.cpp=build/neon/%.o)
	$(ARM_CXX) -static -o build/neon/paths $^
	$(ARM_RUN) build/neon/paths

# Recycled buffers are switched off there. What the fuzzer has collected is run again, where it has been.
test-sanitized: $(SANITIZED)/.installed
	$(UNDER_SANITIZERS) -m pytest -p no:cacheprovider $(SANITIZED_TESTS) \
		--deselect tests/unit/test_native.py::test_large_buffers_are_used_again_and_hold_their_own_values
	if [ -e fuzz/corpus/decode ]; then $(UNDER_SANITIZERS) fuzz/fuzz_decode.py -runs=0 fuzz/corpus/decode; fi

# The fault tests of tests/serve in their long form: about ten minutes. SOAK='--kills 5' and so on shortens it.
SOAK ?=
soak: $(VENV)/.installed-dev
	$(BIN)/python -m tests.serve.soak $(SOAK)

fuzz: $(VENV)/.installed-fuzz
	$(MAKE) --directory=fuzz --jobs=$$(nproc)
	$(BIN)/python fuzz/run.py --seconds=$(SECONDS)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# From 25.1 on pip knows the groups of pyproject.toml.
$(VENV)/.tools: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group build
	touch $@

$(BIN)/uv: | $(VENV)/.tools
	$(BIN)/python -m pip install --quiet 'uv>=0.8'

# One install for each purpose, with all that it takes.
EXTRAS-compare := compare
EXTRAS-demo := demo
EXTRAS-dev := demo,serve,watch
EXTRAS-ray := ray,serve
EXTRAS-all := compare,demo,ray,serve,watch
ALSO-dev := --group dev
ALSO-ray := --group test-ray
ALSO-all := --group dev --group test-ray --group docs --group fuzz

$(VENV)/.installed-%: $(VENV)/.tools $(NATIVE)
	$(BIN)/python -m pip install $(BUILD) --editable '.[$(EXTRAS-$*)]' $(ALSO-$*)
	touch $@

# What all targets take in $(VENV), at once; after it they can be made at the same time.
environment: $(VENV)/.installed-all
	touch $(addprefix $(VENV)/.installed-,dev compare demo docs fuzz ray)

$(WHEEL): $(VENV)/.tools $(NATIVE) $(shell find src -type f -not -name '*.pyc')
	rm -rf $(@D)
	$(BIN)/python -m pip wheel --quiet $(BUILD) --no-deps --wheel-dir $(@D) .
	touch $@

$(VENV)/.installed-fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --group fuzz
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

$(LOWEST)/.installed: $(WHEEL) $(BIN)/uv
	$(PYTHON) -m venv --clear $(LOWEST)
	$(UV_INSTALL) $(LOWEST)/bin/python --resolution lowest-direct --requirements pyproject.toml \
		$(addprefix --extra ,$(LOWEST_EXTRAS)) --group test
	$(UV_INSTALL) $(LOWEST)/bin/python --no-deps $(dir $(WHEEL))*.whl
	touch $@

# A path in a .pth file lends the packages of the other environment, but not its editable install of midstream.
$(SANITIZED)/.installed: $(VENV)/.installed-dev $(shell find src -name '*.py') $(wildcard native/tests/*)
	$(PYTHON) -m venv --without-pip $(SANITIZED)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(SANITIZED)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/borrowed.pth"
	CXX=g++ $(BIN)/python -m pip --python $(SANITIZED)/bin/python install --quiet --no-deps --force-reinstall . \
		--no-build-isolation --config-settings=build-dir=$(SANITIZED_BUILD) \
		--config-settings=cmake.define.MIDSTREAM_SANITIZE=ON --config-settings=install.strip=false
	touch $@

# What the generated Python of the service is made with; its libraries must not be older (pyproject.toml).
PROTO_TOOLS := grpcio-tools==1.76.0
proto:
	$(PYTHON) -m venv build/proto
	build/proto/bin/pip install --quiet '$(PROTO_TOOLS)' 'setuptools<81'
	build/proto/bin/python -m grpc_tools.protoc --proto_path=src --python_out=src --pyi_out=src --grpc_python_out=src \
		midstream/serve/proto/serve.proto

# What type checkers know of the extension; tests/unit/test_stub.py compares the two.
stub: $(VENV)/.installed-dev
	$(BIN)/python -m nanobind.stubgen --quiet --module midstream._native --output-file src/midstream/_native.pyi
	$(BIN)/ruff format src/midstream/_native.pyi

clean:
	rm -rf $(VENV) build compare-* midstream-demo
