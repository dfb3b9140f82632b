// Package lint holds the rules of this repository that a compiler does not check, as tests: go test ./internal/lint reads
// every file, and each message says what to do. The rules are one table (rules_test.go); each has a planted
// violation beside it that it must find (planted_test.go), so that no rule can fall silent unnoticed.
//
// An exception is an entry with its reason in the rule's own list, never a comment in the code that breaks it.
package lint
