//go:build cgo

package wasmedge

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hammerCalls is how many guest calls the hammer makes; EDGED_HAMMER_CALLS asks for more.
func hammerCalls(tb testing.TB) int64 {
	text, ok := os.LookupEnv("EDGED_HAMMER_CALLS")
	if !ok {
		return 6_000
	}
	calls, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return calls
}

// hammerKinds are all ways of misbehaving with what each must end in; nil means a result.
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
}

// TestHammer runs all kinds of misbehaving guests at once on 16 threads, with kills at random moments, beside garbage
// collection, recovered nil dereferences and a CPU profile. Without the handlers of this package the process dies within
// the first hundred calls.
func TestHammer(t *testing.T) {
	g := misbehave(t)
	left := atomic.Int64{}
	left.Store(hammerCalls(t))
	if err := pprof.StartCPUProfile(&bytes.Buffer{}); err != nil {
		t.Log("no CPU profile beside the hammer:", err)
	}
	defer pprof.StopCPUProfile()
	stop := make(chan struct{})
	var beside sync.WaitGroup
	var recovered atomic.Int64
	for range 2 {
		beside.Go(func() { disturb(t, stop, &recovered) })
	}
	var threads sync.WaitGroup
	var ends [TrapHost + 1]atomic.Int64
	for n := range 16 {
		threads.Add(1)
		if err := engine.Go(func(thread *Thread) {
			defer threads.Done()
			hammer(t, g, thread, rand.New(rand.NewPCG(1, uint64(n))), &left, &ends)
		}); err != nil {
			t.Fatal(err)
		}
	}
	threads.Wait()
	close(stop)
	beside.Wait()
	for kind := range ends {
		t.Logf("%6d ended with: %s", ends[kind].Load(), endName(TrapKind(kind)))
	}
	t.Logf("%6d nil dereferences recovered beside", recovered.Load())
	if recovered.Load() == 0 {
		t.Error("no nil dereference was recovered")
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

// hammer makes calls until none is left, half of them with a killer that comes at a random moment.
func hammer(t *testing.T, g *guest, thread *Thread, random *rand.Rand, left *atomic.Int64, ends *[TrapHost + 1]atomic.Int64) {
	for left.Add(-1) >= 0 {
		kind := hammerKinds[random.IntN(len(hammerKinds))]
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		var timer *time.Timer
		if kind.want == TrapKilled || random.IntN(2) == 0 {
			ticket := thread.Next()
			timer = time.AfterFunc(time.Duration(random.IntN(2000))*time.Microsecond, func() { thread.Kill(ticket, context.DeadlineExceeded) })
		}
		_, err = g.callOn(thread, instance, kind.name, kind.args...)
		if timer != nil {
			timer.Stop()
		}
		instance.Close()
		checkEnd(t, kind.name, err, kind.want, ends)
	}
}

func checkEnd(t *testing.T, name string, err error, want TrapKind, ends *[TrapHost + 1]atomic.Int64) {
	var trap *Trap
	if !errors.As(err, &trap) {
		if err != nil || want != 0 {
			t.Errorf("%s: %v; want %v", name, err, want)
		}
		ends[0].Add(1)
		return
	}
	if trap.Kind != want && trap.Kind != TrapKilled {
		t.Errorf("%s: %v; want %v", name, err, want)
	}
	if trap.Kind == TrapKilled && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: killed without its reason: %v", name, err)
	}
	ends[trap.Kind].Add(1)
}

func endName(kind TrapKind) string {
	if kind == TrapUnknown {
		return "a result"
	}
	return kind.String()
}
