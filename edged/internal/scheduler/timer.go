package scheduler

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/edged/internal/osthread"
)

// timer calls a function on a thread of its own. Go's timers run on whatever thread is there: on a core that a guest
// computes on, the kernel makes that one wait for milliseconds, just when the guest is to be interrupted; and each costs Go a
// goroutine and the search for more to do. But this one costs as well: whenever it has rung, Go's monitor finds a processor that
// its thread has taken along into a system call, and looks every 20 us for some milliseconds, a twentieth of the core when it rings
// that often. While all that runs is short, Go's timers are the better ones: see Scheduler.calmly.
type timer struct {
	fd     int // of timerfd_create(2)
	closed atomic.Bool
	ended  sync.WaitGroup
}

// newTimer starts the thread. Each time that set asks for, it calls tick once, and never twice at a time.
func newTimer(tick func()) (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make the timer of time slices: %w", err)
	}
	t := &timer{fd: fd}
	t.ended.Go(func() { t.run(tick) })
	return t, nil
}

func (t *timer) run(tick func()) {
	osthread.LockPrompt() // the thread ends with the timer
	var expirations [8]byte
	for !t.closed.Load() {
		if _, err := unix.Read(t.fd, expirations[:]); err != nil && !errors.Is(err, unix.EINTR) {
			return // cannot happen with a descriptor that is open
		} else if err == nil && !t.closed.Load() {
			tick()
		}
	}
}

// set has tick called after that time, which is above zero, and not when it was to be called before. It does not block.
func (t *timer) set(after time.Duration) {
	_ = unix.TimerfdSettime(t.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(after))}, nil) // fails for wrong arguments only
}

// close waits for a call of tick that is under way and ends the thread. No set may follow.
func (t *timer) close() {
	t.closed.Store(true)
	t.set(1)
	t.ended.Wait()
	_ = unix.Close(t.fd)
}
