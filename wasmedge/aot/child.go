package aot

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Exit codes of [ChildMain].
const (
	exitDone   = 0
	exitFailed = 1 // the result event says why
	exitUsage  = 2 // not started by a daemon
)

// maxErrorLines bounds what is kept of the engine's words on a broken module.
const maxErrorLines = 12

// ChildMain is the main of the hidden command that a [Cache] starts. It reads what to do from stdin, puts itself under
// the limits given there, compiles, writes the shared object where it is told, reports on stdout and returns the exit
// code. It takes the process over (limits, priority, signals, descriptors, and descriptor 1 when stdout is
// os.Stdout), so the caller must do nothing but exit with the code. Its only argument, "--child", may be left
// out. The daemon starts it with
// a parent-death signal, so it never outlives the daemon.
func ChildMain(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) != 0 && !slices.Equal(args, []string{"--child"}) {
		_, _ = fmt.Fprintf(stderr, "compile: unexpected argument %q; this command is the daemon's own\n", args[0])
		return exitUsage
	}
	input := bufio.NewReader(stdin)
	h, err := readHeader(input)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "compile: %v; this command is the daemon's own and reads its orders from standard input\n", err)
		return exitUsage
	}
	c := &child{header: h}
	if err := c.takeOutput(stdout); err != nil {
		_, _ = fmt.Fprintf(stderr, "compile: %v\n", err)
		return exitFailed
	}
	result := c.run(input)
	c.finish(result)
	if !result.Done {
		return exitFailed
	}
	return exitDone
}

// child is the state of one compilation in its own process.
type child struct {
	header header

	logEnd  *os.File      // our descriptor 1's writing end of the pipe that takes the engine's log; nil when not taken
	logDone chan struct{} // closed by the reader of that pipe at its end; nil when not taken

	mu     sync.Mutex
	out    io.Writer // guarded by mu; the daemon's pipe
	errors []string  // guarded by mu; the engine's words on what went wrong
}

// takeOutput keeps the daemon's pipe to itself and puts another pipe in the place of descriptor 1, because that is
// where the engine logs. Only the process's real standard output is treated so.
func (c *child) takeOutput(stdout io.Writer) error {
	c.out = stdout
	if file, ok := stdout.(*os.File); !ok || file != os.Stdout {
		return nil
	}
	kept, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return fmt.Errorf("keep the standard output: %w", err)
	}
	c.out = os.NewFile(uintptr(kept), "events")
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe for the engine's log: %w", err)
	}
	if err := unix.Dup2(int(writer.Fd()), 1); err != nil {
		return fmt.Errorf("redirect the engine's log: %w", err)
	}
	c.logEnd, c.logDone = writer, make(chan struct{})
	go c.followLog(reader)
	return nil
}

// followLog turns the engine's log into stages and keeps its error lines. It ends when descriptor 1 is closed.
func (c *child) followLog(log io.Reader) {
	defer close(c.logDone)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		level, text := parseEngineLine(lines.Text())
		if stage := engineStages[text]; stage != "" {
			c.send(event{Stage: stage})
		}
		if level == "error" {
			c.keepError(text)
		}
	}
	_, _ = io.Copy(io.Discard, log) // after a line too long to scan: the engine must never wait for us
}

func (c *child) keepError(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.errors) < maxErrorLines {
		c.errors = append(c.errors, text)
	}
}

// send writes one event line. An error is dropped: the only reader is the daemon, and without it we are about to die.
func (c *child) send(e event) {
	line, err := json.Marshal(e)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.out.Write(append(line, '\n'))
}

// finish sends the result after everything that the engine logged before it.
func (c *child) finish(result event) {
	if c.logDone != nil && (result.Done || result.Reason == ReasonInvalid) {
		_ = c.logEnd.Close()
		if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
			_ = unix.Dup2(int(null.Fd()), 1) // the pipe's last writing end goes, so its reader ends
			<-c.logDone
		}
	}
	c.mu.Lock()
	if result.Reason == ReasonInvalid && len(c.errors) > 0 {
		result.Detail = strings.Join(c.errors, "; ")
	}
	c.mu.Unlock()
	c.send(result)
}

// run applies the limits, reads the module and compiles it, and returns early when a limit signals.
func (c *child) run(input io.Reader) event {
	limits := make(chan os.Signal, 2) // two signals are relayed; one of each is enough
	signal.Notify(limits, unix.SIGXCPU, unix.SIGXFSZ)
	defer signal.Stop(limits)
	if engine := engineVersion(); engine != c.header.Engine {
		return event{Reason: ReasonLibrary, Detail: fmt.Sprintf("libwasmedge is now %q, the daemon runs with %q", engine, c.header.Engine)}
	}
	if err := confine(c.header); err != nil {
		return event{Reason: ReasonStart, Detail: err.Error()}
	}
	module := make([]byte, c.header.Size)
	if _, err := io.ReadFull(input, module); err != nil {
		return event{Reason: ReasonStart, Detail: fmt.Sprintf("read the module: %v", err)}
	}
	done := make(chan event, 1) // the compiler may end after we have given up on it
	go func() { done <- c.compile(module) }()
	select {
	case result := <-done:
		return result
	case sig := <-limits:
		if sig == unix.SIGXCPU {
			return event{Reason: ReasonCPU, Detail: fmt.Sprintf("used %d s of CPU time", c.header.CPUSeconds)}
		}
		return event{Reason: ReasonOutput, Detail: fmt.Sprintf("wrote %d bytes", c.header.OutputBytes)}
	}
}

// compile runs the engine on a thread of its own priority.
func (c *child) compile(module []byte) event {
	runtime.LockOSThread() // for good: the priority belongs to the thread, and the process ends after it
	if err := lowerPriority(c.header.Idle); err != nil {
		return event{Reason: ReasonStart, Detail: err.Error()}
	}
	level, err := parseLevel(c.header.Level)
	if err != nil {
		return event{Reason: ReasonStart, Detail: err.Error()}
	}
	err = compileModule(module, level, c.header.Out, func(stage string) { c.send(event{Stage: stage}) })
	switch {
	case errors.Is(err, ErrInvalid):
		return event{Reason: ReasonInvalid, Detail: err.Error()}
	case errors.Is(err, ErrMemory):
		return event{Reason: ReasonMemory, Detail: err.Error()}
	case err != nil:
		return event{Reason: ReasonCrash, Detail: strings.Join(append([]string{err.Error()}, c.logged()...), "; ")}
	}
	if _, err := os.Stat(c.header.Out); err != nil {
		return event{Reason: ReasonCrash, Detail: fmt.Sprintf("the compiler wrote no %s", filepath.Base(c.header.Out))}
	}
	return event{Done: true}
}

func (c *child) logged() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.errors...)
}
