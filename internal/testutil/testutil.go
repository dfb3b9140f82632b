// Package testutil holds what the tests of several packages need: leak checks, probes for what a machine offers, and
// builders of guest modules. Only test files import it. The builders keep what they made in the folder named by
// EDGED_TEST_CACHE, else in "edged-test" below the user's cache folder, under a hash of everything that went in, so a
// guest is compiled once a machine and not once a test.
package testutil

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// requireEnv names the variable that turns every skip of [Require] into a failure. A machine that is meant to offer
// everything sets it to "all", so that a probe that wrongly says no is noticed.
const requireEnv = "EDGED_TEST_REQUIRE"

// cacheEnv names the variable with the folder of built guests.
const cacheEnv = "EDGED_TEST_CACHE"

// Require skips the test, naming what is missing, when probe returns an error; with EDGED_TEST_REQUIRE=all it fails the
// test instead. what is a noun phrase such as "a wasm32 C compiler".
func Require(tb testing.TB, what string, probe func() error) {
	tb.Helper()
	err := probe()
	if err == nil {
		return
	}
	if os.Getenv(requireEnv) == "all" { //nolint:forbidigo // tests have no configuration
		tb.Fatalf("this test needs %s, and %s=all demands that it runs: %v", what, requireEnv, err)
	}
	tb.Skipf("needs %s: %v", what, err)
}

// RequireRoot skips the test unless it runs as root.
func RequireRoot(tb testing.TB) {
	tb.Helper()
	Require(tb, "root", func() error {
		if id := os.Geteuid(); id != 0 {
			return fmt.Errorf("the effective user id is %d; run the tests with sudo", id)
		}
		return nil
	})
}

// RequireCommand skips the test unless a command of that name is on the PATH, and returns where it is.
func RequireCommand(tb testing.TB, name string) string {
	tb.Helper()
	var path string
	Require(tb, "the command "+name, func() error {
		found, err := exec.LookPath(name)
		path = found
		return err
	})
	return path
}

// Read returns the content of a file and fails the test when it cannot be read.
func Read(tb testing.TB, path string) []byte {
	tb.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// cacheDir returns the folder of built guests, made if need be.
func cacheDir() (string, error) {
	dir := os.Getenv(cacheEnv) //nolint:forbidigo // tests have no configuration
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a folder for built guests (set %s to one): %w", cacheEnv, err)
		}
		dir = filepath.Join(base, "edged-test")
	}
	// The go command needs an absolute output path, for it may run in another folder.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find a folder for built guests: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("make the folder for built guests (set %s to another): %w", cacheEnv, err)
	}
	return dir, nil
}
