package httptrigger_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
)

// attending are workers that attend to the loops of a server while they have nothing to run, as those of the scheduler do.
type attending struct {
	loops  []*httptrigger.Attendant
	tended bool          // what the loops' own goroutines are told
	inTend []atomic.Bool // for each worker
	took   atomic.Int64  // requests that came to a worker that was at a loop

	mu     sync.Mutex
	more   *sync.Cond           // on mu: there is something in the queue, or it is over
	queue  []*invoke.Invocation // guarded by mu
	over   bool                 // guarded by mu
	wg     sync.WaitGroup
	wanted atomic.Bool // the queue is not empty, or it is over
}

func (a *attending) Submit(inv *invoke.Invocation) error {
	a.mu.Lock()
	a.queue = append(a.queue, inv)
	a.wanted.Store(true)
	a.mu.Unlock()
	for i := range a.inTend {
		if a.inTend[i].Load() {
			a.took.Add(1)
			break
		}
	}
	a.rouse()
	return nil
}

func (a *attending) rouse() {
	a.more.Broadcast()
	for _, l := range a.loops {
		l.Rouse()
	}
}

func (a *attending) end() {
	a.mu.Lock()
	a.over = true
	a.wanted.Store(true)
	a.mu.Unlock()
	a.rouse()
	a.wg.Wait()
}

// take returns the next invocation; nil when there is none.
func (a *attending) take() (inv *invoke.Invocation, more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		a.wanted.Store(a.over)
		return nil, false
	}
	inv, a.queue = a.queue[0], a.queue[1:]
	return inv, len(a.queue) > 0
}

// sleep waits for work; false when it is over.
func (a *attending) sleep() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) == 0 && !a.over {
		a.more.Wait()
	}
	return !a.over || len(a.queue) > 0
}

func (a *attending) work(n int) {
	loop := a.loops[n%len(a.loops)]
	for {
		if inv, more := a.take(); inv != nil {
			now := time.Now()
			inv.Stamps.Queued, inv.Stamps.Picked, inv.Stamps.Started = now, now, now
			res := inv.Target.(target).run(inv)
			inv.Stamps.Ended, res.More = time.Now(), true
			inv.Done(inv, res)
			for _, l := range a.loops {
				l.Attend(more)
			}
			continue
		}
		a.mu.Lock()
		over := a.over
		a.mu.Unlock()
		switch {
		case over:
			return
		case loop.Enter():
			a.inTend[n].Store(true)
			loop.Tend(a.wanted.Load)
			a.inTend[n].Store(false)
		case !a.sleep():
			return
		}
	}
}

// attend serves with workers that attend to the loops.
func attend(t *testing.T, loops, n int, tended bool, guests map[invoke.FunctionName]guest) (*site, *attending) {
	t.Helper()
	a := &attending{inTend: make([]atomic.Bool, n), tended: tended}
	a.more = sync.NewCond(&a.mu)
	s := serve(t, setup{
		guests: guests, jobs: 1, wrap: func(*workers) trigger.Submitter { return a },
		opts: httptrigger.Options{Loops: loops, Tended: func(int) bool { return a.tended }},
	})
	a.loops = s.Attendants()
	for i := range n {
		a.wg.Go(func() { a.work(i) })
	}
	t.Cleanup(a.end)
	return s, a
}

func ask(t *testing.T, client *http.Client, url, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	res, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	got, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || string(got) != body {
		t.Errorf("status %d, %q, %v; want 200 and %q", res.StatusCode, got, err, body)
	}
}

// TestWorkersAttend has more clients than workers, and loops that are shared: every request is answered rightly, and workers had
// a part in receiving them.
func TestWorkersAttend(t *testing.T) {
	for _, c := range []struct{ loops, workers int }{{1, 1}, {1, 3}, {2, 2}, {3, 1}} {
		t.Run(fmt.Sprintf("loops=%d,workers=%d", c.loops, c.workers), func(t *testing.T) {
			s, a := attend(t, c.loops, c.workers, true, nil)
			var clients sync.WaitGroup
			for n := range 8 {
				clients.Go(func() {
					client := &http.Client{Transport: &http.Transport{}}
					defer client.CloseIdleConnections()
					for i := range 150 {
						ask(t, client, "http://"+s.address+"/t/echo", fmt.Sprintf("%d.%d", n, i))
					}
				})
			}
			clients.Wait()
			if a.took.Load() == 0 {
				t.Error("no request came to a worker")
			}
		})
	}
}

// TestNeglectedLoopIsServed: all workers are in guests, and what arrives then is received all the same, by the loop's own thread,
// whatever that was told before.
func TestNeglectedLoopIsServed(t *testing.T) {
	for _, tended := range []bool{true, false} {
		t.Run(fmt.Sprint("tended=", tended), func(t *testing.T) {
			release, begun := make(chan struct{}), make(chan struct{})
			s, a := attend(t, 1, 1, tended, map[invoke.FunctionName]guest{"long": func(*invoke.Invocation) invoke.Result {
				close(begun)
				<-release
				return invoke.Result{Body: []byte("x")}
			}})
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			ask(t, client, "http://"+s.address+"/t/echo", "before")
			var long sync.WaitGroup
			long.Go(func() {
				own := &http.Client{Transport: &http.Transport{}}
				defer own.CloseIdleConnections()
				ask(t, own, "http://"+s.address+"/t/long", "x")
			})
			<-begun
			arrived := make(chan struct{})
			long.Go(func() {
				defer close(arrived)
				ask(t, client, "http://"+s.address+"/t/echo", "meanwhile")
			})
			for deadline := time.Now().Add(patience); ; {
				a.mu.Lock()
				n := len(a.queue)
				a.mu.Unlock()
				if n == 1 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("nobody received the request")
				}
				select {
				case <-arrived:
					t.Fatal("answered without a worker")
				case <-time.After(time.Millisecond):
				}
			}
			close(release)
			<-arrived
			long.Wait()
		})
	}
}

// TestCloseTakesTheLoopBack: the server ends while a worker waits at its loop, and the worker gets away.
func TestCloseTakesTheLoopBack(t *testing.T) {
	s, a := attend(t, 1, 1, true, nil)
	client := &http.Client{Transport: &http.Transport{}}
	ask(t, client, "http://"+s.address+"/t/echo", "x")
	client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	a.end()
	if a.loops[0].Enter() {
		t.Error("a worker got at a loop that has ended")
	}
}
