# Claimgate. `make` alone lists what there is; every target does all that it needs first.
# Needs rustup, python3, make and a C compiler (Rust links with it).

.DEFAULT_GOAL := help
.PHONY: help build toolchain envoy demo run compose observe ratelimit limiter sessions provider test rules bench measurers lint fuzz filter dist reproduce clean

PYTHON ?= python3
OUT := $(or $(CARGO_TARGET_DIR),target)
FETCHED := $(CURDIR)/.envoy/bin/envoy

# The Envoy to run: ENVOY if given, else func-e, else an envoy on PATH, else the pinned one that envoy/fetch.py downloads.
FOUND := $(or $(strip $(ENVOY)),$(if $(shell command -v func-e 2>/dev/null),func-e run),$(shell command -v envoy 2>/dev/null))
USED := $(or $(FOUND),$(FETCHED))
LIMITER := $(abspath $(OUT))/ratelimit
PROVIDER := $(abspath $(OUT))/sessions
WITH := ENVOY="$(USED)" CLAIMGATE_WASM="$(CURDIR)/dist/claimgate.wasm" CLAIMGATE="$(CURDIR)/dist/claimgate" \
  CLAIMGATE_RATELIMIT_SERVICE="$(LIMITER)/debug/ratelimit-service" CLAIMGATE_PROVIDER_PYTHON="$(PROVIDER)/bin/python"

# What rust-toolchain.toml asks for: $(call pinned,targets)
pinned = $(shell sed -n 's/^$(1) *= *//p' rust-toolchain.toml | tr -d '[]" ')
# What makes a binary tell the fuzzer where it went and what it compared; --target keeps it out of build scripts.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
coverage = -Cpasses=sancov-module $(foreach option,level=4 inline-8bit-counters pc-table trace-compares,\
  -Cllvm-args=-sanitizer-coverage-$(option))
# No path of this machine gets into what is released: the same source and tools give the same bytes everywhere. $(call anonymous,target)
anonymous = --config 'target.$(1).rustflags=["--remap-path-prefix=$(CURDIR)=/claimgate",\
  "--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo"]'
# What the released command line runs on, and how it is linked: on Linux by the toolchain alone, with nothing of the system's.
TARGET ?= $(if $(filter Linux,$(shell uname -s)),$(shell uname -m)-unknown-linux-musl,$(HOST))
linker = $(if $(findstring -musl,$(TARGET)),--config 'target.$(TARGET).linker="rust-lld"')
# The machine's own compiler for the C of ring, which asks no C library for more than memcpy; no path of this machine in it either.
under = $(subst -,_,$(TARGET))
compiler = $(if $(findstring -musl,$(TARGET)),CC_$(under)="$(or $(CC_$(under)),$(CC))") \
  CFLAGS_$(under)="-U_FORTIFY_SOURCE -ffile-prefix-map=$(CURDIR)=/claimgate -ffile-prefix-map=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo"
# Replaces a file only where its content changed: $(call put,from,to)
put = @mkdir -p $(dir $(2)) && { cmp -s "$(1)" "$(2)" || { cp "$(1)" "$(2).new" && mv -f "$(2).new" "$(2)"; }; }

help: ## this list
	@echo 'Claimgate, a JWT access proxy for Envoy.'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'Envoy is ENVOY if given (make demo ENVOY=/path/to/envoy), else func-e, else envoy on PATH, else a pinned download.'
	@echo 'Prometheus is PROMETHEUS and PROMTOOL if given, else those on PATH, else Debian'"'"'s package, unpacked into .prometheus/.'
	@echo 'Chromium, for tests, is CHROMIUM if given, else one on PATH, else Debian'"'"'s package, unpacked into .chromium/.'

demo: build envoy ## shows the main job: a log service behind the filter, requests, answers, audit, a key rotation
	@$(WITH) $(PYTHON) examples/logs-proxy/demo.py

run: build envoy ## serves the same example until Ctrl-C, and prints curl commands for it
	@$(WITH) $(PYTHON) examples/logs-proxy/demo.py --run

