//go:build cgo

package wasmedge

import (
	"bytes"
	"context"
	"errors"
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

	"golang.org/x/sys/unix"
)

// hammerCalls is how many guest calls the hammer makes; EDGED_HAMMER_CALLS asks for more.
func hammerCalls(tb testing.TB) int64 {
	text, ok := os.LookupEnv("EDGED_HAMMER_CALLS")
	if !ok {
		return 4_000
	}
	calls, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return calls
}

// hammerThreads is how many guest threads run at once, each with another that takes over while it is parked.
const hammerThreads = 8

// hammerKinds are all ways of misbehaving with what each must end in.
var hammerKinds = []struct {
	name string
	args []uint64
	want TrapKind // zero: ends well, or by a kill that came in time
}{
	{"add", []uint64{1, 2}, 0},
	{"fib", []uint64{15}, 0},
	{"count", nil, 0},
	{"recurse", []uint64{0}, TrapStackOverflow},
	{"recurse_wide", []uint64{0}, TrapStackOverflow},
	{"recurse_host", []uint64{0}, TrapStackOverflow},
	{"recurse_grow", []uint64{0}, TrapStackOverflow},
	{"recurse_shadow", []uint64{0}, TrapOutOfBounds},
	{"load", []uint64{0xffffff00}, TrapOutOfBounds},
	{"fill", []uint64{0xfffffff0, 0xff}, TrapOutOfBounds},
	{"divide", []uint64{0}, TrapDivideByZero},
	{"divide_overflow", []uint64{0xffffffff}, TrapOverflow},
	{"trap", nil, TrapUnreachable},
	{"indirect", nil, TrapIndirectCall},
	{"touch", []uint64{0xfffffff0, 0xffff}, TrapHost},
	{"fail", nil, TrapHost},
	{"panic", nil, TrapHost},
	{"grow", []uint64{16}, 0},
	{"spin", nil, TrapKilled},
	{"spin_host", nil, TrapKilled},
	{"spin_grow", nil, TrapKilled},
	{"spin_deep", nil, TrapKilled},
	{"digest", []uint64{100_000}, 0},
	{"digest_vector", []uint64{100_000}, 0},
	{"digest_host", []uint64{20_000}, 0},
	{"digest_grow", []uint64{20_000}, 0},
	{"digest_deep", []uint64{50_000}, 0},
	{"then_divide", []uint64{50_000}, TrapDivideByZero},
	{"then_load", []uint64{50_000}, TrapOutOfBounds},
	{"then_trap", []uint64{50_000}, TrapUnreachable},
	{"then_overflow", []uint64{50_000}, TrapStackOverflow},
}

// TestHammer runs all kinds of guests at once on several threads, parks, resumes and kills them at random moments, beside
// garbage collection, recovered nil dereferences, a CPU profile and SIGTERM. Without the handlers of this package the process
// dies within the first hundred calls.
func TestHammer(t *testing.T) {
	sum := newHammerSum(t)
	if err := pprof.StartCPUProfile(&bytes.Buffer{}); err != nil {
		t.Log("no CPU profile beside the hammer:", err)
	}
	defer pprof.StopCPUProfile()
	terminations := make(chan os.Signal, 1)
	signal.Notify(terminations, syscall.SIGTERM)
	defer signal.Stop(terminations)
	stop := make(chan struct{})
	var beside, threads sync.WaitGroup
	beside.Go(func() { disturb(t, stop, &sum.recovered) })
	beside.Go(func() { terminate(t, stop, terminations, &sum.terminated) })
	for n := range hammerThreads {
		relief := newRelief(t)
		defer relief.close()
		threads.Add(1)
		if err := engine.Go(func(thread *Thread) {
			defer threads.Done()
			hammer(t, thread, relief, rand.New(rand.NewPCG(1, uint64(n))), sum)
		}); err != nil {
			t.Fatal(err)
		}
	}
	threads.Wait()
	close(stop)
	beside.Wait()
	sum.check(t)
}

// hammerSum is what the hammer shares among its threads, and what it counts.
type hammerSum struct {
	guests map[string]*guest
	wants  map[string]uint64 // results of kinds that compute something, without parks

	left                         atomic.Int64
	ends                         [TrapHost + 1]atomic.Int64
	kills                        atomic.Int64
	asked, taken, parked, roused atomic.Uint64
	interrupted                  atomic.Int64
	recovered, terminated        atomic.Int64
}

