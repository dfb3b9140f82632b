//go:build cgo

package preempt_test

import (
	"runtime"
	"testing"

	"edged.dev/edge/wasmedge/preempt/spin"
)

// until yields until the condition holds.
func until(condition func() bool) {
	for !condition() {
		runtime.Gosched()
	}
}

// park asks for a park and repeats it until it has taken effect.
func park(thread, successor *spin.Thread) bool {
	if !thread.Park(successor) {
		return false
	}
	for thread.PokePark() {
		runtime.Gosched()
	}
	return true
}

// end kills the thread's call of that generation and repeats it until it has ended.
func end(thread *spin.Thread, generation uint64) bool {
	asked := thread.Kill(generation)
	for thread.Poke(generation) {
		runtime.Gosched()
	}
	return asked
}

// endless are the kinds of guest that end only by a kill.
var endless = map[string]spin.Kind{"text": spin.Text, "host": spin.Host, "library": spin.Library, "pause": spin.Pause}

// TestPark stops guests where they are, lets them go on, and shows that nothing of them runs in between.
func TestPark(t *testing.T) {
	for name, kind := range endless {
		t.Run(name, func(t *testing.T) {
			on(t, func(thread *spin.Thread) {
				next := thread.Next()
				done := make(chan struct{})
				go func() {
					defer close(done)
					for range 100 {
						before := thread.Progress()
						until(func() bool { return thread.Progress() > before })
						if !park(thread, nil) {
							t.Error("a running guest could not be asked to park")
						}
						if thread.Park(nil) || thread.ParkState() != spin.Parked {
							t.Errorf("in state %d, asked while parked", thread.ParkState())
						}
						before = thread.Progress()
						for range 100 {
							runtime.Gosched()
						}
						if after := thread.Progress(); after != before {
							t.Errorf("%d rounds while parked", after-before)
						}
						if !thread.Resume() || thread.Resume() {
							t.Error("a parked guest is resumed once")
						}
					}
					if !end(thread, next) {
						t.Error("the guest could not be killed after its parks")
					}
				}()
				if end := thread.Call(kind, 0, nil); end != spin.Killed {
					t.Errorf("ended with %d", end)
				}
				<-done
				if !thread.CancelPark() || thread.Parks() != 100 {
					t.Errorf("%d parks, or the last is not over", thread.Parks())
				}
			})
		})
	}
}
