//go:build cgo

package wasmedge

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHammerGuard has threads write to guarded pages while they are parked, resumed and killed at random moments, beside garbage
// collection, recovered nil dereferences and a CPU profile: faults of one thread meet every other signal. After each
// call the instance, or the one that takes its place, must be clean.
func TestHammerGuard(t *testing.T) {
	if err := pprof.StartCPUProfile(&bytes.Buffer{}); err != nil {
		t.Log("no CPU profile beside the hammer:", err)
	}
	defer pprof.StopCPUProfile()
	stop := make(chan struct{})
	var beside sync.WaitGroup
	var recovered atomic.Int64
	beside.Go(func() { disturb(t, stop, &recovered) })
	rounds := int(hammerCalls(t) / 100)
	isolate(t, isolation(t), 7, func(first *isolated) {
		var threads sync.WaitGroup
		for n := range 4 {
			threads.Add(1)
			err := engine.Go(func(thread *Thread) {
				defer threads.Done()
				s := *first
				s.thread, s.random, s.trace = thread, rand.New(rand.NewPCG(uint64(n), 3)), nil
				hammerGuard(t, &s, rounds)
			})
			if err != nil {
				threads.Done()
				t.Error(err)
			}
		}
		threads.Wait()
	})
	close(stop)
	beside.Wait()
	if recovered.Load() == 0 {
		t.Error("no nil dereference was recovered")
	}
}

// hammerGuard makes rounds on its thread, each a call that writes everywhere until it is killed, or a request to its end.
func hammerGuard(t *testing.T, s *isolated, rounds int) {
	var err error
	if s.instance, err = s.thread.InstantiateFrom(s.template); err != nil {
		t.Error(err)
		return
	}
	defer func() { s.instance.Close() }()
	var done atomic.Bool
	var parker sync.WaitGroup
	parker.Go(func() {
		for !done.Load() {
			s.thread.Park(nil)
			for tries := 0; tries < 20 && s.thread.PokePark(); tries++ {
				runtime.Gosched()
			}
			s.thread.Resume()
		}
	})
	defer func() {
		done.Store(true)
		s.thread.CancelPark()
		parker.Wait()
	}()
	for round := range rounds {
		if round > 20 && round%8 == 0 {
			s.template.force(true)
		}
		err := s.round(30)
		if round%2 == 0 && err == nil {
			err = s.killed(time.Duration(s.random.IntN(500)) * time.Microsecond)
		}
		if err != nil {
			t.Errorf("round %d: %v\n%s", round, err, strings.Join(s.trace, "\n"))
			return
		}
	}
	t.Logf("%d resets, %d made anew, %d parks", s.resets, s.made, s.thread.Parks())
}

// killed has the guest write to one place after the other until it is killed, and takes a new instance.
func (s *isolated) killed(after time.Duration) error {
	ticket := s.thread.Next()
	timer := time.AfterFunc(after, func() { s.thread.Kill(ticket, errTest) })
	defer timer.Stop()
	if _, err := s.g.callOn(s.thread, s.instance, "spin", 9); !errors.Is(err, errTest) {
		return errors.Join(errors.New("not killed"), err)
	}
	return s.renew()
}
