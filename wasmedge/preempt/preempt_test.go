//go:build cgo

package preempt_test

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"edged.dev/edge/wasmedge/preempt"
	"edged.dev/edge/wasmedge/preempt/spin"
)

func TestMain(m *testing.M) {
	if err := spin.Install(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// on runs f on an OS thread of its own with a slot.
func on(t *testing.T, f func(*spin.Thread)) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread, err := spin.Attach()
		if err == nil {
			f(thread)
			thread.Detach()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// killer ends the thread's next call from another goroutine once it runs, and says afterwards whether it could.
func killer(thread *spin.Thread, wait func() bool) (killed chan bool) {
	next := thread.Next()
	killed = make(chan bool, 1)
	go func() {
		until(wait)
		killed <- end(thread, next)
	}()
	return killed
}

// TestKill ends guests that never end by themselves, in text and outside.
func TestKill(t *testing.T) {
	for name, kind := range map[string]spin.Kind{"text": spin.Text, "host": spin.Host, "library": spin.Library} {
		t.Run(name, func(t *testing.T) {
			on(t, func(thread *spin.Thread) {
				for range 500 {
					before := thread.Progress()
					killed := killer(thread, func() bool { return thread.Progress() > before })
					if end := thread.Call(kind, 0, nil); end != spin.Killed {
						t.Errorf("ended with %d, want killed", end)
					}
					if !<-killed {
						t.Error("a running call could not be killed")
					}
					if thread.Running() {
						t.Error("still running after its end")
					}
				}
				if end := thread.Call(spin.Short, 1000, nil); end != spin.Returned {
					t.Errorf("the call after it ended with %d", end)
				}
			})
		})
	}
}

// TestKillDuringGoCallback: the kill leaves a note, no signal disturbs the host function again, and its end is the guest's.
func TestKillDuringGoCallback(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		next := thread.Next()
		returned := false
		end := thread.Call(spin.Wait, 0, func() {
			if !thread.Current() {
				t.Error("the thread is not known to run this guest")
			}
			if !thread.Kill(next) {
				t.Error("the call could not be killed")
			}
			// The signal came before the system call that sent it returned.
			if thread.InFlight() || !thread.Deferred() {
				t.Errorf("in flight: %v, note: %v; want the note", thread.InFlight(), thread.Deferred())
			}
			if !thread.Poke(next) || thread.InFlight() {
				t.Error("a guest that will see the note is interrupted again, or is not to be killed any more")
			}
			returned = true
		})
		if end != spin.Killed || !returned {
			t.Errorf("ended with %d, host function done: %v", end, returned)
		}
		if thread.Current() {
			t.Error("a call is still in progress")
		}
	})
}

// TestDoomed: a call that is killed before it begins does not begin, and the one after it does.
func TestDoomed(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		for range 100 {
			next, before := thread.Next(), thread.Progress()
			if !thread.Kill(next) {
				t.Error("the next call could not be killed")
			}
			if thread.Kill(next) {
				t.Error("it could be killed twice")
			}
			if thread.Poke(next) || thread.InFlight() {
				t.Error("a call that has not begun is interrupted")
			}
			if end := thread.Call(spin.Text, 0, nil); end != spin.Doomed || thread.Progress() != before {
				t.Errorf("ended with %d after %d rounds", end, thread.Progress()-before)
			}
			if end := thread.Call(spin.Short, 10, nil); end != spin.Returned {
				t.Errorf("the call after it ended with %d", end)
			}
		}
	})
}

// TestSkip: a kill of a call that is given up reaches no other.
func TestSkip(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		given := thread.Next()
		if !thread.Kill(given) {
			t.Error("the next call could not be killed")
		}
		thread.Skip()
		if thread.Kill(given) || thread.Poke(given) {
			t.Error("a call that was given up could be killed")
		}
		if next := thread.Next(); next != given+1 {
			t.Errorf("the next call is %d after %d was given up", next, given)
		}
		if end := thread.Call(spin.Short, 10, nil); end != spin.Returned {
			t.Errorf("the call after it ended with %d", end)
		}
	})
}