compose: build ## runs the same example in containers, with a store for the audit records, and sends the requests; needs Docker
	@$(WITH) $(PYTHON) examples/logs-proxy/compose.py prepare
	@if docker compose version >/dev/null 2>&1; then set -- docker compose; else set -- docker-compose; fi; \
	  "$$@" -f examples/logs-proxy/docker-compose.yaml up -d || { echo 'make: compose could not start; where Docker reaches no registry, name images' \
	  'that are there: ENVOY_IMAGE, PYTHON_IMAGE, STORE_IMAGE. Then `'"$$@"' -f examples/logs-proxy/docker-compose.yaml down` cleans up' >&2; exit 1; }
	@$(WITH) $(PYTHON) examples/logs-proxy/compose.py ask

observe: build envoy ## shows what Prometheus tells of the filter, and the alerts that it raises; RUN=1 keeps serving until Ctrl-C
	@$(WITH) $(PYTHON) examples/observability/observe.py $(if $(RUN),--run)

ratelimit: build envoy limiter ## shows limits for each identity, over two Envoys that share one rate-limit service; RUN=1 serves until Ctrl-C
	@$(WITH) $(PYTHON) examples/global-rate-limit/fleet.py $(if $(RUN),--run)

# The rate-limit service of that example, on the crate that is inside of Limitador.
limiter: toolchain
	cargo build --locked --manifest-path tests/ratelimit-service/Cargo.toml --target-dir "$(LIMITER)"

sessions: build envoy provider ## shows a browser's session that is renewed, limited and taken back; RUN=1 serves it until Ctrl-C
	@$(WITH) $(PYTHON) examples/sessions/sessions.py $(if $(RUN),--run)

# A Python of its own with the OAuth 2 provider of that example.
provider: $(PROVIDER)/installed
$(PROVIDER)/installed: examples/sessions/requirements.txt
	@$(PYTHON) -m venv --clear "$(PROVIDER)" && "$(PROVIDER)/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r $< \
	  || { echo 'make: the provider could not be installed: it needs venv (Debian, Ubuntu: apt install python3-venv) and a Python package index' >&2; exit 1; }
	@touch "$@"

build: filter ## dist/claimgate.wasm (the filter) and dist/claimgate (the command line)
	cargo build --profile native --locked --bin claimgate
	$(call put,$(OUT)/native/claimgate,dist/claimgate)

filter: toolchain
	cargo build --release --locked --lib --target wasm32-wasip1 $(call anonymous,wasm32-wasip1)
	$(PYTHON) envoy/trim.py $(OUT)/wasm32-wasip1/release/claimgate.wasm $(OUT)/claimgate.trimmed.wasm
	$(call put,$(OUT)/claimgate.trimmed.wasm,dist/claimgate.wasm)

test: build envoy limiter provider ## every test: units, the filter in a real Envoy, the documentation, the metrics in a real Prometheus
	cargo build --profile native --locked --package claimgate-host-test --target wasm32-wasip1
	$(WITH) CLAIMGATE_HOST_TEST="$(abspath $(OUT))/wasm32-wasip1/native/claimgate_host_test.wasm" \
	  cargo test --profile native --locked
	$(WITH) $(PYTHON) tests/compatibility/test_compatibility.py
	$(WITH) $(PYTHON) tests/docs/test_docs.py
	$(WITH) $(PYTHON) tests/docs/test_operations.py
	$(WITH) $(PYTHON) tests/docs/test_func_e.py
	$(WITH) $(PYTHON) tests/observability/test_observability.py
	$(WITH) $(PYTHON) tests/ratelimit/test_ratelimit.py
	$(WITH) $(PYTHON) tests/sessions/test_sessions.py
	$(WITH) $(PYTHON) tests/compose/test_compose.py
	$(WITH) $(PYTHON) tests/dist/test_release.py

