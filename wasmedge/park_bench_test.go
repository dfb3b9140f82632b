//go:build cgo

package wasmedge

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkTicketedCall calls a function with parameters and a result, with a ticket for a killer, as a worker does.
func BenchmarkTicketedCall(b *testing.B) {
	g := misbehave(b)
	on(b, func(thread *Thread) {
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			b.Error(err)
			return
		}
		defer instance.Close()
		fn, err := instance.Func("add", g.types["add"])
		if err != nil {
			b.Error(err)
			return
		}
		b.ReportAllocs()
		for b.Loop() {
			stack := [2]uint64{1, 2}
			thread.Next()
			if err := thread.Call(instance, fn, nil, stack[:]); err != nil || stack[0] != 3 {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkPark parks a guest that computes, is woken by that, and resumes it: the guest on another core than its successor,
// and both on one, as under a scheduler.
func BenchmarkPark(b *testing.B) {
	g := misbehave(b)
	all := cpus(b)
	for name, cpu := range map[string]int{"two-cores": all[len(all)-1], "one-core": all[0]} {
		b.Run(name, func(b *testing.B) {
			on(b, func(successor *Thread) {
				if err := successor.Pin(all[0]); err != nil {
					b.Error(err)
					return
				}
				running, done := make(chan *Thread, 1), make(chan error, 1)
				if err := engine.Go(func(thread *Thread) {
					if err := thread.Pin(cpu); err != nil {
						b.Error(err)
					}
					running <- thread
					_, err := g.call(thread, "spin")
					done <- err
				}); err != nil {
					b.Error(err)
					return
				}
				thread := <-running
				ticket := Ticket(1)
				for b.Loop() {
					if !thread.Park(successor) {
						b.Error("a running guest could not be asked to park")
						break
					}
					successor.Wait()
					thread.Resume()
				}
				until(func() bool { return thread.Kill(ticket, nil) })
				if err := <-done; !errors.Is(err, ErrKilled) {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkParkedCompute runs a guest that computes for some tens of milliseconds while it is parked and resumed at once, at
// different intervals. cpu-ns/op is the processor time of the guest's thread.
func BenchmarkParkedCompute(b *testing.B) {
	g := parkable(b)
	for _, every := range []time.Duration{0, 5 * time.Millisecond, 2 * time.Millisecond, time.Millisecond} {
		name := "every=" + every.String()
		if every == 0 {
			name = "never"
		}
		b.Run(name, func(b *testing.B) {
			on(b, func(thread *Thread) {
				stop := make(chan struct{})
				over := &atomic.Bool{}
				go func() {
					parkEvery(thread, every, stop)
					over.Store(true)
				}()
				before := processorTime(b)
				for b.Loop() {
					if _, err := g.call(thread, "digest", 5_000_000); err != nil {
						b.Error(err)
					}
				}
				b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(thread.Parks())/float64(b.N), "parks/op")
				close(stop)
				until(func() bool { return thread.CancelPark() && over.Load() })
			})
		})
	}
}

// parkEvery parks a thread at that interval until stop is closed, and resumes it as soon as it is parked.
func parkEvery(thread *Thread, every time.Duration, stop chan struct{}) {
	if every == 0 {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		parks := thread.Parks()
		if !taken(thread, nil) {
			continue
		}
		if thread.Parks() > parks {
			thread.Resume()
		}
	}
}

func processorTime(tb testing.TB) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		tb.Error(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
