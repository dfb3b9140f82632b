//go:build cgo

package preempt_test

import (
	"bytes"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"

	"edged.dev/edge/wasmedge/preempt/spin"
)

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

// park asks for a park that wakes nobody and repeats it until it has taken effect.
func park(thread *spin.Thread) bool {
	if !thread.Park(nil) {
		return false
	}
	until(func() bool { return !thread.PokePark() })
	return true
}

// end kills the thread's call of that generation and repeats it until it has ended.
func end(thread *spin.Thread, generation uint64) bool {
	asked := thread.Kill(generation)
	until(func() bool { return !thread.Poke(generation) })
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
						if !park(thread) {
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

// TestParkBeforeEntry: a request between two calls sends no signal and stops the next call before its first instruction.
func TestParkBeforeEntry(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		before := thread.Progress()
		if !thread.Park(nil) || !thread.PokePark() || thread.InFlight() {
			t.Error("a thread between calls cannot be asked, or is interrupted")
		}
		seen := make(chan uint64, 1)
		go func() {
			until(func() bool { return thread.ParkState() == spin.Parked })
			seen <- thread.Progress()
			thread.Resume()
		}()
		if end := thread.Call(spin.Short, 1000, nil); end != spin.Returned {
			t.Errorf("ended with %d", end)
		}
		if at := <-seen; at != before {
			t.Errorf("%d rounds before the park", at-before)
		}
		if thread.Progress() != before+1000 || !thread.CancelPark() {
			t.Error("the call did not go on after its park")
		}
	})
}

// TestKillWhileParkedBeforeEntry: the call has begun, but nothing of its guest ever runs.
func TestKillWhileParkedBeforeEntry(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		next, before := thread.Next(), thread.Progress()
		thread.Park(nil)
		killed := make(chan bool, 1)
		go func() {
			until(func() bool { return thread.ParkState() == spin.Parked })
			killed <- end(thread, next)
		}()
		if end := thread.Call(spin.Text, 0, nil); end != spin.Doomed || thread.Progress() != before {
			t.Errorf("ended with %d after %d rounds", end, thread.Progress()-before)
		}
		if !<-killed || thread.CancelPark() || !thread.CancelPark() {
			t.Error("it could not be killed, or holds the core that it gave away, or never gets one again")
		}
		if end := thread.Call(spin.Short, 10, nil); end != spin.Returned {
			t.Errorf("the call after it ended with %d", end)
		}
	})
}

// TestDoomedCallDoesNotPark: a call that is not to begin does not give its core away either.
func TestDoomedCallDoesNotPark(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		thread.Kill(thread.Next())
		thread.Park(nil)
		if end := thread.Call(spin.Text, 0, nil); end != spin.Doomed {
			t.Errorf("ended with %d", end)
		}
		if thread.ParkState() != spin.Requested || !thread.CancelPark() || thread.Parks() != 0 {
			t.Errorf("%d parks of a call that never began", thread.Parks())
		}
	})
}

// TestKillWhileParked: the guest is left without being resumed first, and without a signal.
func TestKillWhileParked(t *testing.T) {
	for name, kind := range endless {
		t.Run(name, func(t *testing.T) {
			on(t, func(thread *spin.Thread) {
				for n := range uint64(50) {
					next, before := thread.Next(), thread.Progress()
					done := make(chan struct{})
					go func() {
						defer close(done)
						until(func() bool { return thread.Progress() > before })
						park(thread)
						flying := thread.InFlight() // a poke's, which is blocked until the handler ends
						if !thread.Kill(next) || thread.InFlight() != flying {
							t.Error("a parked guest could not be killed, or by a signal only")
						}
						if thread.Resume() || thread.Park(nil) {
							t.Error("a guest that was roused can be resumed or asked to park")
						}
						until(func() bool { return !thread.Poke(next) })
					}()
					if end := thread.Call(kind, 0, nil); end != spin.Killed {
						t.Errorf("ended with %d", end)
					}
					<-done
					if thread.CancelPark() || thread.Parks() != n+1 {
						t.Errorf("%d parks; the core is held after a kill while parked", thread.Parks())
					}
				}
			})
		})
	}
}

// TestParkInHostCall: the request leaves a note, no signal disturbs the host function again, and its end parks.
func TestParkInHostCall(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		seen := make(chan bool, 1)
		end := thread.Call(spin.Wait, 0, func() {
			if !thread.Park(nil) || thread.InFlight() || !thread.Deferred() {
				t.Errorf("in flight: %v, note: %v; want the note", thread.InFlight(), thread.Deferred())
			}
			if !thread.PokePark() || thread.InFlight() || thread.Parks() != 0 {
				t.Error("interrupted again, or parked in the host function")
			}
			go func() {
				until(func() bool { return thread.ParkState() == spin.Parked })
				seen <- thread.Resume()
			}()
		})
		if end != spin.Returned || !<-seen || thread.Parks() != 1 {
			t.Errorf("ended with %d after %d parks", end, thread.Parks())
		}
	})
}

