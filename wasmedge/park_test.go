//go:build cgo

package wasmedge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// parkable builds and loads testdata/park.c.
func parkable(tb testing.TB) *guest {
	tb.Helper()
	i32, i64 := []ValType{I32}, []ValType{I64}
	types := map[string]FuncType{"verdict": {}, "spin_deep": {nil, i32}, "draw": {nil, i32}}
	for _, name := range []string{
		"digest", "digest_vector", "digest_host", "digest_grow", "digest_deep", "then_divide", "then_load", "then_trap", "then_overflow",
	} {
		types[name] = FuncType{i32, i64}
	}
	return loadImporting(tb, "testdata/park.c", 2, types, "test", "wasi_snapshot_preview1")
}

// until waits for the condition, first in a hurry, then such that the guest that is to bring it about gets the processor.
func until(condition func() bool) {
	for range 30 {
		if condition() {
			return
		}
		runtime.Gosched()
	}
	tick := time.NewTicker(50 * time.Microsecond)
	defer tick.Stop()
	for !condition() {
		<-tick.C
	}
}

// taken asks for a park and waits until the request is gone: the thread has parked, or has taken it back.
func taken(thread, successor *Thread) bool {
	if !thread.Park(successor) {
		return false
	}
	until(func() bool { return !thread.PokePark() })
	return true
}

// relief is a guest thread that waits to take over, and counts how often it was woken.
type relief struct {
	thread *Thread
	woken  atomic.Uint64
	over   atomic.Bool
	done   chan struct{}
}

func newRelief(tb testing.TB) *relief {
	tb.Helper()
	r := &relief{done: make(chan struct{})}
	ready := make(chan struct{})
	if err := engine.Go(func(t *Thread) {
		defer close(r.done)
		r.thread = t
		close(ready)
		for t.Wait(); !r.over.Load(); t.Wait() {
			r.woken.Add(1)
		}
	}); err != nil {
		tb.Fatal(err)
	}
	<-ready
	return r
}

func (r *relief) close() {
	r.over.Store(true)
	r.thread.Wake()
	<-r.done
}

// TestPark stops guests of every kind, lets their successor run a guest meanwhile, and lets them go on.
func TestPark(t *testing.T) {
	misbehaving, stopping := misbehave(t), parkable(t)
	for name, g := range map[string]*guest{"spin": misbehaving, "spin_host": misbehaving, "spin_grow": misbehaving, "spin_deep": stopping} {
		t.Run(name, func(t *testing.T) {
			on(t, func(thread *Thread) {
				ticket := thread.Next()
				done := make(chan struct{})
				go func() {
					defer close(done)
					for n := range uint64(50) {
						on(t, func(successor *Thread) {
							if !taken(thread, successor) {
								t.Error("a running guest could not be asked to park")
							}
							successor.Wait()
							if thread.Park(successor) || thread.PokePark() || thread.Parks() != n+1 {
								t.Errorf("asked while parked, or %d parks after %d", thread.Parks(), n+1)
							}
							if got, err := misbehaving.call(successor, "add", n, 1); err != nil || got[0] != n+1 {
								t.Errorf("the successor's guest: %v, %v", got, err)
							}
						})
						thread.Resume()
						thread.Resume()
					}
					thread.Kill(ticket, errTest)
				}()
				if _, err := g.call(thread, name); !errors.Is(err, errTest) {
					t.Errorf("%v; want the kill after the parks", err)
				}
				<-done
				if !thread.CancelPark() {
					t.Error("resumed, and yet the core is not held")
				}
			})
		})
	}
}

// TestParkKeepsState: what a guest computes is the same with parks as without, in all registers and all of its memory.
func TestParkKeepsState(t *testing.T) {
	g := parkable(t)
	for _, name := range []string{"digest", "digest_vector", "digest_host", "digest_grow", "digest_deep", "draw"} {
		t.Run(name, func(t *testing.T) {
			var args []uint64
			if len(g.types[name].Params) > 0 {
				args = []uint64{1_000_000}
			}
			on(t, func(thread *Thread) {
				want, err := g.call(thread, name, args...)
				if err != nil || name == "draw" && want[0] != 0 {
					t.Error(want, err)
					return
				}
				const enough = 1000 // rounds, on a machine too busy to interrupt anything in time
				for round := 0; round < 5 || thread.Parks() == 0 && round < enough; round++ {
					stop := make(chan struct{})
					var parker sync.WaitGroup
					parker.Go(func() { parkOften(thread, stop) })
					got, err := g.call(thread, name, args...)
					close(stop)
					held := thread.CancelPark()
					parker.Wait()
					if err != nil || got[0] != want[0] || !held || !thread.CancelPark() {
						t.Errorf("%v, %v; want %v, and the core held", got, err, want)
					}
				}
				if t.Logf("%d parks", thread.Parks()); thread.Parks() == 0 {
					t.Error("nothing was parked")
				}
			})
		})
	}
}

