# Thin on purpose: the work is in scripts/, which CI calls through the same targets.
# `make run` needs Python >= 3.11 and Git. ARGS go on: make run ARGS="--port 9000", make test ARGS="-k budget"
.PHONY: help run demo test test-postgresql check audit bench soak docs pictures lock test-replicas test-long
ifdef PYTHON
export PYTHON
endif

help:
	@echo "make run     set up if needed, then serve (ARGS=…)"
	@echo "make demo    an example organisation with everything around it, served (ARGS=…)"
	@echo "make test    everything a change must pass (ARGS=… for pytest)"
	@echo "make test-postgresql  the tests of the store and the engine with their stores on PostgreSQL (ARGS=…)"
	@echo "make test-replicas  three workers and two evaluators, killed and frozen; prints figures (ARGS=…)"
	@echo "make test-long  the laws on twenty times as many examples (ARGS=…)"
	@echo "make check   format, lint, types, import contracts"
	@echo "make audit   known weaknesses of locked packages, asked of a service on the network (ARGS=requirements/dev.txt)"
	@echo "make bench   the benchmarks, the organisation at a tenth of its size (ARGS=… names some)"
	@echo "make soak    the long proofs: load, kills, fuzz and a bad hour (ARGS=… names one, with its options)"
	@echo "make docs    the documentation as a site, into site/"
	@echo "make pictures  draw the boards for the documentation anew"
	@echo "make lock    write requirements/*.txt anew (ARGS=--upgrade, or names)"

run:
	@exec scripts/run.sh $(ARGS)

demo:
	@exec scripts/demo.sh $(ARGS)

test:
	@scripts/setup.sh dev && exec scripts/test.sh $(ARGS)

test-postgresql:
	@scripts/setup.sh dev && exec scripts/test-postgresql.sh $(ARGS)

test-replicas:
	@scripts/setup.sh dev && exec scripts/test-replicas.sh $(ARGS)

check:
	@scripts/setup.sh dev && exec scripts/check.sh

test-long:
	@scripts/setup.sh dev && exec scripts/test-long.sh $(ARGS)

audit:
	@scripts/setup.sh dev && exec scripts/audit.sh $(ARGS)

bench:
	@scripts/setup.sh dev && exec scripts/bench.sh $(ARGS)

soak:
	@scripts/setup.sh dev && exec scripts/soak.sh $(ARGS)

docs:
	@scripts/setup.sh dev && exec scripts/docs.sh $(ARGS)

pictures:
	@scripts/setup.sh dev && exec scripts/pictures.sh

# Only uv is needed before: locks that are halfway merged can be written anew. Afterwards the environment is as they say.
lock:
	@{ test -x .venv/bin/uv || scripts/setup.sh dev; } && scripts/lock.sh $(ARGS) && exec scripts/setup.sh dev
