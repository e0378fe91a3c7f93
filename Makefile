# `make help` lists what can be made. Nothing here is needed to build or to test: README's two commands call go itself.
SHELL := /bin/bash
BIN   := bin
GO    ?= go

.PHONY: help build test lint generate check-generated fuzz bench-live bench-replay bench-endpoints bench-detect clean

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/gnomon, static
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/gnomon ./cmd/gnomon

test: ## every test; as root the eBPF tests run too (GNOMON_TEST_STRICT=1 turns a skip for lack of something into a failure)
	$(GO) test -p 1 -timeout 40m ./...

lint: ## golangci-lint with .golangci.yml
	golangci-lint run ./...

generate: ## BPF objects and bindings (needs clang 14 or newer, llvm-strip and the libbpf headers)
	$(GO) generate ./bpf

check-generated: generate ## fails when what is committed is not what the sources generate
	git diff --exit-code -- bpf

bench-replay: ## calls/s and memory of replay beside tshark (python3, tshark, a quiet machine)
	$(GO) run ./agent/source/pcap/bench $(ARGS)

FUZZTIME ?= 10m
fuzz: ## every fuzz target for FUZZTIME each (default 10m)
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; \
	done

bench-live: build ## what the sensor costs a saturated nginx, beside no sensor (root, nginx, wrk, a quiet machine)
	$(GO) run ./deploy/bench/live -gnomon $(BIN)/gnomon $(ARGS)

BENCH_ENDPOINTS ?= ../shared/bench/endpoints
bench-endpoints: ## accuracy of learned templates at every density, beside typed segments alone (python3)
	python3 inventory/endpoint/bench/accuracy.py $(BENCH_ENDPOINTS)

BENCH_DETECT ?= ../shared/bench/detect
bench-detect: build ## precision, recall and delay of the detectors on made-up worlds (python3; BENCH_DETECT: where gen.py and score.py are)
	python3 collector/detect/bench/run.py --bench $(BENCH_DETECT) --gnomon $(BIN)/gnomon $(ARGS)

clean: ## what was built
	rm -rf $(BIN)
