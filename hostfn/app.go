package hostfn

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGrant is returned by [NewApp] for a grant that cannot be honoured; the text says which and why.
var ErrGrant = errors.New("cannot grant")

// Dir grants a directory of this machine to the guest.
type Dir struct {
	Guest    string // what the guest calls it: an absolute path, "/" or "/data"
	Host     string // the directory here; it must exist
	ReadOnly bool   // true: every attempt to change something below it is refused with erofs
}

// Level is the weight of a log line.
type Level uint8

// The levels, with the numbers that guests use.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

// LogLine is one line that a guest logged.
type LogLine struct {
	Time          time.Time
	App, Function string
	Invocation    uint64 // its number when the Request has a method ID() uint64, else 0
	Level         Level
	Stream        string // "log" (the log function) or "stderr"
	Text          string // valid UTF-8, without the line's end
}

// LogSink takes the lines that guests log. It is called from many goroutines at once and must not block for long: the
// guest waits.
type LogSink interface{ Log(line LogLine) }

// Limits bound what one invocation may use. A zero field stands for its default.
type Limits struct {
	OutputBytes  int // the whole response body; default 32 MiB
	StreamBytes  int // what of it is kept before parts are handed on, when there is who takes them; default 64 KiB
	Headers      int // response header fields; default 100
	HeaderBytes  int // response header fields, names and values together; default 64 KiB
	LogBytes     int // all log lines; default 1 MiB, then one line says that the rest is left out
	LogLineBytes int // one log line, longer ones are broken; default 16 KiB
	ErrorBytes   int // text given to error, the rest is cut; default 8 KiB
	OpenFiles    int // descriptors besides stdin, stdout, stderr and the granted directories; default 64
	Scans        int // kv_scan cursors in use; the least recently used is given up; default 16
	BatchOps     int // operations in one kv_batch; default 1,024
	BatchBytes   int // one packed kv_batch; default 32 MiB
}

// withDefaults returns the limits with every zero field replaced.
func (l Limits) withDefaults() Limits {
	for _, field := range []struct {
		at       *int
		standard int
	}{
		{&l.OutputBytes, 32 << 20},
		{&l.StreamBytes, 64 << 10},
		{&l.Headers, 100},
		{&l.HeaderBytes, 64 << 10},
		{&l.LogBytes, 1 << 20},
		{&l.LogLineBytes, 16 << 10},
		{&l.ErrorBytes, 8 << 10},
		{&l.OpenFiles, 64},
		{&l.Scans, 16},
		{&l.BatchOps, 1024},
		{&l.BatchBytes, 32 << 20},
	} {
		if *field.at <= 0 {
			*field.at = field.standard
		}
	}
	return l
}

// AppOptions say what an app may use. Only Name is required; what is left out is not granted.
type AppOptions struct {
	Name    string
	ABI     ABI
	Space   Space             // nil: no key-value store, every kv function answers Denied
	SpaceOf func(any) Space   // Space as it may be used for this Request.Origin, or by who WriteAs names, or by a start-up: nil; a nil func: as it is
	Calls   Invoker           // nil: every function that starts others answers Denied
	Config  map[string]string // what config_get answers
	Secrets map[string]string // what secret_get answers
	Dirs    []Dir
	Limits  Limits
	Log     LogSink // nil: lines are dropped
	// Args and Environ are what a module that is not spoken to in CGI gets as its arguments, after its name, and as its
	// environment, NAME=value each.
	Args, Environ []string
	Node          string // this node's name
	Software      string // SERVER_SOFTWARE of a command; default "edged"
}

// App is what all invocations of one app share. Any goroutine may use it; nothing of it changes but the copies of state that
// guests of Faasm make.
type App struct {
	AppOptions
	grants []*grant
	states states
}

// grant is a granted directory, opened once. root finds what is below it; file is the same directory for calls on a
// descriptor.
type grant struct {
	Dir
	root *os.Root
	file *os.File
	fd   int // of file
}

// NewApp opens the granted directories. The maps and slices of options are kept and must not change any more.
// It returns [ErrGrant] when a directory cannot be granted. Close the app when no invocation uses it any more.
func NewApp(options AppOptions) (*App, error) {
	options.Limits = options.Limits.withDefaults()
	if options.Software == "" {
		options.Software = "edged"
	}
	app := &App{AppOptions: options}
	for _, dir := range options.Dirs {
		g, err := openGrant(dir)
		if err != nil {
			return nil, errors.Join(err, app.Close())
		}
		app.grants = append(app.grants, g)
	}
	return app, nil
}

func openGrant(dir Dir) (*grant, error) {
	if !strings.HasPrefix(dir.Guest, "/") || path.Clean(dir.Guest) != dir.Guest || strings.ContainsRune(dir.Guest, 0) {
		return nil, fmt.Errorf("%w directory %q: the guest's name for it must be a clean absolute path", ErrGrant, dir.Guest)
	}
	root, err := os.OpenRoot(dir.Host)
	if err != nil {
		return nil, fmt.Errorf("%w directory %q: %w", ErrGrant, dir.Guest, err)
	}
	file, err := root.OpenFile(".", unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w directory %q: %w", ErrGrant, dir.Guest, err), root.Close())
	}
	return &grant{Dir: dir, root: root, file: file, fd: int(file.Fd())}, nil
}

// Close closes the granted directories. No invocation of the app may be running. Closing twice is no error.
func (a *App) Close() error {
	var errs []error
	for _, g := range a.grants {
		errs = append(errs, g.file.Close(), g.root.Close())
	}
	a.grants = nil
	return errors.Join(errs...)
}