// parkOften parks and resumes what runs on a thread until stop is closed.
func parkOften(thread *Thread, stop chan struct{}) {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			thread.Resume()
			return
		case <-tick.C:
			thread.Resume()
			thread.Park(nil)
			thread.PokePark()
		}
	}
}

// TestKillWhileParked: the guest is left as a killed one, with the reason, and has given its core away.
func TestKillWhileParked(t *testing.T) {
	misbehaving, stopping := misbehave(t), parkable(t)
	for name, g := range map[string]*guest{"spin": misbehaving, "spin_host": misbehaving, "spin_grow": misbehaving, "spin_deep": stopping} {
		t.Run(name, func(t *testing.T) {
			on(t, func(thread *Thread) {
				for range 20 {
					ticket := thread.Next()
					done := make(chan struct{})
					go func() {
						defer close(done)
						for before := thread.Parks(); thread.Parks() == before; {
							taken(thread, nil)
						}
						if !thread.Kill(ticket, errTest) {
							t.Error("a parked guest could not be killed")
						}
					}()
					_, err := g.call(thread, name)
					var trap *Trap
					if !errors.As(err, &trap) || trap.Kind != TrapKilled || !errors.Is(err, errTest) {
						t.Errorf("%v; want the kill", err)
					}
					<-done
					if thread.CancelPark() || !thread.CancelPark() {
						t.Error("the core is held after a kill while parked, or never again")
					}
					if got, err := g.call(thread, steady(g)); err != nil {
						t.Errorf("the call after it: %v, %v", got, err)
					}
				}
			})
		})
	}
}

// steady is the name of an export that returns at once.
func steady(g *guest) string {
	if _, ok := g.types["noop"]; ok {
		return "noop"
	}
	return "digest_host"
}

// TestParkAroundHostCalls: a request in a host function parks the guest when that returns, and stands when it ends the guest.
func TestParkAroundHostCalls(t *testing.T) {
	g := parkable(t)
	on(t, func(thread *Thread) {
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		defer instance.Close()
		fn, err := instance.Func("verdict", FuncType{})
		if err != nil {
			t.Error(err)
			return
		}
		ask := func(verdict error) func() error {
			return func() error {
				if !thread.Park(nil) || !thread.PokePark() || thread.Parks() > 1 {
					t.Error("could not be asked in a host function, or parked there")
				}
				go func() {
					until(func() bool { return thread.Parks() > 0 })
					thread.Resume()
				}()
				return verdict
			}
		}
		if err := thread.Call(instance, fn, ask(nil), nil); err != nil || thread.Parks() != 1 || !thread.CancelPark() {
			t.Errorf("%v after %d parks", err, thread.Parks())
		}
		if err := thread.Call(instance, fn, ask(errTest), nil); !errors.Is(err, errTest) || thread.Parks() != 1 {
			t.Errorf("%v after %d parks", err, thread.Parks())
		}
		if !thread.PokePark() || !thread.CancelPark() || thread.PokePark() {
			t.Error("the request does not stand beyond the end of its call, or is not taken back")
		}
	})
}

// TestParkBetweenCalls: a request between two calls of one run stops the second before it begins; a kill ends it there.
func TestParkBetweenCalls(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		for _, killed := range []bool{false, true} {
			parks := thread.Parks()
			if _, err := g.call(thread, "noop"); err != nil || !thread.Park(nil) {
				t.Errorf("%v, or it could not be asked between calls", err)
			}
			ticket := thread.Next()
			go func() {
				until(func() bool { return thread.Parks() > parks })
				if killed {
					thread.Kill(ticket, errTest)
				} else {
					thread.Resume()
				}
			}()
			got, err := g.call(thread, "add", 1, 2)
			if killed && !errors.Is(err, errTest) || !killed && (err != nil || got[0] != 3) || thread.Parks() != parks+1 {
				t.Errorf("killed %v: %v, %v", killed, got, err)
			}
			if held := thread.CancelPark(); held == killed {
				t.Errorf("killed %v: core held: %v", killed, held)
			}
		}
	})
}

