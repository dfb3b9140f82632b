#!/bin/bash
# Runs every fuzz target of the module for a while, one after another, and stops at the first that finds something.
#
#   scripts/fuzz.sh [DURATION]    standard 20s a target
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:-20s}
git grep --untracked -oE '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | while IFS=: read -r file function; do
	target=${function#func }
	package=./$(dirname "$file")
	printf 'fuzz: %s %s for %s\n' "$package" "$target" "$duration"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "$package"
done
