# Everything a developer does, by name; `make help` lists it. Tools are pinned here and fetched as Go modules.
GOFUMPT       := mvdan.cc/gofumpt@v0.9.2
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2

GO      ?= go
HTTP    ?= 127.0.0.1:8080
DATA    ?= data
RUN     ?= .
FUZZTIME ?= 20s
BENCHTIME ?= 1s

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

export CGO_ENABLED := 1

.DEFAULT_GOAL := help
.PHONY: help run build test check fmt race asan cgocheck fuzz bench arm64 engine toolchain clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## install what is missing, build, serve with the examples (HTTP=127.0.0.1:8080 DATA=data)
	@scripts/run.sh "$(HTTP)" "$(DATA)"

build: engine ## build bin/edged
	$(GO) build -buildmode=pie -ldflags '$(LDFLAGS)' -o bin/edged ./edged

test: engine toolchain ## install what is missing and run all tests (RUN=regexp for some)
	$(GO) test -timeout 20m -p 2 -run '$(RUN)' ./...

check: engine ## format, vet, lint, tidy, generated files, shell scripts: what must hold before a commit
	@GOFUMPT='$(GOFUMPT)' GOLANGCI_LINT='$(GOLANGCI_LINT)' scripts/check.sh

fmt: ## format all Go files
	$(GO) run $(GOFUMPT) -w $$(git ls-files --cached --others --exclude-standard '*.go')

race: engine toolchain ## run the tests under the race detector, without the examples
	$(GO) test -race -timeout 40m -p 2 -run '$(RUN)' $$($(GO) list ./... | grep -v /examples)

asan: engine toolchain ## run the engine's tests under the address sanitizer
	CC=gcc ASAN_OPTIONS=detect_leaks=0:handle_segv=0:allow_user_segv_handler=1 $(GO) test -asan -timeout 20m ./wasmedge ./wasmedge/preempt

cgocheck: engine toolchain ## run the engine's tests with every pointer that goes to C checked
	GOEXPERIMENT=cgocheck2 $(GO) test -timeout 20m ./wasmedge ./wasmedge/preempt

fuzz: engine ## run every fuzz target for FUZZTIME=20s
	@scripts/fuzz.sh '$(FUZZTIME)'

bench: engine ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem -benchtime '$(BENCHTIME)' ./...

arm64: ## cross-build for arm64 and run the engine's safety tests under qemu-user
	@scripts/arm64.sh

engine: # the library that edged links against
	@scripts/install-wasmedge.sh

toolchain: # compilers for WebAssembly, for tests with C, Rust and AssemblyScript guests
	@scripts/install-guest-toolchain.sh
	-@scripts/install-rust.sh
	-@scripts/install-assemblyscript.sh

clean: ## remove what was built and cached; data/ stays
	rm -rf bin .cache coverage.out
	find examples -name '*.wasm' -delete
