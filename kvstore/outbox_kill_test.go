package kvstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// eventChild writes keys that a rule matches, ends what it is delivered, and is killed amid that. It prints "ack KEY" when a write of the
// Sync space returned, and "got KEY" when it is delivered, before it ends the delivery.
func eventChild(path string, seed int64, out io.Writer) int { //nolint:unparam // an exit code, of a child that is killed or fails
	s, err := Open(path, &Options{LockTimeout: 10 * time.Second, BatchDelay: 2 * time.Millisecond})
	if err != nil {
		fmt.Fprintln(out, "fail", err)
		return 1
	}
	m := newMailbox()
	if err := s.Outbox().SetRules(killRules(), m); err != nil {
		fmt.Fprintln(out, "fail", err)
		return 1
	}
	var print sync.Mutex
	say := func(what, key string) {
		print.Lock()
		defer print.Unlock()
		fmt.Fprintln(out, what, key)
	}
	go eventEnder(s.Outbox(), m, seed, say)
	var wg sync.WaitGroup
	sync1, err1 := s.Space("sync", Sync)
	batched, err2 := s.Space("batched", Batched)
	if err := errors.Join(err1, err2); err != nil {
		fmt.Fprintln(out, "fail", err)
		return 1
	}
	for w := range killWriters {
		wg.Go(func() {
			for i := 0; ; i++ {
				sp := sync1
				if i%2 == 1 {
					sp = batched
				}
				key := fmt.Sprintf("%s/%d/%d/%d", sp.Name(), seed, w, i)
				if err := sp.Set(context.Background(), []byte(key), []byte(key)); err != nil {
					fmt.Fprintln(out, "fail", err)
					return
				}
				if sp == sync1 {
					say("ack", key)
				}
			}
		})
	}
	wg.Wait()
	return 1
}

func killRules() []Rule {
	sync1, batched := prefixRule("app/sync", "sync", "sync/", OnNew), prefixRule("app/batched", "batched", "batched/", OnSet)
	sync1.Window, batched.Window = 16, 16
	return []Rule{sync1, batched}
}

// eventEnder ends most deliveries, and keeps some for ever.
func eventEnder(o *Outbox, m *mailbox, seed int64, say func(what, key string)) {
	r := rand.New(rand.NewPCG(uint64(seed), 2))
	kept := 0
	for range m.came {
		m.mu.Lock()
		list := m.list
		m.list = nil
		m.mu.Unlock()
		for _, d := range list {
			if kept < 10 && r.IntN(4) == 0 {
				kept++
				continue
			}
			say("got", d.Key)
			o.Done(d)
		}
	}
}

// TestKillEvents kills a process amid writes with events. No acknowledged change may be without its event, and no event without its change.
func TestKillEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: forks many writers")
	}
	path := filepath.Join(t.TempDir(), "kv.db")
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	acked, got := map[string]bool{}, map[string]bool{}
	for round := range max(*killRounds/2, 1) {
		runEventRound(t, path, int64(round+1), r.IntN(120), acked, got)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		verifyEvents(t, path, acked, got)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("%d acknowledged, %d delivered", len(acked), len(got))
	if len(acked) == 0 || len(got) == 0 {
		t.Error("nothing happened in any round")
	}
}

// runEventRound runs the child and kills it after so many acknowledgements.
func runEventRound(t *testing.T, path string, seed int64, after int, acked, got map[string]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-kv.child=events", "-kv.path="+path, fmt.Sprintf("-kv.seed=%d", seed))
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	for n := 0; lines.Scan(); {
		var key string
		switch line := lines.Text(); {
		case scanf(line, "ack %s", &key):
			acked[key] = true
			n++
		case scanf(line, "got %s", &key):
			got[key] = true
		default:
			t.Errorf("the child says %q", line)
		}
		if n >= after {
			_ = cmd.Process.Kill() // dead already: Wait says so
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
}

// verifyEvents compares what is in the file with what was seen.
func verifyEvents(t *testing.T, path string, acked, got map[string]bool) {
	t.Helper()
	checkConsistent(t, path)
	s, err := Open(path, &Options{LockTimeout: 10 * time.Second})
	if err != nil {
		t.Fatalf("Open after kill: %v", err)
	}
	defer s.Close()
	pending := map[string]bool{}
	for _, rule := range killRules() {
		list, _, bad, err := s.Outbox().read(rule.ID, 0, 1<<30)
		if err != nil || len(bad) > 0 {
			t.Fatalf("read events: %d damaged, %v", len(bad), err)
		}
		for _, d := range list {
			pending[d.Key] = true
		}
	}
	stored := map[string]bool{}
	for name, d := range map[string]Durability{"sync": Sync, "batched": Batched} {
		err := mustSpace(t, s, name, d).Scan(nil, nil, func(key, _ []byte) bool {
			stored[string(key)] = true
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for key := range acked {
		if !stored[key] {
			t.Errorf("acknowledged write of %s is lost", key)
		}
	}
	for key := range stored {
		if !pending[key] && !got[key] {
			t.Errorf("%s was written and its event is lost", key)
		}
	}
	for key := range pending {
		if !stored[key] {
			t.Errorf("there is an event of %s, which was not written", key)
		}
	}
}