// TestKillIsAimedAtACall: no generation but the running and the next can be killed.
func TestKillIsAimedAtACall(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		for range 3 {
			thread.Call(spin.Short, 1, nil)
		}
		next := thread.Next()
		end := thread.Call(spin.Wait, 0, func() {
			for _, other := range []uint64{0, 1, next - 1, next + 1, next + 2, 1 << 55, ^uint64(0)} {
				if thread.Kill(other) || thread.Poke(other) {
					t.Errorf("call %d was killed while %d runs", other, next)
				}
			}
		})
		if end != spin.Returned {
			t.Errorf("ended with %d", end)
		}
		for _, other := range []uint64{0, next, next + 2} {
			if thread.Kill(other) {
				t.Errorf("call %d was killed before %d begins", other, next+1)
			}
		}
	})
}

// TestKillTwice: the second asker is told that it was not the one.
func TestKillTwice(t *testing.T) {
	on(t, func(thread *spin.Thread) {
		next := thread.Next()
		end := thread.Call(spin.Wait, 0, func() {
			if first, second := thread.Kill(next), thread.Kill(next); !first || second {
				t.Errorf("first %v, second %v", first, second)
			}
		})
		if end != spin.Killed {
			t.Errorf("ended with %d", end)
		}
	})
}

// queueFull lets f run while no signal can be queued for this process, until f restores that.
func queueFull(t *testing.T, f func(restore func() error)) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_SIGPENDING, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_SIGPENDING, &unix.Rlimit{Cur: 0, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	restore := sync.OnceValue(func() error { return unix.Setrlimit(unix.RLIMIT_SIGPENDING, &before) })
	defer func() { _ = restore() }()
	f(restore)
}

// TestSignalQueueFull: a signal that cannot be sent is not taken for one in flight, and the next poke sends it.
func TestSignalQueueFull(t *testing.T) {
	for name, test := range map[string]struct {
		ask, poke func(thread *spin.Thread, next uint64) bool
		want      spin.End
	}{
		"kill": {(*spin.Thread).Kill, (*spin.Thread).Poke, spin.Killed},
		"park": {
			func(thread *spin.Thread, _ uint64) bool { return thread.Park(nil) },
			func(thread *spin.Thread, _ uint64) bool { return thread.PokePark() },
			spin.Returned,
		},
	} {
		t.Run(name, func(t *testing.T) {
			queueFull(t, func(restore func() error) {
				on(t, func(thread *spin.Thread) {
					next := thread.Next()
					end := thread.Call(spin.Wait, 0, func() {
						if !test.ask(thread, next) {
							t.Error("a running call cannot be asked")
						}
						if os.Getenv("EDGED_TEST_EMULATOR") == "" && thread.Deferred() {
							t.Error("a signal came through a full queue: this test tests nothing")
						}
						if thread.InFlight() {
							t.Error("a signal that was not sent counts as in flight")
						}
						if err := restore(); err != nil {
							t.Error(err)
						}
						if !test.poke(thread, next) || !thread.Deferred() {
							t.Error("the poke did not send it")
						}
						if test.want == spin.Returned {
							go until(thread.Resume)
						}
					})
					if end != test.want {
						t.Errorf("ended with %d", end)
					}
				})
			})
		})
	}
}

// TestMaskIsOpened: a thread that was started with the signal blocked can be interrupted all the same.
func TestMaskIsOpened(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var set unix.Sigset_t
		number := uint(preempt.Signal()) - 1
		set.Val[number/64] |= 1 << (number % 64)
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
			t.Error(err)
			return
		}
		thread, err := spin.Attach()
		if err != nil {
			t.Error(err)
			return
		}
		defer thread.Detach()
		killed := killer(thread, thread.Running)
		if end := thread.Call(spin.Text, 0, nil); end != spin.Killed {
			t.Errorf("ended with %d", end)
		}
		<-killed
	}()
	<-done
}