// TestKillBeatsPark: of both at once only the kill takes effect, and the core is not given away.
func TestKillBeatsPark(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		next := thread.Next()
		end := thread.Call(spin.Wait, 0, func() {
			thread.Park(nil)
			thread.Kill(next)
		})
		if end != spin.Killed || thread.Parks() != 0 || !thread.CancelPark() {
			t.Errorf("ended with %d after %d parks", end, thread.Parks())
		}
	})
}

// TestParkStands: a request that comes with the end of its call parks it, or stands until it is taken back; then the next
// call is not stopped, not even by a signal that was on its way.
func TestParkStands(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		stood := 0
		for range 500 {
			before := thread.Parks()
			asked := make(chan struct{})
			go func() {
				defer close(asked)
				thread.Park(nil)
				until(func() bool { return thread.Resume() || thread.ParkState() == spin.NotAsked })
			}()
			thread.Call(spin.Short, 2000, nil)
			until(func() bool { return thread.ParkState() != spin.NotAsked || thread.Parks() > before })
			if thread.ParkState() == spin.Requested {
				stood++
			}
			if !thread.CancelPark() {
				t.Error("a standing request could not be taken back")
			}
			<-asked
			if end := thread.Call(spin.Short, 10, nil); end != spin.Returned || thread.Parks() > before+1 {
				t.Errorf("ended with %d after %d parks", end, thread.Parks()-before)
			}
		}
		t.Logf("%d of 500 requests came after the end", stood)
	})
}

// TestParkAgainAtOnce: a request right after the resume, before the thread runs again, parks it where it is.
func TestParkAgainAtOnce(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		next, before := thread.Next(), thread.Progress()
		done := make(chan struct{})
		go func() {
			defer close(done)
			until(func() bool { return thread.Progress() > before })
			park(thread)
			for range 1000 {
				thread.Resume()
				if !park(thread) {
					t.Error("a resumed guest could not be asked to park")
				}
			}
			end(thread, next)
		}()
		if end := thread.Call(spin.Text, 0, nil); end != spin.Killed {
			t.Errorf("ended with %d", end)
		}
		<-done
		if thread.CancelPark() || thread.Parks() != 1001 {
			t.Errorf("%d parks", thread.Parks())
		}
	})
}

// TestParkTwice: a second request is refused, and so is a resume of what is not parked.
func TestParkTwice(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		if thread.Resume() || !thread.Park(nil) || thread.Park(nil) || thread.Resume() {
			t.Error("asked twice, or resumed without a park")
		}
		if !thread.CancelPark() || thread.PokePark() || !thread.CancelPark() {
			t.Error("the request could not be taken back, or the core is lost by that")
		}
	})
}

// TestSuccessor: it is woken when the guest has stopped, once, and not before.
func TestSuccessor(t *testing.T) {
	waiting := newCore(t)
	defer waiting.close()
	on(t, func(thread *spin.Thread) {
		done := make(chan struct{})
		end := thread.Call(spin.Wait, 0, func() {
			thread.Park(waiting.thread)
			if n := waiting.woken.Load(); n != 0 {
				t.Errorf("woken %d times before the park", n)
			}
			go func() {
				defer close(done)
				until(func() bool { return waiting.woken.Load() == 1 })
				if thread.ParkState() != spin.Parked {
					t.Error("woken by a guest that is not parked")
				}
				thread.Resume()
			}()
		})
		<-done
		if end != spin.Returned || waiting.woken.Load() != 1 {
			t.Errorf("ended with %d, successor woken %d times", end, waiting.woken.Load())
		}
	})
}

// TestToken: a wake before the wait is kept, several count as one, and one that comes later ends the wait.
func TestToken(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		for range 1000 {
			thread.Wake()
			thread.Wake()
			thread.Wait()
			go thread.Wake()
			thread.Wait()
		}
	})
}

// TestSignalsWhileParked: what the Go runtime and operators send is handled below the park, which they do not end.
func TestSignalsWhileParked(t *testing.T) {
	terminations := make(chan os.Signal, 100)
	signal.Notify(terminations, syscall.SIGTERM)
	defer signal.Stop(terminations)
	if err := pprof.StartCPUProfile(&bytes.Buffer{}); err != nil {
		t.Log("no CPU profile beside it:", err)
	}
	defer pprof.StopCPUProfile()
	for name, kind := range endless {
		t.Run(name, func(t *testing.T) {
			on(t, func(thread *spin.Thread) {
				next, before := thread.Next(), thread.Progress()
				done := make(chan struct{})
				go func() {
					defer close(done)
					until(func() bool { return thread.Progress() > before })
					park(thread)
					before = thread.Progress()
					for range 100 {
						for _, number := range []syscall.Signal{syscall.SIGPROF, syscall.SIGURG, syscall.SIGTERM} {
							if err := thread.Send(number); err != nil {
								t.Error(err)
							}
						}
						<-terminations // the thread has come out of the handler
					}
					if thread.ParkState() != spin.Parked || thread.Progress() != before {
						t.Error("another signal ended the park")
					}
					thread.Resume()
					until(func() bool { return thread.Progress() > before })
					end(thread, next)
				}()
				if end := thread.Call(kind, 0, nil); end != spin.Killed {
					t.Errorf("ended with %d", end)
				}
				<-done
			})
		})
	}
}
