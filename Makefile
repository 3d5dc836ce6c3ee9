# The few verbs a person types; the README gives the commands to use without make.
PYTHON ?= python3
SEED ?= 7
OF_ROUND = $(if $(ROUND),--round "$(ROUND)")
WITH := PATH="$(CURDIR)/.venv/bin:$$PATH" DVC_NO_ANALYTICS=1

# An environment works if its Python is one of those supported, with pip, and if its scripts start
# that Python: in a moved folder they start none, in a copied one the original's.
SUPPORTED := (3, 11) <= sys.version_info[:2] <= (3, 13)
WORKS := $(shell .venv/bin/python -c 'import sys, pip; sys.exit(not $(SUPPORTED))' 2>/dev/null && \
	case "$$(head -n 2 .venv/bin/pip)" in \
		(*[\"\ !]"$$PWD/.venv/bin/"* | *[\"\ !]"$$(cd .venv && pwd -P)/bin/"*) echo yes ;; esac)

.PHONY: all check test test-remotes test-cluster test-elsewhere quick verify faults benchmark \
	variants drive watch dream page test-page export score clean remote new-environment

all: remote  ## pull the trained models, bring the pipeline up to date, show the results
	@[ ! -f dvc.lock ] || $(WITH) dvc pull || echo "Not everything could be pulled. What is missing" \
		"is trained now, for up to three hours; if files in artifacts/ are damaged, stop, and" \
		"git restore artifacts brings them back."
	$(WITH) dvc repro
	@$(WITH) python -m commands.table

check: .venv/ready  ## lint, types and the fast tests: under a minute, for use while working
	$(WITH) ruff check . && $(WITH) ruff format --check . && $(WITH) mypy
	$(WITH) python -m pytest -q -n 2 -m "not slow"

test: .venv/ready  ## lint, types, all tests
	$(WITH) ruff check . && $(WITH) ruff format --check . && $(WITH) mypy
	$(WITH) python -m pytest -q -n 2 --dist worksteal tests

test-remotes: .venv/remotes  ## push to and pull from S3, SFTP, WebDAV and HTTP on loopback
	$(WITH) python -m pytest -q tests/remotes

test-cluster: .venv/cluster  ## jobs on a Dask cluster on loopback, whose workers die and come back
	$(WITH) python -m pytest -q tests/cluster

export: .venv/export remote  ## the models of ROUND=... as ONNX files, in exports/
	@ls models/*/agent.safetensors >/dev/null 2>&1 || $(WITH) dvc pull
	@$(WITH) python -m worldmodels.interop.onnx "$(or $(ROUND),dream)"

test-elsewhere: .venv/elsewhere remote  ## what other projects use: ONNX, pip, training loops
	@ls models/*/agent.safetensors >/dev/null 2>&1 || $(WITH) dvc pull
	$(WITH) python -m pytest -q tests/elsewhere

score: .venv/ready  ## score the policy POLICY=module:function on the 200 official test tracks
	@$(WITH) python -m worldmodels.interop.scoring "$(POLICY)"

quick: .venv/ready  ## every stage of every round at tiny sizes, in a temporary folder
	$(WITH) python -m commands.quick

verify: .venv/ready  ## the tiny pipeline twice: compare all outputs, also with the published ones
	$(WITH) python -m commands.verify

faults: .venv/ready  ## the tiny pipeline, its stages killed at random and its files damaged
	$(WITH) python -m commands.faults $(if $(UNDISTURBED),--undisturbed "$(UNDISTURBED)")

benchmark: .venv/benchmark  ## steps per second, next to Gymnasium's and EnvPool's
	$(WITH) python -m benchmarks.run

variants: remote  ## run the variants of variants.yaml that have no result yet: up to a day
	$(WITH) python -m commands.variants
	$(WITH) dvc repro compare

drive: remote  ## the agent of ROUND=... drives the track SEED=...: a score and a video
	@ls models/*/agent.safetensors >/dev/null 2>&1 || $(WITH) dvc pull
	@$(WITH) python -m commands.drive --seed "$(SEED)" $(OF_ROUND)

watch: remote  ## the same in a window
	@ls models/*/agent.safetensors >/dev/null 2>&1 || $(WITH) dvc pull
	@$(WITH) python -m commands.drive --seed "$(SEED)" $(OF_ROUND) --watch

dream: remote  ## M's dream next to the real drive on the track SEED=...: a video
	@ls data/*/practice/dream.safetensors >/dev/null 2>&1 || $(WITH) dvc pull
	@$(WITH) python -m commands.dream --seed "$(SEED)" $(OF_ROUND)

page: .venv/export remote  ## the page for driving in the dream, in site/, at HOST= and PORT=
	@ls data/*/practice/dream.safetensors >/dev/null 2>&1 || $(WITH) dvc pull
	@$(WITH) python -m commands.page --port "$(or $(PORT),8000)" \
		--host "$(or $(HOST),127.0.0.1)" $(OF_ROUND)

test-page: .venv/page remote  ## the page in Chromium: it drives, and computes what torch does
	@ls data/*/practice/dream.safetensors >/dev/null 2>&1 || $(WITH) dvc pull
	@$(WITH) python -c "from commands.page import install_runtime; install_runtime()"
	$(WITH) python -m pytest -q -s tests/page

clean:  ## remove the virtual environment
	rm -rf .venv

remote: .venv/ready  ## point DVC's default remote at artifacts/ of this folder, wherever it is now
	@$(WITH) python -m commands.remote

.venv/ready: requirements.txt constraints.txt $(if $(WORKS),,new-environment)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

new-environment:
	@command -v "$(PYTHON)" >/dev/null || { echo "No $(PYTHON) found: install Python 3.11, 3.12 or" \
		"3.13, or name one: make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -c 'import sys; $(SUPPORTED) or sys.exit("$(PYTHON) is Python %d.%d.%d: this needs" \
		" 3.11, 3.12 or 3.13; name one: make PYTHON=python3.13" % sys.version_info[:3])'
	@[ ! -e .venv ] || echo "The environment in .venv does not work here (half built, of another" \
		"Python, or from another folder); building it again."
	rm -rf .venv
	"$(PYTHON)" -m venv .venv

.venv/%: requirements-%.txt .venv/ready
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
