package suite

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/bench/server"
)

// Options say how to measure.
type Options struct {
	Rounds   int           // how often all sides take turns
	Duration time.Duration // of one measurement where a workload compares servers; others take multiples
	Quick    bool          // shorter where a workload takes multiples, to see that all works; not for numbers to publish
	Edged    string        // binary to measure; empty builds the one of this checkout
	Bench    string        // folder of this module
	Results  string        // folder for CSV files; empty for none
	Markdown io.Writer     // gets the tables
	Progress io.Writer     // gets a line for each step, and warnings
}

// Lab has what all workloads share: binaries, guests, cores, a folder for the time being.
type Lab struct {
	options    Options
	dir        string
	edged      string
	serverCPUs []int
	loadCPU    int
	csv        *csv.Writer // of the workload that runs; nil until there is something to write
	sampled    bool        // csv has samples
	file       *os.File
	fleet      *server.Edged // see density
}

// warmup goes before every measurement.
const warmup = 300 * time.Millisecond

// NewLab makes the folder. Close removes it.
func NewLab(options Options) (*Lab, error) {
	dir, err := os.MkdirTemp("", "edged-bench-") // short: there will be Unix sockets in it
	if err != nil {
		return nil, err
	}
	l := &Lab{options: options, dir: dir}
	if l.serverCPUs, l.loadCPU, err = cores(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if l.loadCPU == l.serverCPUs[0] {
		l.say("one core only: server and generator share it, and the numbers say little")
	}
	return l, nil
}

// Close removes what the lab has made, except for results.
func (l *Lab) Close() error { return os.RemoveAll(l.dir) }

// cores gives the generator the last core and servers the first one.
func cores() (serverCPUs []int, load int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, 0, os.NewSyscallError("sched_getaffinity", err)
	}
	var all []int
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	return all[:1], all[len(all)-1], nil
}

// path names a file in the lab's folder.
func (l *Lab) path(parts ...string) string {
	return filepath.Join(append([]string{l.dir}, parts...)...)
}

// say tells what is done now.
func (l *Lab) say(text string, args ...any) {
	_, _ = fmt.Fprintf(l.options.Progress, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(text, args...))
}

// Build makes the binary of edged and the guests.
func (l *Lab) Build(ctx context.Context) error {
	for tool, remedy := range map[string]string{"clang": "scripts/install-guest-toolchain.sh installs it", "gcc": "Debian has it"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing; %s: %w", tool, remedy, err)
		}
	}
	l.edged = l.options.Edged
	if l.edged == "" {
		l.edged = l.path("edged")
		l.say("building edged")
		if err := l.run(ctx, filepath.Dir(l.options.Bench), nil, "go", "build", "-buildmode=pie", "-o", l.edged, "./edged"); err != nil {
			return err
		}
	}
	l.say("building guests")
	if err := os.CopyFS(l.path("basic"), os.DirFS(filepath.Join(l.options.Bench, "apps", "basic"))); err != nil {
		return err
	}
	if err := l.run(ctx, l.options.Bench, nil, "clang", "--target=wasm32-wasi", "-O2", "-msimd128", "-mexec-model=reactor", "-Wl,-s",
		"-I", "../sdk/c", "-o", l.path("basic", "basic.wasm"), "apps/basic/basic.c"); err != nil {
		return err
	}
	return l.run(ctx, l.options.Bench, nil, "gcc", "-O2", "-static", "-o", l.path("program"), "apps/program/program.c")
}

// peer returns the path of a server program, which it builds when that was not done yet.
func (l *Lab) peer(ctx context.Context, name string) (string, error) {
	path := l.path("peers", name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	l.say("building peer %s", name)
	return path, l.run(ctx, l.options.Bench, nil, "go", "build", "-o", path, "./peers/"+name)
}

// run runs a command that has to succeed.
func (l *Lab) run(ctx context.Context, dir string, env []string, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...) //nolint:gosec // the workloads say which
	command.Dir, command.Env = dir, append(command.Environ(), env...)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// Machine describes what was measured on, for the head of the tables.
func (l *Lab) Machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(text), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	var name unix.Utsname
	_ = unix.Uname(&name)
	load, _, _ := strings.Cut(readText("/proc/loadavg"), " ")
	return fmt.Sprintf("%s, %d cores, Linux %s, %s; servers on core %d, generator on core %d; %s, load average %s at the start",
		model, runtime.NumCPU(), unix.ByteSliceToString(name.Release[:]), runtime.Version(), l.serverCPUs[0], l.loadCPU,
		time.Now().Format(time.DateOnly), load)
}

func readText(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// long is a measurement's time where a workload watches for longer: seconds, or a second when it has to be quick.
func (l *Lab) long(seconds int) time.Duration {
	if l.options.Quick {
		return max(time.Second, time.Duration(seconds)*time.Second/10)
	}
	return time.Duration(seconds) * time.Second
}

// home makes a folder for a daemon with that configuration.
func (l *Lab) home(config string, cpus []int) (*server.Edged, error) {
	dir, err := os.MkdirTemp(l.dir, "e")
	if err != nil {
		return nil, err
	}
	return &server.Edged{Binary: l.edged, Config: config, CPUs: cpus, Dir: dir}, nil
}

// itoa is for tables.
func itoa[T int | int64 | uint64](n T) string { return strconv.FormatInt(int64(n), 10) }
