# make run opens the dashboard, make test passes the tests; both set up .venv first and reuse it.
PYTHON ?= python3
BIN := .venv/bin
.PHONY: run test lint bench screenshots clean

run: .venv/run
	$(BIN)/streamlit run streamlit_app.py

# browsers want the whole machine to themselves; the rest runs side by side, one thread each
test: .venv/dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --ignore tests/browser
	$(BIN)/python -m pytest tests/browser

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/dev
	$(BIN)/python -m core benchmark sweep
	$(BIN)/python -m core benchmark thresholds
	$(BIN)/python -m core benchmark inference
	$(BIN)/python -m core benchmark page
	$(BIN)/python -m core benchmark drag
	$(BIN)/python -m core benchmark many
	$(BIN)/python -m core benchmark refit
	$(BIN)/python -m core benchmark training
	$(BIN)/python -m core benchmark kill

screenshots: .venv/dev
	PYTHONPATH=. $(BIN)/python docs/screenshots.py

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/run: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/dev: requirements-dev.txt .venv/run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
