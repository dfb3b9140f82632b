//go:build cgo

package preempt_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edged.dev/edge/wasmedge/preempt/spin"
)

// stormCalls is how many calls the storm makes; EDGED_HAMMER_CALLS asks for another number.
func stormCalls(t *testing.T) int64 {
	text, ok := os.LookupEnv("EDGED_HAMMER_CALLS")
	if !ok {
		return 1_000
	}
	calls, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

// TestStorm parks, resumes and kills calls of every kind at random moments, before, in and after them, beside garbage
// collection, recovered panics, a CPU profile and SIGTERM, whose signals interrupt the same threads, parked ones too.
func TestStorm(t *testing.T) {
	if err := pprof.StartCPUProfile(&bytes.Buffer{}); err != nil {
		t.Log("no CPU profile beside the storm:", err)
	}
	defer pprof.StopCPUProfile()
	terminations := make(chan os.Signal, 1)
	signal.Notify(terminations, syscall.SIGTERM)
	defer signal.Stop(terminations)
	stop := make(chan struct{})
	var beside, threads sync.WaitGroup
	beside.Go(func() { disturb(t, stop, terminations) })
	sum := &tally{}
	sum.left.Store(stormCalls(t))
	for n := range 2 {
		threads.Go(func() { storm(t, rand.New(rand.NewPCG(7, uint64(n))), sum) })
	}
	threads.Wait()
	close(stop)
	beside.Wait()
	sum.check(t)
}

// tally counts what a storm has done.
type tally struct {
	left                  atomic.Int64 // calls to make
	killed, late          atomic.Int64 // kills
	ends                  [3]atomic.Int64
	asked, taken, parked  atomic.Int64 // requests to park, those taken back, parks
	resumed, roused       atomic.Int64 // how parks ended
	interrupted, together atomic.Int64 // signals of others to parked threads, kills at the moment of a request
}

func (s *tally) check(t *testing.T) {
	t.Helper()
	t.Logf("kills: %d in time, %d too late; calls: %d killed, %d never begun, %d returned", s.killed.Load(), s.late.Load(),
		s.ends[spin.Killed].Load(), s.ends[spin.Doomed].Load(), s.ends[spin.Returned].Load())
	t.Logf("parks: %d asked for, %d taken back, %d parked, of those %d resumed, %d killed", s.asked.Load(), s.taken.Load(),
		s.parked.Load(), s.resumed.Load(), s.roused.Load())
	t.Logf("%d signals of others to parked threads, %d kills together with a request", s.interrupted.Load(), s.together.Load())
	for end := range s.ends {
		if s.ends[end].Load() == 0 {
			t.Errorf("no call ended with %d", end)
		}
	}
	if killed := s.ends[spin.Killed].Load() + s.ends[spin.Doomed].Load(); killed > s.killed.Load() {
		t.Errorf("%d calls were killed and only %d kills asked for", killed, s.killed.Load())
	}
	if s.resumed.Load() == 0 || s.roused.Load() == 0 || s.taken.Load() == 0 || s.interrupted.Load() == 0 {
		t.Error("something never happened: this test tests too little")
	}
}

// storm makes calls on one thread, each with a goroutine that does to it what a scheduler and a timer do.
func storm(t *testing.T, random *rand.Rand, sum *tally) {
	core := newCore(t)
	defer core.close()
	kinds := []spin.Kind{spin.Text, spin.Host, spin.Library, spin.Pause, spin.Short, spin.Short, spin.Wait}
	on(t, func(thread *spin.Thread) {
		for sum.left.Add(-1) >= 0 {
			kind := kinds[random.IntN(len(kinds))]
			run := &stormRun{
				t: t, thread: thread, core: core, sum: sum, call: thread.Next(),
				random: rand.New(rand.NewPCG(random.Uint64(), 1)), before: thread.Parks(),
			}
			switch random.IntN(8) {
			case 0:
				run.kill()
			case 1:
				run.early = run.ask()
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				run.act()
			}()
			end := thread.Call(kind, uint64(random.IntN(5000)), runtime.Gosched)
			sum.ends[end].Add(1)
			if end == spin.Returned && kind != spin.Short && kind != spin.Wait {
				t.Errorf("a guest of kind %d returned", kind)
			}
			held := run.end()
			<-done
			run.settle(end, held)
		}
	})
}

// core is a thread that waits to take over, and counts how often it was woken.
type core struct {
	thread *spin.Thread
	woken  atomic.Uint64
	over   atomic.Bool
	done   chan struct{}
}

func newCore(t *testing.T) *core {
	c := &core{done: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		defer close(c.done)
		on(t, func(thread *spin.Thread) {
			c.thread = thread
			close(ready)
			for thread.Wait(); !c.over.Load(); thread.Wait() {
				c.woken.Add(1)
			}
		})
	}()
	<-ready
	return c
}

func (c *core) close() {
	c.over.Store(true)
	c.thread.Wake()
	<-c.done
}

// stormRun is one call of the storm.
type stormRun struct {
	t               *testing.T
	thread          *spin.Thread
	core            *core
	sum             *tally
	call            uint64
	random          *rand.Rand
	early           bool   // a request was made before the call began
	before          uint64 // parks of the thread before this call
	parked, resumed uint64 // those that the acting goroutine knows of

	mu    sync.Mutex
	ended bool   // guarded by mu
	asked uint64 // guarded by mu
}

// end is what the thread does after its call: from now on it is not asked any more.
func (r *stormRun) end() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	return r.thread.CancelPark()
}