// TestSuccessorGone: the thread that is to be woken has ended and nobody else refers to it.
func TestSuccessorGone(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		for range 20 {
			if !askFor(t, thread) {
				t.Error("a thread between calls could not be asked")
			}
			runtime.GC()
			runtime.GC() // cleanups have run
			parks := thread.Parks()
			go func() {
				until(func() bool { return thread.Parks() > parks })
				thread.Resume()
			}()
			if _, err := g.call(thread, "noop"); err != nil || !thread.CancelPark() {
				t.Errorf("noop: %v", err)
			}
		}
	})
}

// askFor asks for a park in favour of a thread that has ended when it returns.
func askFor(t *testing.T, thread *Thread) (asked bool) {
	t.Helper()
	on(t, func(successor *Thread) { asked = thread.Park(successor) })
	return asked
}

// TestThreadGone: nothing asks or wakes a thread that has ended, and nothing bad comes of it.
func TestThreadGone(t *testing.T) {
	var ended *Thread
	on(t, func(thread *Thread) {
		ended = thread
		thread.Park(nil) // stands at the thread's end
	})
	until(func() bool { return errors.Is(ended.Pin(0), ErrClosed) }) // `on` returns a moment before the thread has gone
	for range 3 {
		ended.Wake()
		ended.Resume()
		if ended.Park(ended) || ended.PokePark() || ended.Parks() != 0 {
			t.Error("a thread that has ended can be asked to park")
		}
		runtime.GC()
	}
}

// cpus returns the CPUs that this process may use.
func cpus(tb testing.TB) []int {
	tb.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
		tb.Fatal(err)
	}
	var list []int
	for cpu := range 8 * len(set) * 8 {
		if set.IsSet(cpu) {
			list = append(list, cpu)
		}
	}
	return list
}

// TestPin pins a guest thread, and shows that what it starts is not pinned with it: guest threads and those of Go.
func TestPin(t *testing.T) {
	all := cpus(t)
	on(t, func(thread *Thread) {
		last := all[len(all)-1]
		if err := thread.Pin(last); err != nil {
			t.Error(err)
			return
		}
		if own := allowed(t, unix.Gettid()); own != fmt.Sprint(last) {
			t.Errorf("pinned to %d, may run on %s", last, own)
		}
		for _, none := range []int{-1, 1 << 20} {
			if err := thread.Pin(none); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("CPU %d: %v", none, err)
			}
		}
		if len(all) == 1 {
			return // there is nothing else to inherit
		}
		before := tids(t)
		stop := make(chan struct{})
		// Each of these occupies a thread, so Go has to start some.
		var blocked sync.WaitGroup
		for range 2*len(before) + 8 {
			blocked.Go(func() { block(t, stop) })
		}
		until(func() bool { return len(tids(t)) >= len(before)+8 })
		on(t, func(*Thread) { checkUnpinned(t, before, unix.Gettid(), last) })
		close(stop)
		blocked.Wait()
	})
}

// block occupies an OS thread until stop is closed.
func block(t *testing.T, stop chan struct{}) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		t.Error(err)
		return
	}
	go func() {
		<-stop
		_ = unix.Close(ends[1])
	}()
	_, _ = unix.Read(ends[0], make([]byte, 1))
	_ = unix.Close(ends[0])
}

func checkUnpinned(t *testing.T, before map[int]bool, guest, cpu int) {
	t.Helper()
	found := 0
	for tid := range tids(t) {
		if before[tid] {
			continue
		}
		found++
		if text := allowed(t, tid); text == fmt.Sprint(cpu) {
			t.Errorf("thread %d (the guest thread is %d), started by a pinned one, may run on %s only", tid, guest, text)
		}
	}
	if found < 8 {
		t.Errorf("%d new threads", found)
	}
}

func tids(tb testing.TB) map[int]bool {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		tb.Error(err) // not Fatal: this runs on guest threads
	}
	found := make(map[int]bool)
	for _, entry := range entries {
		var tid int
		if _, err := fmt.Sscan(entry.Name(), &tid); err == nil {
			found[tid] = true
		}
	}
	return found
}

// allowed returns the list of CPUs that a thread may run on; empty when it has ended.
func allowed(tb testing.TB, tid int) string {
	tb.Helper()
	status, err := os.ReadFile(filepath.Join("/proc/self/task", fmt.Sprint(tid), "status"))
	if err != nil {
		return ""
	}
	_, list, _ := strings.Cut(string(status), "Cpus_allowed_list:")
	list, _, _ = strings.Cut(list, "\n")
	return strings.TrimSpace(list)
}
