package aot

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ChildLimits bound one compilation. A zero field means its default.
type ChildLimits struct {
	// MemoryBytes is what the child may allocate; default 4 GiB. A stock Go program takes 0.5 GB.
	MemoryBytes int64
	// CPU is the CPU time it may use, counted in whole seconds; default 10 minutes.
	CPU time.Duration
	// Wall is how long a compilation behind the scenes may take; default 15 minutes.
	Wall time.Duration
	// FirstWall is how long a compilation that a deploy waits for may take, each of at most two tries; default 2 minutes.
	FirstWall time.Duration
	// OutputBytes is the largest file it may write; default 1 GiB.
	OutputBytes int64
}

// Options say how a [Cache] works. Dir is needed; the zero value of all else is a good choice.
type Options struct {
	// Dir is the artifact directory. It is made when it is missing, mode 0700; it must not be on a noexec file system.
	Dir string
	// Self is what starts the child process, a program and its arguments; default /proc/self/exe compile --child.
	Self []string
	// Env is added to the child's environment, which has nothing of the daemon's. LD_LIBRARY_PATH may belong here.
	Env []string
	// Limits bound each child.
	Limits ChildLimits
	// Parallel is how many compilations that somebody waits for run at once; default 1. One behind the scenes may run
	// beside them.
	Parallel int
	// LargeBytes is the size above which code is compiled at O0 first; default [DefaultLargeBytes].
	LargeBytes int
	// Best is the level of final artifacts; default O3. With O0 nothing is compiled twice.
	Best Level
	// Logger takes what happens behind the scenes; default none.
	Logger *slog.Logger
}

// The defaults of [Options] and [ChildLimits].
const (
	// DefaultLargeBytes is the size of code that takes some 3 s at O3 on one core of a server, and four times that on a
	// small box; O0 takes a tenth. Measured CPU time at O0 and O3: 150 KB of code from C, 0.5 and 7.3 s; 311 KB, 0.7 and
	// 8.2 s; a stock Go program (1.6 MB), 2.8 and 53 s.
	DefaultLargeBytes = 64 << 10

	defaultMemoryBytes = 4 << 30
	defaultOutputBytes = 1 << 30
	defaultCPU         = 10 * time.Minute
	defaultWall        = 15 * time.Minute
	defaultFirstWall   = 2 * time.Minute
)

// withDefaults returns the options with every zero field filled in, and an error naming each that makes no sense.
func (o Options) withDefaults() (Options, error) {
	o.Limits = o.Limits.withDefaults()
	if len(o.Self) == 0 {
		o.Self = []string{"/proc/self/exe", "compile", "--child"}
	}
	if o.Parallel == 0 {
		o.Parallel = 1
	}
	if o.LargeBytes == 0 {
		o.LargeBytes = DefaultLargeBytes
	}
	if o.Best == levelDefault {
		o.Best = O3
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, o.check()
}

func (o Options) check() error {
	var problems []error
	if o.Dir == "" {
		problems = append(problems, errors.New("no artifact directory given"))
	}
	if o.Parallel < 0 {
		problems = append(problems, fmt.Errorf("%d compilations at once", o.Parallel))
	}
	if o.LargeBytes < 0 {
		problems = append(problems, fmt.Errorf("code of %d bytes counts as large", o.LargeBytes))
	}
	if _, err := parseLevel(o.Best.String()); err != nil {
		problems = append(problems, err)
	}
	l := o.Limits
	if l.MemoryBytes < 0 || l.OutputBytes < 0 || l.CPU < 0 || l.Wall < 0 || l.FirstWall < 0 {
		problems = append(problems, errors.New("a compiler limit is negative"))
	}
	return errors.Join(problems...)
}

func (l ChildLimits) withDefaults() ChildLimits {
	if l.MemoryBytes == 0 {
		l.MemoryBytes = defaultMemoryBytes
	}
	if l.OutputBytes == 0 {
		l.OutputBytes = defaultOutputBytes
	}
	if l.CPU == 0 {
		l.CPU = defaultCPU
	}
	if l.Wall == 0 {
		l.Wall = defaultWall
	}
	if l.FirstWall == 0 {
		l.FirstWall = defaultFirstWall
	}
	return l
}

// String returns the limits that decide whether a lasting failure would come again; it is kept beside the failure.
func (l ChildLimits) String() string {
	return fmt.Sprintf("memory=%d cpu=%v output=%d", l.MemoryBytes, l.CPU, l.OutputBytes)
}
