# Two commands matter: make run, make test. `make help` lists the rest.
PYTHON ?= python3
BIN = .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test pictures demo-data lint format messages lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

run: $(BIN)/.panel ## the panel and a private mail server on this machine; Ctrl-C ends both
	@exec $(BIN)/python manage.py stack run

demo-data: $(BIN)/.panel ## fill the database of `make run` with believable domains, mailboxes and aliases
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py demo_data

test: $(BIN)/.tests ## everything, on SQLite and on MariaDB; installs what it needs
	@$(MAKE) --no-print-directory --jobs=4 --keep-going --output-sync=target $(SUITES:%=test-%)

# Beside each other, and first those that mostly wait: for daemons, and for a browser.
SUITES = sqlite-stack mariadb-stack sqlite-browser sqlite-rest mariadb-rest sqlite-once mariadb-browser
browser = tests/browser
stack = tests/stack -m "not once"
once = tests/stack -m once
rest = tests --ignore=tests/browser --ignore=tests/stack

$(SUITES:%=test-%): test-%: $(BIN)/.tests
	$(call pytest,$(word 1,$(subst -, ,$*)),$*,$($(word 2,$(subst -, ,$*))))

# What fails is tried once more by itself: real daemons and a real browser share the machine with whatever else runs.
# 5 is pytest's word for "no test was asked for", as with ARGS="-k something".
pytest = suite() { DATABASE=$(1) $(BIN)/python -m pytest -o cache_dir=.pytest_cache/$(2) $(3) $(ARGS) "$$@"; }; \
	suite || [ $$? = 5 ] || suite --last-failed

pictures: $(BIN)/.tests ## of every page, at desktop and phone width, light and dark, into var/pictures
	SCREENSHOTS=var/pictures $(BIN)/python -m pytest tests/browser/test_screenshots.py $(ARGS)

lint: $(BIN)/.tests ## ruff and djlint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djlint --quiet --lint templates

format: $(BIN)/.tests ## let ruff write the code
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

messages: $(BIN)/.tests ## collect the texts for translation, and compile what is translated
	$(BIN)/python manage.py makemessages --all --no-location --no-obsolete --ignore=var --ignore=.venv --ignore=tests
	$(BIN)/python manage.py compilemessages --ignore=.venv --ignore=var

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11
lock: $(BIN)/.tests ## pin the newest versions that pyproject.toml allows; ARGS=--upgrade for all
	$(COMPILE) $(ARGS) pyproject.toml -o requirements.txt
	$(COMPILE) $(ARGS) pyproject.toml --extra mysql -c requirements.txt -o deploy/mariadb/requirements.txt
	$(COMPILE) $(ARGS) pyproject.toml --extra mysql --extra test -c requirements.txt -o tests/requirements.txt

clean: ## take away the virtual environment; the data stay in var/
	rm -rf .venv

# A stamp for each set of packages, so that the second run does not ask pip again.
$(BIN)/.panel: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "Python 3.11 or newer with venv is needed: apt install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(BIN)/.tests: tests/requirements.txt $(BIN)/.panel
	@$(BIN)/python manage.py stack packages --tests
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.txt
	@touch $@
