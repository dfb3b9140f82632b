package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// footprint is what a process holds.
type footprint struct{ threads, files, residentKiB int }

// footprint reads what the daemon's process holds now.
func (d *daemon) footprint(t *testing.T) footprint {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(d.command.Process.Pid))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	f := footprint{files: len(files)}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		number, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "Threads":
			f.threads = number
		case "VmRSS":
			f.residentKiB = number
		}
	}
	return f
}

// compilers returns an error unless the daemon has at least one child process, or none when want is 0. Its only children
// are compilers.
func compilers(d *daemon, want int) error {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	parent, found := strconv.Itoa(d.command.Process.Pid), 0
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// After the name in parentheses: state, parent.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == parent {
			found++
		}
	}
	if want == 0 && found > 0 || want > 0 && found == 0 {
		return fmt.Errorf("%d compilers run", found)
	}
	return nil
}
