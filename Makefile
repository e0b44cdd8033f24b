# Two commands do everything on a fresh machine: `make demo` and `make test`.

.PHONY: demo test bench chaos fuzz schemas pictures setup

# The main job, on a throw-away PostgreSQL: a corrupted database is rolled back, from the backup to the report.
demo: setup
	cargo build --quiet
	./target/debug/runplan rehearse plans/scenario-2.yaml --reason "trying it out"

test: setup
	@.ci/test-programs
	cargo build --quiet
	cargo test --quiet

bench: setup
	cargo build --release --quiet
	python3 benches/run.py

# Changed and broken input for every reader, from a new seed, on every processor: `make fuzz SECONDS=3600`. Built as the
# tests are, with the checks for overflow that a release leaves out. A failure prints how to make its input again.
SECONDS ?= 600
# Then hostile values through the real server and shells, events through the core, and every byte of a journal.
HOSTILE_VALUES ?= 2000000
SIMULATED ?= 20000000
fuzz: setup
	FUZZ_SECONDS=$(SECONDS) FUZZ_JOBS=$$(nproc) SEED=$${SEED:-$$(date +%s)} \
		cargo test --quiet --test main fuzz::no_input_breaks_a_reader -- --nocapture
	HOSTILE_VALUES=$(HOSTILE_VALUES) SIMULATE=$(SIMULATED) HOSTILE_BYTES=1 SEED=$${SEED:-$$(date +%s)} \
		cargo test --quiet --test main -- inject:: run::simulation store::damage::every_byte --nocapture

# A run with every action, interrupted at every event and at random instants: about an hour on four processors. What fails
# prints the line that plays it again: `make chaos SEED=7 CASE=forward/instant/17`; `KILLS=100` is a tenth of it, and
# `CHAOS_THREADS=6` plays more cases at once.
chaos: setup
	cargo build --quiet
	CHAOS=1 SEED=$${SEED:-$$(date +%s)} cargo test --quiet --test main chaos:: -- --nocapture --test-threads=1

# The generated files that are kept in the repository.
schemas:
	UPDATE=1 cargo test --quiet --test main schemas

# The README's pictures: the demo's rehearsal on a real terminal, and its report in a real browser.
pictures: setup
	@.ci/test-programs
	cargo build --quiet
	PICTURES=1 cargo test --quiet --test main pictures:: -- --nocapture

setup:
	@.ci/postgresql