func newHammerSum(t *testing.T) *hammerSum {
	t.Helper()
	sum := &hammerSum{guests: make(map[string]*guest), wants: make(map[string]uint64)}
	sum.left.Store(hammerCalls(t))
	for _, g := range []*guest{misbehave(t), parkable(t)} {
		for name := range g.types {
			sum.guests[name] = g
		}
	}
	on(t, func(thread *Thread) {
		for _, kind := range hammerKinds {
			if kind.want != 0 || kind.name == "grow" {
				continue // grow depends on how much memory there is
			}
			got, err := sum.guests[kind.name].call(thread, kind.name, kind.args...)
			if err != nil {
				t.Errorf("%s: %v", kind.name, err)
				continue
			}
			sum.wants[kind.name] = got[0]
		}
	})
	return sum
}

func (s *hammerSum) check(t *testing.T) {
	t.Helper()
	for kind := range s.ends {
		t.Logf("%6d ended with: %s", s.ends[kind].Load(), endName(TrapKind(kind)))
	}
	parked, roused := s.parked.Load(), s.roused.Load()
	t.Logf("%d parks asked for, %d taken back; %d parked, %d resumed, %d killed while parked; %d kills asked for", s.asked.Load(),
		s.taken.Load(), parked, parked-roused, roused, s.kills.Load())
	t.Logf("beside: %d nil dereferences recovered, %d SIGTERM, %d signals to parked threads", s.recovered.Load(),
		s.terminated.Load(), s.interrupted.Load())
	for name, n := range map[string]int64{
		"nil dereference was recovered": s.recovered.Load(), "SIGTERM came": s.terminated.Load(),
		"request was taken back": int64(s.taken.Load()), "guest was resumed": int64(parked - roused),
		"parked guest was killed": int64(roused), "parked thread was interrupted": s.interrupted.Load(),
	} {
		if n == 0 {
			t.Errorf("no %s: this test tests too little", name)
		}
	}
}

// disturb keeps the Go runtime busy with what shares signals and stacks with guests.
func disturb(t *testing.T, stop chan struct{}, recovered *atomic.Int64) {
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
		recovered.Add(1)
		garbage := make([][]byte, 64)
		for i := range garbage {
			garbage[i] = make([]byte, 4096)
		}
		runtime.GC()
		runtime.KeepAlive(garbage)
	}
}

// terminate sends this process one SIGTERM after the other.
func terminate(t *testing.T, stop chan struct{}, terminations chan os.Signal, terminated *atomic.Int64) {
	pause := time.NewTicker(time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case <-stop:
			return
		case <-pause.C:
		}
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			t.Error(err)
			return
		}
		<-terminations
		terminated.Add(1)
	}
}

// hammer makes calls until none is left, most of them with somebody who parks and kills at random moments.
func hammer(t *testing.T, thread *Thread, relief *relief, random *rand.Rand, sum *hammerSum) {
	for sum.left.Add(-1) >= 0 {
		kind := hammerKinds[random.IntN(len(hammerKinds))]
		g := sum.guests[kind.name]
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		run := &hammerRun{
			t: t, thread: thread, tid: unix.Gettid(), relief: relief, sum: sum, ticket: thread.Next(),
			random: rand.New(rand.NewPCG(random.Uint64(), 1)), before: thread.Parks(),
		}
		if random.IntN(10) == 0 {
			run.early = run.ask()
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			run.act(kind.want == TrapKilled)
		}()
		got, err := g.callOn(thread, instance, kind.name, kind.args...)
		held := run.end()
		<-done
		instance.Close()
		checkEnd(t, kind.name, err, kind.want, sum)
		if want, known := sum.wants[kind.name]; known && err == nil && got[0] != want {
			t.Errorf("%s = %#x, %#x without parks", kind.name, got[0], want)
		}
		run.settle(err, held)
	}
}

