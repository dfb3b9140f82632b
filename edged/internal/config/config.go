// Package config is the daemon's configuration: its types, its defaults, and the one place that reads the environment.
//
// A value comes from a flag, else from an environment variable, else from the file, else from [Default]; where each came
// from is kept, so that edged doctor can say it. Reading is strict and reports every problem at once.
package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/edged/internal/strictyaml"
)

// Log formats.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// Config is everything about the daemon that can be chosen. Get one from [Load], or from [Default] and change it; it is
// plain data.
type Config struct {
	Data     string   `yaml:"data"`  // folder of everything that is kept; absolute
	HTTP     string   `yaml:"http"`  // host:port of the data port; port 0 takes a free one
	UDS      string   `yaml:"uds"`   // path of the data socket; absolute
	Admin    string   `yaml:"admin"` // path of the management socket; absolute
	Cores    int      `yaml:"cores"` // cores that run guests, 1 to the machine's
	Log      Log      `yaml:"log"`
	Limits   Limits   `yaml:"limits"`
	Timeouts Timeouts `yaml:"timeouts"`
	Compile  Compile  `yaml:"compile"`
	// Scheduler says which invocation runs next on a core.
	Scheduler Scheduler `yaml:"scheduler"`
}

// Policies and ways to preempt of [Scheduler].
const (
	PolicyEDF  = "edf"  // earliest deadline first
	PolicyFIFO = "fifo" // first come, first served
	PolicySJF  = "sjf"  // shortest expected run time first

	PreemptArrival = "arrival" // as soon as something more urgent arrives, and at the end of a time slice
	PreemptTimer   = "timer"   // at the end of a time slice only
	PreemptOff     = "off"     // never: each invocation keeps its core to its end
)

// Scheduler says which invocation runs next on a core, and when a running one has to make room. Other values than the
// defaults are for comparison.
type Scheduler struct {
	Policy  string        `yaml:"policy"`
	Preempt string        `yaml:"preempt"`
	Slice   time.Duration `yaml:"slice"` // how long an invocation keeps its core while others of its class wait
}

// Log says what the daemon writes to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // FormatText or FormatJSON
}

// SlogLevel returns the level for slog; one that is not valid counts as info.
func (l Log) SlogLevel() slog.Level {
	switch l.Level {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// Limits bound what clients can make the daemon hold.
type Limits struct {
	Body        strictyaml.Size `yaml:"body"`        // of a request; 413 above
	Headers     strictyaml.Size `yaml:"headers"`     // of a request, all together with the request line; 431 above
	Connections int             `yaml:"connections"` // on each data socket; further ones are closed
	Queue       int             `yaml:"queue"`       // invocations waiting for one core; 429 above
	Memories    int             `yaml:"memories"`    // live linear memories; each reserves 12 GiB of address space
	Memory      strictyaml.Size `yaml:"memory"`      // of all linear memories together, as far as guests have used them
}

// Timeouts bound how long things take.
type Timeouts struct {
	Drain  time.Duration `yaml:"drain"`   // from SIGTERM until requests in flight are given up
	App    time.Duration `yaml:"app"`     // of an app whose manifest says nothing
	AppMax time.Duration `yaml:"app_max"` // the longest that a manifest may ask for
	// Results is for how long the answer of an asynchronous call is kept.
	Results time.Duration `yaml:"results"`
}

// Compile bounds one run of the compiler, which is a process of its own.
type Compile struct {
	Memory strictyaml.Size `yaml:"memory"`
	CPU    time.Duration   `yaml:"cpu"`  // processor time
	Wall   time.Duration   `yaml:"wall"` // time on the clock
}

// maxMemories is what fits in 47 bits of address space at 12 GiB each, less a tenth for everything else (10,921 were
// counted on amd64).
const maxMemories = 9800

// Default returns the configuration of a daemon that was told nothing. Root's files are in the system's folders,
// another user's in those of the XDG base directory specification.
func Default() *Config { return defaults(os.Geteuid(), os.Getenv) }

func defaults(uid int, getenv func(string) string) *Config {
	run, data := "/run/edged", "/var/lib/edged"
	if uid != 0 {
		run, data = runDir(uid, getenv), stateDir(getenv)
	}
	return &Config{
		Data:  data,
		HTTP:  "127.0.0.1:8080",
		UDS:   filepath.Join(run, "edged.sock"),
		Admin: filepath.Join(run, "admin.sock"),
		Cores: runtime.NumCPU(),
		Log:   Log{Level: "info", Format: FormatText},
		Limits: Limits{
			Body: 16 * strictyaml.MiB, Headers: 32 * strictyaml.KiB,
			Connections: 16384, // 10,000 idle clients and room to spare
			Queue:       4096,  // at 1 ms each the last one waits 4 s, just below the default timeout
			Memories:    4096,
			Memory:      halfOfMachine(),
		},
		Timeouts: Timeouts{Drain: 20 * time.Second, App: 5 * time.Second, AppMax: 5 * time.Minute, Results: 24 * time.Hour},
		// A 3 MB module took 3.3 GB at its worst optimisation level; the daemon falls back to a cheaper one below that.
		Compile:   Compile{Memory: 2 * strictyaml.GiB, CPU: 10 * time.Minute, Wall: 15 * time.Minute},
		Scheduler: Scheduler{Policy: PolicyEDF, Preempt: PreemptArrival, Slice: time.Millisecond},
	}
}

// halfOfMachine returns half of the machine's memory: the other half is for the daemon, the page cache that the key-value
// store lives on, and everything else on the box.
func halfOfMachine() strictyaml.Size {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return strictyaml.GiB // sysinfo(2) fails for a bad address only
	}
	return strictyaml.Size(uint64(info.Totalram)*uint64(info.Unit)/2) / strictyaml.MiB * strictyaml.MiB //nolint:unconvert // 32 bits on some machines
}

// runDir returns where a user's sockets are: XDG_RUNTIME_DIR, or what it is by convention.
func runDir(uid int, getenv func(string) string) string {
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "edged")
	}
	return filepath.Join("/run/user", strconv.Itoa(uid), "edged")
}

// stateDir returns where a user's data is: XDG_STATE_HOME, or what it is by convention; /var/lib without a home.
func stateDir(getenv func(string) string) string {
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "edged")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "edged")
	}
	return "/var/lib/edged"
}

// AdminPath returns where a client finds the daemon: flag when it is not empty, else EDGED_ADMIN, else the standard path.
// It reads no file, so that clients need no right to.
func AdminPath(flag string) string {
	return adminPath(flag, os.Geteuid(), os.Getenv)
}

func adminPath(flag string, uid int, getenv func(string) string) string {
	if flag != "" {
		return flag
	}
	if path := getenv("EDGED_ADMIN"); path != "" {
		return path
	}
	return defaults(uid, getenv).Admin
}
