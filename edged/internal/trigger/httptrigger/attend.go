package httptrigger

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Who is at a loop. One thread at a time is: it waits for events, reads, parses, submits and writes. That may be the loop's own
// goroutine or, with Options.Tended, a worker whose core has nothing to run. Everything of the loop that is not atomic or
// under its mu belongs to who is at it.
const (
	keptByNobody int32 = iota // all workers are busy; one comes soon, or the bell rings
	keptByLoop
	keptByWorker
)

// Attendant is one event loop of a server as workers see it: they are at it while they have nothing else to do.
// See the scheduler's Loop, which it implements, for what its methods promise.
type Attendant struct {
	server *Server
	place  int
}

// Attendants returns the server's loops for the workers that attend to them. It may be called before Start; until then nobody can
// be at a loop.
func (s *Server) Attendants() []*Attendant {
	all := make([]*Attendant, s.opts.Loops)
	for i := range all {
		all[i] = &Attendant{server: s, place: i}
	}
	return all
}

// loop returns the loop; nil before Start.
func (a *Attendant) loop() *loop {
	if !a.server.begun.Load() {
		return nil
	}
	return a.server.loops[a.place]
}

// Enter makes the caller the one who is at the loop and reports whether it is.
func (a *Attendant) Enter() bool {
	l := a.loop()
	return l != nil && l.enterAs(keptByWorker)
}

// Tend serves the loop until stop returns true, and leaves it.
func (a *Attendant) Tend(stop func() bool) {
	l := a.loop()
	l.stop = stop
	for !stop() && !l.ended {
		if err := l.round(false); err != nil {
			l.fail(err)
		}
	}
	l.stop = nil
	l.leave()
}

// Rouse ends the wait of who is at the loop.
func (a *Attendant) Rouse() {
	if l := a.loop(); l != nil {
		l.rouse()
	}
}

// Awake reports whether somebody is at the loop and does not wait.
func (a *Attendant) Awake() bool {
	l := a.loop()
	return l != nil && l.keeper.Load() != keptByNobody && !l.asleep.Load()
}

// Attend writes the answers that are there, unless another thread is at the loop; with poll it looks for new requests too.
func (a *Attendant) Attend(poll bool) {
	l := a.loop()
	if l == nil || l.woken.Load() == nil || !l.enterAs(keptByWorker) {
		return
	}
	if poll {
		if err := l.round(true); err != nil {
			l.fail(err)
		}
	} else {
		l.now = time.Now()
		l.runWoken()
		l.handOver()
	}
	l.leave()
}

// Relieve calls the loop's own goroutine at once if nobody is at the loop.
func (a *Attendant) Relieve() {
	if l := a.loop(); l != nil && l.keeper.Load() == keptByNobody {
		l.bell.ring()
	}
}

// enterAs makes the caller the one who is at the loop, and reports whether it is.
func (l *loop) enterAs(keeper int32) bool { return l.keeper.CompareAndSwap(keptByNobody, keeper) }

// leave is what a worker does last.
func (l *loop) leave() {
	ended := l.ended
	l.keeper.Store(keptByNobody)
	if ended {
		l.bell.ring()
		return
	}
	l.bell.within(neglect) // after the loop has been left: see enter
}

// neglect is how long nobody may be at a loop while guests run. Its own goroutine takes over then, which costs two switches between
// threads, and what arrives while short functions follow each other waits for it at most that long.
const neglect = time.Millisecond

// enter is for the loop's own goroutine, before each round: it leaves the loop to workers while those will be at it by themselves, and
// comes back when nobody has been for too long. False: the loop has ended.
func (l *loop) enter() bool {
	if l.keeper.Load() == keptByLoop { // it has been at it
		tended := l.server.opts.Tended
		if l.ended || l.taken == 0 || tended == nil || !tended(l.place) {
			return !l.ended
		}
		l.keeper.Store(keptByNobody)
		l.bell.within(neglect)
		l.bell.wait()
	}
	// Who leaves the loop does so first and then sees to it that the bell will ring; here the bell has rung first and then the
	// keeper is looked at. So one of them notices the other.
	for !l.enterAs(keptByLoop) {
		if !l.asleep.Load() { // a worker is busy with it, and may have set the bell before it rang
			l.bell.within(neglect)
		}
		l.bell.wait()
	}
	return !l.ended
}

// bell wakes a goroutine that is bound to its thread, after a while: the thread itself sleeps, in a read of a timerfd. On a channel, Go
// would wake one thread to wake another, and for a timer that rings often its monitor would stay awake. Where the bell is set again
// and again before it rings, nobody is woken.
type bell struct {
	set atomic.Int64 // when it rings, in nanoseconds since born; 0: it is not set

	born time.Time
	mu   sync.RWMutex // held for writing to close: the number may be somebody else's then
	fd   int          // guarded by mu; -1 when closed
}

func openBell() (*bell, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &bell{fd: fd, born: time.Now()}, nil
}

// within has the bell ring after that time, at half of it at the earliest: setting it costs a system call, which is not made when
// it is set for that already. Any goroutine may call it; it does not block.
func (b *bell) within(after time.Duration) {
	now := int64(time.Since(b.born))
	if set := b.set.Load(); set >= now+int64(after/2) {
		return
	}
	b.set.Store(now + int64(after))
	b.start(after)
}

// ring has the bell ring at once.
func (b *bell) ring() { b.start(1) }

func (b *bell) start(after time.Duration) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.fd >= 0 {
		_ = unix.TimerfdSettime(b.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(after))}, nil) // fails for wrong arguments only
	}
}

// wait blocks the thread until the bell has rung since the last wait. Nobody may call close before it has returned.
func (b *bell) wait() {
	var expirations [8]byte
	for {
		if _, err := unix.Read(b.fd, expirations[:]); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	b.set.Store(0)
}

func (b *bell) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	closeFD(b.fd)
	b.fd = -1
}
