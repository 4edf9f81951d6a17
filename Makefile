# make demo   a complete study on generated data, from nothing to a report
# make test   the tests;  make check  format, lint, types, import contracts
# make bench  benchmarks; make prove  the claims of docs/results.md at full size on real data
# make docs-pictures   the pictures in docs/ again, of a real study (ARGS="--help")
# make soak   a study whose driver is killed fifty times while its servers crash (docs/reliability.md)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKSPACE ?= workspace
DEMO := terrain-demo-$(shell date +%Y%m%d-%H%M%S)
PACKAGES := studies search trainables dashboards

.PHONY: demo install test check format bench prove soak docs-pictures

install: $(VENV)/installed

# Renewed when what is installed changes; pip leaves alone what already fits.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: contourney needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,onnx,postgres]'
	@touch $@

demo: install
	@$(BIN)/contourney launch terrain-demo --name $(DEMO) --workspace $(WORKSPACE)
	@echo
	@echo "the report (open it in a browser):"
	@$(BIN)/contourney report $(DEMO) --workspace $(WORKSPACE)
	@echo "next, the final evaluation of the winner:"
	@echo "$(BIN)/contourney promote $(DEMO) --workspace $(WORKSPACE)"
	@echo "your own data: $(BIN)/contourney show camvid-unet > study.yaml, then $(BIN)/contourney launch study.yaml --data ROOT"

# Two at a time, each file's tests together: much of the time goes into waiting for servers and processes.
test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python -m benchmarks.run $(ARGS)

prove: install
	$(BIN)/python -m benchmarks.prove $(ARGS)

soak: install
	$(BIN)/python -m benchmarks.soak $(ARGS)

docs-pictures: install
	$(BIN)/python -m benchmarks.docs_pictures $(ARGS)
