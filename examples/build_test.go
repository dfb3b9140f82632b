package examples_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// build compiles an example with the command its README gives and returns a directory that can be deployed.
func build(t *testing.T, name string) string {
	t.Helper()
	return compile(t, name, buildCommand(t, name))
}

// compile runs a build command in a folder and returns a directory with its output and the folder's manifest. The
// checkout stays clean: only the output is moved elsewhere.
func compile(t *testing.T, folder string, command []string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(folder)) // by which an app without another name is called
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	at := slices.Index(command, "-o")
	if at < 0 || at+1 == len(command) {
		t.Fatalf("the build line of %s has no -o", folder)
	}
	command[at+1] = filepath.Join(out, command[at+1])
	environment, command := splitEnvironment(command)
	if _, err := exec.LookPath(command[0]); err != nil {
		needToolchain(t)
	}
	tool := exec.CommandContext(t.Context(), command[0], command[1:]...)
	tool.Dir = folder
	tool.Env = append(os.Environ(), environment...)
	if text, err := tool.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, text)
	}
	copied := 0
	for _, name := range []string{"edged.yaml", "app.yml", "app.yaml"} {
		manifest, err := os.ReadFile(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		copied++
		if err := os.WriteFile(filepath.Join(out, name), manifest, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if copied != 1 {
		t.Fatalf("%s has %d manifests", folder, copied)
	}
	return out
}

// buildCommand reads the one line that builds an example from its README, so that what readers are told is what is
// tested. It is the first line of a code block that names the output.
func buildCommand(t *testing.T, name string) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(name, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(readme)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "$ ") && strings.Contains(line, " -o ") {
			return strings.Fields(strings.TrimPrefix(line, "$ "))
		}
	}
	t.Fatalf("%s/README.md has no build line", name)
	return nil
}

// splitEnvironment separates leading NAME=value words from the command.
func splitEnvironment(words []string) (environment, command []string) {
	for i, word := range words {
		if !strings.Contains(word, "=") {
			return words[:i], words[i:]
		}
	}
	return words, nil
}

// needToolchain ends the test when the guest toolchain is not installed, and fails it when the installer says it is.
func needToolchain(t *testing.T) {
	t.Helper()
	if exec.CommandContext(t.Context(), "../scripts/install-guest-toolchain.sh", "--check").Run() == nil {
		t.Fatal("scripts/install-guest-toolchain.sh --check says the toolchain is there, but its compiler is not found")
	}
	t.Skip("clang for wasm32-wasi is not installed; run scripts/install-guest-toolchain.sh")
}
