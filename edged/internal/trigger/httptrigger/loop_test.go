package httptrigger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/edged/internal/invoke"
)

// idleLoop returns a loop that nobody runs.
func idleLoop(t *testing.T) *loop {
	t.Helper()
	l, err := newLoop(New(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

// wakeUps returns how often the loop has been woken since the last call.
func wakeUps(t *testing.T, l *loop) uint64 {
	t.Helper()
	var count [8]byte
	_, err := unix.Read(l.poller.waker, count[:])
	if errors.Is(err, unix.EAGAIN) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return binary.NativeEndian.Uint64(count[:])
}

// TestWakeUps counts what wakes a loop: only the last of several answers, and nothing while it is awake.
func TestWakeUps(t *testing.T) {
	l := idleLoop(t)
	conns := []*conn{newConn(l, -1, ""), newConn(l, -1, ""), newConn(l, -1, "")}
	for _, step := range []struct {
		name   string
		asleep bool
		do     func()
		want   uint64
	}{
		{"flush of nothing", true, l.flush, 0},
		{"an answer, others follow", true, func() { l.wake(conns[0], true) }, 0},
		{"the same connection again", true, func() { l.wake(conns[0], true) }, 0},
		{"another, others follow", true, func() { l.wake(conns[1], true) }, 0},
		{"flush", true, l.flush, 1},
		{"flush again, the loop is waking up", false, l.flush, 0},
		{"an answer to a loop that is awake", false, func() { l.wake(conns[2], false) }, 0},
		{"an answer on a connection that waits already", true, func() { l.wake(conns[0], false) }, 1},
		{"a task", true, func() { l.post(func() {}) }, 1},
		{"a task for a loop that is awake", false, func() { l.post(func() {}) }, 0},
	} {
		l.asleep.Store(step.asleep)
		step.do()
		if got := wakeUps(t, l); got != step.want {
			t.Errorf("%s: %d wake-ups, want %d", step.name, got, step.want)
		}
		if step.want > 0 && l.asleep.Load() {
			t.Errorf("%s: the loop would be woken twice", step.name)
		}
	}
	var order []*conn
	for c := l.woken.Load(); c != nil; c = c.below {
		order = append(order, c)
	}
	if len(order) != 3 || order[2] != conns[0] || order[0] != conns[2] {
		t.Errorf("%d connections are woken, want each once", len(order))
	}
}

// TestRoundLooksBeforeItSleeps: what was added while the loop was awake is done in the next round, without a wake-up.
func TestRoundLooksBeforeItSleeps(t *testing.T) {
	l := idleLoop(t)
	done := 0
	l.post(func() { done++ })
	l.post(func() { done++ })
	if err := l.round(false); err != nil || done != 2 {
		t.Errorf("%d of 2 tasks done, %v", done, err)
	}
	gone := newConn(l, -1, "")
	gone.closed.Store(true)
	l.wake(gone, true)
	if err := l.round(false); err != nil || l.woken.Load() != nil || gone.woken.Load() {
		t.Errorf("a woken connection was not looked at, %v", err)
	}
}

// TestRoundLooksWhetherItsWorkerIsWanted: a worker that was wanted between its last look and its sleep has not been woken, so it must not
// sleep.
func TestRoundLooksWhetherItsWorkerIsWanted(t *testing.T) {
	l := idleLoop(t)
	looks := 0
	l.stop = func() bool {
		looks++
		return l.asleep.Load() // wanted just now: whoever wants it has found the loop awake before
	}
	if err := l.round(false); err != nil || looks != 1 || l.asleep.Load() {
		t.Errorf("%d looks, asleep %t, %v", looks, l.asleep.Load(), err)
	}
}

// batches holds invocations back until they are flushed, and answers them in batches of random size, each with one flush
// at its end.
type batches struct {
	queue chan *invoke.Invocation
	flush func()
	wg    sync.WaitGroup
	most  atomic.Int64 // invocations held back at once

	mu   sync.Mutex
	held []*invoke.Invocation // guarded by mu
}

func (b *batches) Submit(*invoke.Invocation) error { return errors.New("not for a batcher") }

func (b *batches) SubmitMore(inv *invoke.Invocation) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = append(b.held, inv)
	b.most.Store(max(b.most.Load(), int64(len(b.held))))
	return nil
}

func (b *batches) Flush() {
	b.mu.Lock()
	held := b.held
	b.held = nil
	b.mu.Unlock()
	for _, inv := range held {
		b.queue <- inv
	}
}

func (b *batches) Route(*invoke.Invocation) ([]string, error) { return nil, nil }

func (b *batches) work(rnd *rand.Rand) {
	for inv := range b.queue {
		for left := rnd.IntN(5); inv != nil; left-- {
			inv.Done(inv, invoke.Result{Body: []byte(inv.Request.RawQuery), More: true})
			inv = nil
			if left > 0 {
				select {
				case inv = <-b.queue:
				default:
				}
			}
		}
		b.flush()
	}
}

// TestFlushLosesNothing serves pipelined requests by workers that put every wake-up off until a flush, and a submitter
// that does the same, without the ticker that would make up for a lost one.
func TestFlushLosesNothing(t *testing.T) {
	const workers, clients, rounds, depth, loops = 3, 6, 300, 20, 2
	b := &batches{queue: make(chan *invoke.Invocation, clients*depth)}
	s := New(Options{Addr: "127.0.0.1:0", Router: b, Submitter: b, Loops: loops})
	fd, addr, err := listen(t.Context(), s.opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.openLoops(fd); err != nil {
		t.Fatal(err)
	}
	s.begun.Store(true)
	s.source = invoke.SourceHTTP // else Nagle delays the answers
	b.flush = s.Flush
	for _, l := range s.loops {
		s.wg.Go(l.run)
	}
	for i := range uint64(workers) {
		b.wg.Go(func() { b.work(rand.New(rand.NewPCG(i, 1))) })
	}
	var asking sync.WaitGroup
	for range clients {
		asking.Go(func() {
			if err := ask(addr.String(), rounds, depth); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	for _, l := range s.loops { // first: they send on the queue
		l.halt()
	}
	s.wg.Wait()
	close(b.queue)
	b.wg.Wait()
	if most := b.most.Load(); most < 2 || most > loops*maxPutOff {
		t.Errorf("%d invocations were held back at once, want 2 to %d for each loop", most, maxPutOff)
	}
	for _, l := range s.loops {
		l.close()
	}
}

// ask sends requests, depth at a time, and checks that the answers come in their order.
func ask(addr string, rounds, depth int) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	r := bufio.NewReader(c)
	for round := range rounds {
		var out, want strings.Builder
		for i := range depth {
			fmt.Fprintf(&out, "GET /t?%06d HTTP/1.1\r\nHost: h\r\n\r\n", round*depth+i)
			fmt.Fprintf(&want, "%06d", round*depth+i)
		}
		if _, err := io.WriteString(c, out.String()); err != nil {
			return err
		}
		var got strings.Builder
		for range depth {
			line := ""
			for line != "\r\n" {
				if line, err = r.ReadString('\n'); err != nil {
					return fmt.Errorf("round %d: %w", round, err)
				}
			}
			if _, err := io.CopyN(&got, r, 6); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
		if got.String() != want.String() {
			return fmt.Errorf("round %d: bodies %s, want %s", round, got.String(), want.String())
		}
	}
	return nil
}
