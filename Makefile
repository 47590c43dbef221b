# `make demo` and `make test` set up the environment on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := dev,docs,export,geo
OTHERS := segmentation_models_pytorch transformers monai anomalib terratorch
SETUP := $(VENV)/.setup-done

.PHONY: setup demo test test-slow coverage faults soak lint types audit constraints docs wheel check-wheel check-extras check-others check-resolution clean

setup: $(SETUP)

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "lightning_seg needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Name another with: make PYTHON=python3.12" % v)'
	@echo "Setting up $(VENV) (once; a few minutes on a slow line) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

# Pins of all dependencies, for every Python and system that pyproject.toml allows.
constraints: $(SETUP)
	$(BIN)/uv pip compile pyproject.toml --quiet --all-extras --universal --python-version 3.11 \
		--no-header --no-annotate --output-file constraints.txt --upgrade

lint: $(SETUP)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || (echo "Run: $(BIN)/ruff format ." && exit 1)

types: $(SETUP)
	@$(BIN)/mypy

# Known vulnerabilities of the pinned dependencies; offline, a message.
audit: $(SETUP)
	@mkdir -p build
	@$(BIN)/uv tool run pip-audit --requirement constraints.txt --no-deps --disable-pip > build/audit.txt 2>&1; \
		status=$$?; \
		if grep -q "Connection\|could not be audited" build/audit.txt; then \
			echo "The advisory service cannot be reached: the dependencies were not audited."; \
		else cat build/audit.txt; exit $$status; fi

test: lint types
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile
	$(BIN)/python -m pytest --doctest-modules lightning_seg/metrics lightning_seg/losses lightning_seg/targets

# Line coverage of the fast tests, as a table and as htmlcov/index.html.
coverage: $(SETUP)
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile \
		--cov lightning_seg --cov-report term:skip-covered --cov-report html

test-slow: $(SETUP)
	$(BIN)/python -m pytest -m slow

# Trainings that are killed at random times, and files that are damaged at random places.
faults: $(SETUP)
	$(BIN)/python tests/faults/kills.py
	$(BIN)/python -m tests.faults.mangled_files 200000
	$(BIN)/python -m pytest tests/test_files.py tests/cli/test_interruptions.py -k "disk or signal or full or space"
	@if [ $$(id -u) = 0 ] && which ip > /dev/null; then $(BIN)/python tests/faults/two_machines.py; \
		else echo "Two machines: not tried, which needs root and iproute2"; fi

# An hour of training, validation and prediction in one process that must not grow.
soak: $(SETUP)
	$(BIN)/python tests/faults/soak.py --plot docs/images/soak.png

# Train on synthetic scenes, test on unseen ones, and say what the method gains there; runs/demo is replaced.
demo: $(SETUP)
	@rm -rf runs/demo
	@$(BIN)/lightning-seg fit --config configs/experiment/synthetic/demo.yaml
	@$(BIN)/lightning-seg test --config configs/experiment/synthetic/demo.yaml --ckpt_path best
	@$(BIN)/python docs/demo_gain.py

# The documentation site; a broken link or anchor is an error.
docs: $(SETUP)
	@$(BIN)/python -m nbconvert --log-level WARN --to markdown --output-dir docs/notebooks notebooks/*.ipynb
	@$(BIN)/zensical build --clean --strict
	@echo "Open build/site/index.html, or with its search: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site"

# A wheel for pip, configurations included.
wheel: $(SETUP)
	$(BIN)/uv build --quiet --wheel --out-dir dist
	@ls dist/*.whl

# Install the wheel in an empty environment and train there with one of its configurations.
check-wheel: wheel
	@rm -rf build/check-wheel && mkdir -p build/check-wheel
	@$(PYTHON) -m venv build/check-wheel/venv
	@$(BIN)/uv pip install --quiet --python build/check-wheel/venv/bin/python --constraint constraints.txt dist/*.whl
	cd build/check-wheel && venv/bin/lightning-seg fit --config synthetic/unet --config method/epl \
		--data.crop_size 64 --data.samples_per_epoch 16 --trainer.max_epochs 1 --run_dir run
	@test -f build/check-wheel/run/checkpoints/last.ckpt && rm -rf build/check-wheel

# Install each extra of the slim distribution alone in an empty environment, and use it there.
check-extras: $(SETUP)
	@rm -rf build/check-extras
	@$(BIN)/uv build --quiet --wheel --out-dir build/check-extras packages/core
	@cd build/check-extras && for extra in core callbacks train geo export; do \
		../../$(BIN)/uv venv --quiet --python ../../$(BIN)/python $$extra && \
		../../$(BIN)/uv pip install --quiet --python $$extra/bin/python \
			--constraint ../../constraints.txt "$$(ls *.whl)[$${extra#core}]" && \
		(cd $$extra && bin/python -P ../../../tests/extras/use_$$extra.py > output.txt 2>&1 || \
			{ cat output.txt; exit 1; }) && \
		echo "$$extra: $$(../../$(BIN)/uv pip list --quiet --python $$extra/bin/python --format freeze | wc -l) packages" \
		|| exit 1; \
	done
	@rm -rf build/check-extras

# Use the slim distribution in other projects, each in its current version in an empty environment.
check-others: $(SETUP)
	@rm -rf build/check-others
	@$(BIN)/uv build --quiet --wheel --out-dir build/check-others packages/core
	@cd build/check-others && for other in $(OTHERS); do \
		../../$(BIN)/uv venv --quiet --python ../../$(BIN)/python $$other && \
		../../$(BIN)/uv pip install --quiet --python $$other/bin/python "$$(ls *.whl)[callbacks]" $$other && \
		start=$$(date +%s) && \
		(cd $$other && bin/python -P ../../../tests/others/use_$$other.py . > output.txt 2>&1 || \
			{ cat output.txt; exit 1; }) && \
		echo "$$(../../$(BIN)/uv pip list --quiet --python $$other/bin/python --format freeze | \
			grep -i "^$$(echo $$other | tr _ -)=="): $$(($$(date +%s) - start)) s" \
		|| exit 1; \
	done
	@rm -rf build/check-others

# The versions of other projects that the slim distribution allows; nothing is installed.
check-resolution: $(SETUP)
	@for other in anomalib torchgeo terratorch; do \
		for here in '' './packages/core[callbacks]'; do \
			printf '%s\n' $$other $$here | $(BIN)/uv pip compile --quiet --no-annotate --no-header - | \
				grep "^$$other==" | sed "s|\$$| $${here:+beside lightning_seg_core[callbacks]}|"; \
		done; \
	done

clean:
	rm -rf $(VENV) build dist *.egg-info
