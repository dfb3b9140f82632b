package crontrigger

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Reading is what the clocks show at one moment.
type Reading struct {
	Wall   time.Time
	Steady time.Duration // since some moment; it counts the time asleep, and nobody can set it
	Synced bool          // the kernel says that somebody keeps the wall clock right
}

// Clock is what timers know of time.
type Clock interface {
	// Now reads the clocks.
	Now() Reading
	// Set receives whenever the wall clock has been set, and when the machine has woken. Several may be one.
	Set() <-chan struct{}
	// Close lets go of what the clock holds.
	Close()
}

// machineClock is the machine's.
type machineClock struct {
	watch *os.File // a timer of the kernel that is cancelled when the wall clock is set; nil when there is none
	set   chan struct{}
	ended chan struct{}
	stop  chan struct{}
}

// openClock returns the machine's clock.
func openClock(logger *slog.Logger) *machineClock {
	c := &machineClock{set: make(chan struct{}, 1), ended: make(chan struct{}), stop: make(chan struct{})}
	watch, err := openWatch()
	if err != nil {
		logger.Warn("it is not noticed at once when the clock is set, but within a minute", "error", err)
		go c.poll()
		return c
	}
	c.watch = watch
	go c.wait()
	return c
}

// openWatch makes a timer that never expires, but whose reading ends when the clock is set (timerfd_create(2)).
func openWatch() (*os.File, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	if err := arm(fd); err != nil {
		_ = unix.Close(fd) // it was never used
		return nil, err
	}
	return os.NewFile(uintptr(fd), "clock"), nil
}

// arm sets the timer to a time that no clock shows, and has it cancelled when the clock is set.
func arm(fd int) error {
	far := unix.ItimerSpec{Value: unix.Timespec{Sec: 1 << 33}}
	return os.NewSyscallError("timerfd_settime", unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &far, nil))
}

// wait reports every time that the clock is set, until the watch is closed.
func (c *machineClock) wait() {
	defer close(c.ended)
	var expirations [8]byte
	for {
		_, err := c.watch.Read(expirations[:])
		if err != nil && !errors.Is(err, unix.ECANCELED) {
			return
		}
		c.report()
	}
}

// poll reports once a minute, where the kernel cannot.
func (c *machineClock) poll() {
	defer close(c.ended)
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
			c.report()
		}
	}
}

func (c *machineClock) report() {
	select {
	case c.set <- struct{}{}:
	default: // that is known already
	}
}

const (
	// togetherBy is how far apart two clocks may have been read to count as read at one moment.
	togetherBy = 2 * time.Millisecond
	// readings bounds how often that is tried, on a machine that has no time for us.
	readings = 10
)

// together reads two clocks at one moment, as well as it can: a thread may lose its core between the two, which must not look as if
// one of them had been set.
func together(steady func() time.Duration, wall func() time.Time) Reading {
	var best Reading
	least := never
	before := steady()
	for range readings {
		now := wall()
		after := steady()
		if gap := after - before; gap < least {
			least, best = gap, Reading{Wall: now, Steady: before + gap/2}
		}
		if least <= togetherBy {
			break
		}
		before = after
	}
	return best
}

// steadyTime reads the clock that nobody can set.
func steadyTime() time.Duration {
	var steady unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &steady); err != nil {
		return 0 // the kernel has had it since 2.6.39
	}
	return time.Duration(steady.Nano())
}

// Now implements Clock.
func (c *machineClock) Now() Reading {
	r := together(steadyTime, func() time.Time { return time.Now().Round(0) })
	var state unix.Timex
	if status, err := unix.Adjtimex(&state); err == nil {
		r.Synced = status != unix.TIME_ERROR
	}
	return r
}

// Set implements Clock.
func (c *machineClock) Set() <-chan struct{} { return c.set }

// Close implements Clock.
func (c *machineClock) Close() {
	close(c.stop)
	if c.watch != nil {
		_ = c.watch.Close() // it holds nothing
	}
	<-c.ended
}
