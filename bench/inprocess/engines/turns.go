package engines

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/wasmedge"
)

// stopping is how running guests are stopped.
type stopping int

const (
	never    stopping = iota // each runs to its end, then the next one begins
	inTurns                  // every slice the one that runs is parked and the one that has waited longest goes on
	byItself                 // every slice the one that runs is parked, and goes on itself: all of the mechanism, no other guest
	bySignal                 // every slice the one that runs is stopped and sent on from another core: no thread takes over between
)

// turns runs guests on one core the way a worker's run queue does: each guest on a thread of its own, one of them running;
// when that is parked, a spare thread is woken, which lets the next one go on.
type turns struct {
	cpu   int // of the guests and the spare thread
	clock int // CPU of the thread that counts the slices
	spare *wasmedge.Thread

	mu       sync.Mutex
	waiting  []*player     // guarded by mu; first the one that has waited longest
	running  *player       // guarded by mu; nil: none
	asked    bool          // guarded by mu; the running one has been asked to park
	how      stopping      // guarded by mu
	left     int           // guarded by mu; players that have not finished
	finished chan struct{} // one message a run, when the last player has finished

	switches atomic.Int64 // how often a guest was stopped and went on
	clockCPU atomic.Int64 // CPU time of the threads that counted slices, in nanoseconds
}

// player is one guest with its thread.
type player struct {
	turns    *turns
	thread   *wasmedge.Thread
	instance *wasmedge.Instance
	work     func(p *player) error
	err      error // of the work; read after the run
	parked   bool  // guarded by turns.mu: it goes on by Resume and not by Wake
}

// newTurns starts the threads of n players, each with an instance of the guest, which last as long as the process.
func newTurns(e *edged, n int, cpus []int) (*turns, []*player, error) {
	t := &turns{cpu: cpus[len(cpus)-1], clock: cpus[0], finished: make(chan struct{}, 1)}
	players := make([]*player, n)
	for i := range players {
		p := &player{turns: t}
		if err := start(e, func(thread *wasmedge.Thread) (err error) {
			p.thread = thread
			if err := thread.Pin(t.cpu); err != nil {
				return err
			}
			p.instance, err = thread.Instantiate(e.module)
			return err
		}, p.loop); err != nil {
			return nil, nil, err
		}
		players[i] = p
	}
	err := start(e, func(thread *wasmedge.Thread) error {
		t.spare = thread
		return thread.Pin(t.cpu)
	}, t.takeOver)
	return t, players, err
}

// start starts a guest thread, waits until prepare has run on it, and lets it go on with loop.
func start(e *edged, prepare func(*wasmedge.Thread) error, loop func()) error {
	ready := make(chan error, 1)
	if err := e.engine.Go(func(thread *wasmedge.Thread) {
		err := prepare(thread)
		ready <- err
		if err == nil {
			loop()
		}
	}); err != nil {
		return err
	}
	return <-ready
}

// run lets every player do the work once, all on one core, and returns when all have.
func (t *turns) run(players []*player, how stopping, slice time.Duration, work func(p *player) error) error {
	t.mu.Lock()
	t.how, t.left, t.asked = how, len(players), false
	t.waiting = append(t.waiting[:0], players...)
	for _, p := range players {
		p.work, p.err, p.parked = work, nil, false
	}
	t.next()
	t.mu.Unlock()
	stopped := t.startClock(how, slice)
	<-t.finished
	close(stopped.ask)
	<-stopped.done
	for _, p := range players {
		if p.err != nil {
			return p.err
		}
	}
	return nil
}

// next lets the player go on that has waited longest. Called with mu held while none is running.
func (t *turns) next() {
	t.running, t.asked = nil, false
	if len(t.waiting) == 0 {
		return
	}
	p := t.waiting[0]
	t.waiting = append(t.waiting[:0], t.waiting[1:]...)
	t.running = p
	if p.parked {
		p.parked = false
		p.thread.Resume()
		return
	}
	p.thread.Wake()
}

// loop is the life of a player's thread.
func (p *player) loop() {
	for {
		p.thread.Wait()
		p.err = p.work(p)
		p.turns.done(p)
	}
}

// done ends a player's work; its thread calls it.
func (t *turns) done(p *player) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.thread.CancelPark() // a request that came when the guest had ended: the core goes on with the next anyway
	t.left--
	t.next()
	if t.left == 0 {
		t.finished <- struct{}{}
	}
}

// takeOver is the life of the spare thread: it runs whenever a guest has been parked, until the next one goes on.
func (t *turns) takeOver() {
	for {
		t.spare.Wait()
		t.mu.Lock()
		p := t.running
		p.parked = true
		t.waiting = append(t.waiting, p)
		t.switches.Add(1)
		t.next()
		t.mu.Unlock()
	}
}

// tick ends a slice.
func (t *turns) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.running == nil:
	case t.asked:
		t.running.thread.PokePark()
	case t.how == bySignal:
		t.stopAndGo(t.running.thread)
	case t.how == byItself || len(t.waiting) > 0:
		t.asked = t.running.thread.Park(t.spare)
	}
}

// stopAndGo parks a guest and sends it on as soon as it has stopped. A guest that ends first takes the request back, for which
// it needs no lock that is held here; after a while without effect the request is left for the next tick.
func (t *turns) stopAndGo(thread *wasmedge.Thread) {
	parks := thread.Parks()
	if !thread.Park(nil) {
		thread.Resume() // a request of the tick before has taken effect since
		return
	}
	const patience = 200 * time.Microsecond
	for begun := time.Now(); time.Since(begun) < patience; {
		if thread.Parks() != parks {
			thread.Resume()
			t.switches.Add(1)
			return
		}
	}
	thread.Resume()
}

// stopper ends a clock: close ask, wait for done.
type stopper struct{ ask, done chan struct{} }

// startClock calls tick at the end of every slice, on a core of its own where there is one.
func (t *turns) startClock(how stopping, slice time.Duration) stopper {
	s := stopper{make(chan struct{}), make(chan struct{})}
	if how == never || slice <= 0 {
		close(s.done)
		return s
	}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its affinity
		var set unix.CPUSet
		set.Set(t.clock)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return
		}
		before := threadCPU()
		sleepUntil(s.ask, slice, t.tick)
		t.clockCPU.Add(threadCPU() - before)
	}()
	return s
}

// threadCPU returns the CPU time of the calling thread in nanoseconds.
func threadCPU() int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		return 0
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// sleepUntil calls tick every slice until end is closed. It sleeps to points in time, so that slices do not grow by the time
// that a tick takes.
func sleepUntil(end <-chan struct{}, slice time.Duration, tick func()) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	for point := now.Nano() + int64(slice); ; point += int64(slice) {
		at := unix.NsecToTimespec(point)
		// An early end by a signal makes one slice shorter, no more.
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil)
		select {
		case <-end:
			return
		default:
			tick()
		}
	}
}

// call calls an export without parameters on the player's own thread.
func (p *player) call(export string, result bool) (uint64, error) {
	typ := wasmedge.FuncType{}
	if result {
		typ.Results = []wasmedge.ValType{wasmedge.I64}
	}
	fn, err := p.instance.Func(export, typ)
	if err != nil {
		return 0, err
	}
	var stack [1]uint64
	if err := p.thread.Call(p.instance, fn, nil, stack[:]); err != nil {
		return 0, fmt.Errorf("call %s: %w", export, err)
	}
	return stack[0], nil
}