rules: ## checks the alerts for Prometheus and runs their tests, as `make test` does too
	@promtool="$$($(PYTHON) examples/observability/fetch.py | tail -n 1)" && test -n "$$promtool" \
	  && "$$promtool" check rules examples/observability/rules/*.yml \
	  && "$$promtool" test rules examples/observability/rules/tests/*.yml

bench: measurers build ## writes BENCHMARKS.md: instructions, time and memory beside Envoy's own filters; ONLY=rs256,audit prints some rows
	@test -n "$(strip $(ENVOY))" || $(PYTHON) envoy/fetch.py
	ENVOY="$(or $(strip $(ENVOY)),$(FETCHED))" CLAIMGATE_WASM="$(CURDIR)/dist/claimgate.wasm" \
	  cargo bench --profile native --bench envoy --locked -- $(if $(ONLY),--only $(ONLY))

lint: toolchain ## formatting, clippy for both targets, rustdoc; warnings are errors
	cargo fmt --all --check
	cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
	cargo fmt --check --manifest-path tests/ratelimit-service/Cargo.toml
	cargo clippy --profile native --locked --all-targets -- -D warnings
	cargo clippy --profile native --locked --lib --target wasm32-wasip1 -- -D warnings
	cargo clippy --profile native --locked --package claimgate-host-test --target wasm32-wasip1 -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --profile native --no-deps --locked

fuzz: toolchain ## searches for inputs that break a promise, FUZZ_SECONDS (60) for each target; needs a C++ compiler
	CARGO_TARGET_DIR="$(OUT)/fuzz" RUSTFLAGS="$(strip $(coverage))" \
	  cargo build --release --locked --manifest-path tests/fuzz/Cargo.toml --target $(HOST)
	FUZZ_SECONDS="$(FUZZ_SECONDS)" FUZZ_TARGETS="$(FUZZ_TARGETS)" \
	  $(PYTHON) tests/fuzz/run.py "$(OUT)/fuzz/$(HOST)/release" "$(OUT)/fuzz/findings"

envoy: ## sees that there is an Envoy, and downloads one into .envoy/ where there is none
ifeq ($(FOUND),)
	@test -x "$(FETCHED)" || echo 'No Envoy here: downloading the one that envoy/requirements.txt pins (40 MB)'
	@$(PYTHON) envoy/fetch.py
endif

dist: filter ## dist/release: what a release is made of, the same bytes from the same tools, wherever it is built; TARGET for another platform
	@test -d "$$(rustc --print target-libdir --target $(TARGET))" || rustup target add $(TARGET)
	$(compiler) cargo build --release --locked --bin claimgate --target $(TARGET) $(call anonymous,$(TARGET)) $(linker)
	$(PYTHON) release/package.py --wasm dist/claimgate.wasm --binary $(OUT)/$(TARGET)/release/claimgate --target $(TARGET) --out dist/release

reproduce: $(if $(ONLY),$(ONLY),dist) ## builds the release once more, in another folder, and compares; ONLY=filter leaves out the command line
	$(PYTHON) tests/dist/reproduce.py $(ONLY)

clean: ## removes target/, dist/, .envoy/, .prometheus/ and .chromium/
	rm -rf target dist .envoy .prometheus .chromium

# What the benchmark counts and loads with. Envoy has to be a binary there: valgrind does not follow func-e.
measurers:
	@for tool in valgrind wrk; do command -v $$tool >/dev/null 2>&1 || { \
	  echo "make: $$tool is missing: apt-get install $$tool (or your system's package of that name)" >&2; exit 1; }; done

# Asks rustup to install only where something is missing, so that a second run is quick and works without a network.
toolchain:
	@with= ; if command -v rustup >/dev/null 2>&1; then with='rustup run $(call pinned,channel)'; fi; \
	{ $$with cargo fmt --version && $$with cargo clippy --version \
	  && test -d "$$($$with rustc --print target-libdir --target $(call pinned,targets))"; } >/dev/null 2>&1 && exit 0; \
	if test -z "$$with"; then \
	  echo 'make: Rust with the target $(call pinned,targets) is missing: install rustup from https://rustup.rs and open a new shell' >&2; exit 1; \
	fi; \
	echo 'Installing Rust $(call pinned,channel), as rust-toolchain.toml asks'; \
	rustup toolchain install $(call pinned,channel) --no-self-update --profile $(call pinned,profile) \
	  --component $(call pinned,components) --target $(call pinned,targets)