// ask asks for a park as a scheduler does, under its lock and only while the run lasts.
func (r *stormRun) ask() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || !r.thread.Park(r.core.thread) {
		return false
	}
	r.asked++
	return true
}

func (r *stormRun) rest() {
	for range r.random.IntN(4) {
		runtime.Gosched()
	}
}

// act parks and resumes some times and then kills, once from two goroutines at the same time.
func (r *stormRun) act() {
	r.rest()
	if !r.early && r.random.IntN(4) == 0 {
		r.sum.together.Add(1)
		var both sync.WaitGroup
		both.Go(func() { r.ask() })
		r.kill()
		both.Wait()
		return
	}
	for n := range 1 + r.random.IntN(6) {
		asked := r.early && n == 0 || r.ask()
		if !asked || !r.wait() {
			break
		}
		r.interrupt()
		if r.random.IntN(5) == 0 {
			break // killed while parked
		}
		if !r.thread.Resume() {
			r.t.Error("a parked guest could not be resumed")
		}
		r.resumed++
		if r.random.IntN(2) == 0 {
			r.rest() // else the next request comes before the thread runs again, as a rule
		}
	}
	r.kill()
}

// wait waits until a request has been taken: by the guest's park, which wakes the core, or back, at the end of the run.
func (r *stormRun) wait() bool {
	until(func() bool { return !r.thread.PokePark() })
	if r.thread.ParkState() != spin.Parked {
		return false // only this goroutine resumes and kills
	}
	r.parked++
	until(func() bool { return r.core.woken.Load() == r.before+r.parked })
	return true
}

// interrupt sends signals of other users to a parked thread.
func (r *stormRun) interrupt() {
	for _, number := range []syscall.Signal{syscall.SIGURG, syscall.SIGPROF, syscall.SIGTERM} {
		if r.random.IntN(4) != 0 {
			continue
		}
		if err := r.thread.Send(number); err != nil {
			r.t.Error(err)
		}
		r.sum.interrupted.Add(1)
	}
}

func (r *stormRun) kill() {
	if end(r.thread, r.call) {
		r.sum.killed.Add(1)
	} else {
		r.sum.late.Add(1)
	}
}

// settle checks the accounts of the run after its end: every park has woken the core once, every request was parked or taken
// back, and the core was given away for good by a kill while parked, but by nothing else.
func (r *stormRun) settle(end spin.End, held bool) {
	if r.thread.Running() || r.thread.Current() || r.thread.ParkState() != spin.NotAsked {
		r.t.Error("running, or asked to park, after its end")
	}
	parked := r.thread.Parks() - r.before
	taken, roused := r.asked-parked, parked-r.resumed
	if taken > 1 || roused > 1 || held != (roused == 0) {
		r.t.Errorf("%d asked for, %d parked, %d resumed, core held: %v", r.asked, parked, r.resumed, held)
	}
	if roused == 1 && end == spin.Returned {
		r.t.Error("killed while parked and yet returned")
	}
	until(func() bool { return r.core.woken.Load() >= r.before+parked })
	if woken := r.core.woken.Load() - r.before; woken != parked {
		r.t.Errorf("the core was woken %d times by %d parks", woken, parked)
	}
	r.sum.asked.Add(int64(r.asked))
	r.sum.taken.Add(int64(taken))
	r.sum.parked.Add(int64(parked))
	r.sum.resumed.Add(int64(r.resumed))
	r.sum.roused.Add(int64(roused))
}

// disturb keeps the Go runtime busy with what shares signals and stacks with guests.
func disturb(t *testing.T, stop chan struct{}, terminations chan os.Signal) {
	pause := time.NewTicker(time.Millisecond) // leaves the machine to the guests
	defer pause.Stop()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if !nilRecovered() {
			t.Error("a nil dereference was not recovered")
			return
		}
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-terminations
		runtime.GC()
		<-pause.C
	}
}

func nilRecovered() (ok bool) {
	defer func() { ok = recover() != nil }()
	var nothing *nowhere
	return nothing.kills == 0 && false //nolint:govet // the nil dereference is the test
}

type nowhere struct{ kills int }
