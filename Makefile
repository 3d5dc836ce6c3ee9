# The few verbs a person types. Plain users need no make: README gives the commands behind them.
PYTHON ?= python3
SEED ?= 7
WITH := PATH="$(CURDIR)/.venv/bin:$$PATH" DVC_NO_ANALYTICS=1

.PHONY: all test test-remotes quick verify faults benchmark variants drive watch clean

all: .venv/ready  ## pull the trained models, bring the pipeline up to date, show the results
	@[ ! -f dvc.lock ] || $(WITH) dvc pull || echo "Not all could be pulled. What is missing is" \
		"trained now, for hours; if files of artifacts/ are damaged, git restore artifacts brings them."
	$(WITH) dvc repro
	@$(WITH) python -m commands.table

test: .venv/ready  ## lint, types, tests
	$(WITH) ruff check . && $(WITH) ruff format --check . && $(WITH) mypy
	$(WITH) python -m pytest -q -n 2 --dist worksteal tests

test-remotes: .venv/remotes  ## push to and pull from S3, SFTP, WebDAV and HTTP on loopback
	$(WITH) python -m pytest -q tests/remotes

quick: .venv/ready  ## every stage of two rounds at tiny sizes, in a temporary place
	$(WITH) python -m commands.quick

verify: .venv/ready  ## the tiny pipeline twice: are all outputs the same, and the same as ours?
	$(WITH) python -m commands.verify

faults: .venv/ready  ## the same, with stages killed at random and files damaged
	$(WITH) python -m commands.faults

benchmark: .venv/benchmark  ## steps a second beside Gymnasium's and EnvPool's, and where time goes
	$(WITH) python -m benchmarks.run

variants: .venv/ready  ## run the variants of variants.yaml that have no result yet: hours
	$(WITH) python -m commands.variants
	$(WITH) dvc repro compare

drive: .venv/ready  ## the trained agent drives the track SEED=...: a score and a video
	@ls models/*/agent.safetensors >/dev/null 2>&1 || $(WITH) dvc pull
	@$(WITH) python -m commands.drive --seed $(SEED)

watch: .venv/ready  ## the same in a window
	@ls models/*/agent.safetensors >/dev/null 2>&1 || $(WITH) dvc pull
	@$(WITH) python -m commands.drive --seed $(SEED) --watch

clean:  ## remove the virtual environment
	rm -rf .venv

.venv/ready: requirements.txt constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(WITH) dvc remote modify --local artifacts url "$(CURDIR)/artifacts"
	@touch $@

.venv/benchmark: .venv/ready requirements-benchmark.txt
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements-benchmark.txt
	@touch $@

.venv/remotes: .venv/ready requirements-remotes.txt
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements-remotes.txt
	@touch $@