// hammerRun is one call of the hammer.
type hammerRun struct {
	t      *testing.T
	thread *Thread
	tid    int
	relief *relief
	sum    *hammerSum
	ticket Ticket
	random *rand.Rand
	early  bool   // a request was made before the call began
	before uint64 // parks of the thread before this call
	parked uint64 // those that the acting goroutine knows of

	mu    sync.Mutex
	ended bool   // guarded by mu
	asked uint64 // guarded by mu
}

// end is what the thread does after its call: from now on it is not asked any more.
func (r *hammerRun) end() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	return r.thread.CancelPark()
}

// ask asks for a park as a scheduler does, under its lock and only while the run lasts.
func (r *hammerRun) ask() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || !r.thread.Park(r.relief.thread) {
		return false
	}
	r.asked++
	return true
}

// wait waits until a request has been taken: by the guest's park, which wakes the relief, or back, at the end of the run.
func (r *hammerRun) wait() bool {
	until(func() bool { return !r.thread.PokePark() })
	if r.thread.Parks() == r.before+r.parked {
		return false
	}
	r.parked++
	until(func() bool { return r.relief.woken.Load() == r.before+r.parked })
	return true
}

// act parks and resumes some times, and kills: at a random moment by a timer of its own, or while the guest is parked.
func (r *hammerRun) act(endless bool) {
	if endless || r.random.IntN(3) == 0 {
		timer := time.AfterFunc(time.Duration(r.random.IntN(3000))*time.Microsecond, r.kill)
		defer func() {
			if !endless {
				timer.Stop()
			}
		}()
	}
	for n := range 1 + r.random.IntN(8) {
		asked := r.early && n == 0 || r.ask()
		if !asked || !r.wait() {
			return
		}
		r.interrupt()
		if r.random.IntN(8) == 0 {
			r.kill()
			return
		}
		r.thread.Resume()
		for range r.random.IntN(4) {
			runtime.Gosched()
		}
	}
}

func (r *hammerRun) kill() {
	if r.thread.Kill(r.ticket, context.DeadlineExceeded) {
		r.sum.kills.Add(1)
	}
}

// interrupt sends signals of other users to a parked thread.
func (r *hammerRun) interrupt() {
	for _, number := range []unix.Signal{unix.SIGURG, unix.SIGPROF, unix.SIGTERM} {
		if r.random.IntN(4) != 0 {
			continue
		}
		if err := unix.Tgkill(os.Getpid(), r.tid, number); err != nil {
			r.t.Error(err)
		}
		r.sum.interrupted.Add(1)
	}
}

// settle checks the accounts of the run after its end: every park has woken the relief once, every request was parked or taken
// back, and the core was given away for good by a kill while parked only.
func (r *hammerRun) settle(err error, held bool) {
	parked := r.thread.Parks() - r.before
	until(func() bool { return r.relief.woken.Load() >= r.before+parked })
	if woken := r.relief.woken.Load() - r.before; woken != parked {
		r.t.Errorf("the relief was woken %d times by %d parks", woken, parked)
	}
	taken := r.asked - parked
	if taken > 1 || !r.thread.CancelPark() {
		r.t.Errorf("%d parks of %d requests, or one stands after the end", parked, r.asked)
	}
	var trap *Trap
	if !held && (parked == 0 || !errors.As(err, &trap) || trap.Kind != TrapKilled) {
		r.t.Errorf("the core was given away after %d parks by a run that ended with %v", parked, err)
	}
	r.sum.asked.Add(r.asked)
	r.sum.taken.Add(taken)
	r.sum.parked.Add(parked)
	if !held {
		r.sum.roused.Add(1)
	}
}

func checkEnd(t *testing.T, name string, err error, want TrapKind, sum *hammerSum) {
	t.Helper()
	var trap *Trap
	if !errors.As(err, &trap) {
		if err != nil || want != 0 {
			t.Errorf("%s: %v; want %v", name, err, want)
		}
		sum.ends[0].Add(1)
		return
	}
	if trap.Kind != want && trap.Kind != TrapKilled {
		t.Errorf("%s: %v; want %v", name, err, want)
	}
	if trap.Kind == TrapKilled && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: killed without its reason: %v", name, err)
	}
	sum.ends[trap.Kind].Add(1)
}

func endName(kind TrapKind) string {
	if kind == TrapUnknown {
		return "a result"
	}
	return kind.String()
}
