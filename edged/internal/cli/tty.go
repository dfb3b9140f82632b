package cli

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Control sequences that every terminal in use understands (ECMA-48 and xterm's private modes).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // the alternate screen, no cursor, no wrapping
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	cursorHome  = "\x1b[H"
	clearRest   = "\x1b[K" // of the line
	clearBelow  = "\x1b[J"
)

// ttyPath is the terminal that the process was started from, wherever its standard streams go.
const ttyPath = "/dev/tty"

// tty is a terminal taken over: raw, and on its alternate screen until Close. Reading and the rest may happen on two
// goroutines.
type tty struct {
	file   *os.File
	before *term.State
	once   sync.Once
	closed error // what Close returned the first time
}

// openTTY takes the terminal at path over. The file is opened anew, so that its reads can be interrupted without changing
// how the shell's own descriptors behave.
func openTTY(path string) (*tty, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	t := &tty{file: file}
	if err := t.control(func(fd int) (err error) { t.before, err = term.MakeRaw(fd); return err }); err != nil {
		return nil, errors.Join(fmt.Errorf("switch the terminal to raw mode: %w", err), file.Close())
	}
	if _, err := t.Write([]byte(enterScreen)); err != nil {
		return nil, errors.Join(fmt.Errorf("write to the terminal: %w", err), t.Close())
	}
	return t, nil
}

// control calls f with the descriptor. File.Fd would make the file blocking, and reads uninterruptible.
func (t *tty) control(f func(fd int) error) error {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = f(int(fd)) })
	return errors.Join(err, failed)
}

// Read implements screen.
func (t *tty) Read(p []byte) (int, error) { return t.file.Read(p) }

// Write implements screen.
func (t *tty) Write(p []byte) (int, error) { return t.file.Write(p) }

// Size implements screen.
func (t *tty) Size() (width, height int, err error) {
	err = t.control(func(fd int) (err error) { width, height, err = term.GetSize(fd); return err })
	return width, height, err
}

// Interrupt implements screen. A terminal that cannot be waited on with a deadline does not exist on Linux.
func (t *tty) Interrupt() { _ = t.file.SetReadDeadline(time.Unix(1, 0)) }

// Close gives the terminal back as it was. It is idempotent.
func (t *tty) Close() error {
	t.once.Do(func() {
		_, writeErr := t.Write([]byte(leaveScreen))
		restoreErr := t.control(func(fd int) error { return term.Restore(fd, t.before) })
		t.closed = errors.Join(writeErr, restoreErr, t.file.Close())
	})
	return t.closed
}
