#!/bin/bash
# What must hold before a commit; every part runs, then the result is given. Used by `make check`, which pins the tools.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

failed=

# part runs a named check; its output is shown only when it fails.
part() {
	name=$1
	shift
	if output=$("$@" 2>&1); then
		printf 'ok    %s\n' "$name"
	else
		printf 'FAIL  %s\n%s\n' "$name" "$output"
		failed="$failed $name,"
	fi
}

go_files() { git ls-files --cached --others --exclude-standard '*.go'; }

formatted() {
	unformatted=$(go_files | xargs go run "$GOFUMPT" -l) || return 1
	[ -z "$unformatted" ] || { printf 'not formatted, run make fmt:\n%s\n' "$unformatted"; return 1; }
}

vetted() {
	go vet ./... && GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build ./sdk/... ./examples/...
}

# generated compares the working tree before and after the generators, so it needs no clean one.
generated() {
	before=$(git status --porcelain && git diff)
	go generate ./... || return 1
	after=$(git status --porcelain && git diff)
	[ "$before" = "$after" ] || { echo 'go generate changed files; commit them'; return 1; }
}

# benchmarks checks the module of the benchmarks; its short tests start no server that would have to be built.
benchmarks() {
	cd bench && go vet ./... && go run "$GOLANGCI_LINT" run ./... && go mod tidy -diff && go test -short ./...
}

part format formatted
part vet vetted
part lint go run "$GOLANGCI_LINT" run ./...
part tidy go mod tidy -diff
part generated generated
part benchmarks benchmarks
if command -v shellcheck > /dev/null; then
	part shellcheck shellcheck .ci/run scripts/*.sh
else
	echo 'skip  shellcheck (not installed; Debian has it)'
fi

[ -z "$failed" ] || { printf 'check: failed:%s\n' "${failed%,}"; exit 1; }
