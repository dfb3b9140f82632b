package kvstore

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var killRounds = flag.Int("kv.kill-rounds", 24, "rounds of the kill test")

const (
	killWriters = 16
	killKeys    = 12 // of each writer
)

// effect is what operation i of a writer does: keys to set, or to delete when the value is empty.
type effect struct{ key, value string }

// effects is computed by the child that does them and by the parent that checks them. More than one is an Apply.
func effects(seed int64, writer, i int) []effect {
	r := rand.New(rand.NewPCG(uint64(seed), uint64(writer)<<32|uint64(i)))
	out := make([]effect, 1)
	if r.IntN(3) == 0 {
		out = make([]effect, 2+r.IntN(6))
	}
	for n := range out {
		out[n].key = fmt.Sprintf("w%02d/%02d", writer, r.IntN(killKeys))
		if r.IntN(4) > 0 {
			out[n].value = strings.Repeat(fmt.Sprintf("%d.%d.%d ", seed, i, n), 1+r.IntN(30)*r.IntN(30))
		}
	}
	return out
}

// writerChild writes until it is killed and reports each acknowledgement in one line: "ack WRITER I", "count WRITER" for an increment
// of the shared counter, "pair WRITER I" for a batched Apply, "token T" for a lock.
func writerChild(path string, seed int64, out io.Writer) int { //nolint:unparam // an exit code, of a child that is killed or fails
	s, err := Open(path, &Options{LockTimeout: 10 * time.Second, BatchDelay: 5 * time.Millisecond})
	if err != nil {
		fmt.Fprintln(out, "fail", err)
		return 1
	}
	sync1, err1 := s.Space("sync", Sync)
	batched, err2 := s.Space("batched", Batched)
	if err := errors.Join(err1, err2); err != nil {
		fmt.Fprintln(out, "fail", err)
		return 1
	}
	var wg sync.WaitGroup
	for w := range killWriters {
		wg.Go(func() {
			for i := 0; ; i++ {
				if err := childStep(sync1, batched, seed, w, i, out); err != nil {
					fmt.Fprintln(out, "fail", err)
					return
				}
			}
		})
	}
	wg.Wait()
	return 1
}

func childStep(sp, batched *Space, seed int64, w, i int, out io.Writer) error {
	ctx := context.Background()
	if err := childWrite(ctx, sp, effects(seed, w, i), i); err != nil {
		return err
	}
	fmt.Fprintf(out, "ack %d %d\n", w, i)
	switch i % 8 {
	case 1:
		if err := increment(ctx, sp); err != nil {
			return err
		}
		fmt.Fprintf(out, "count %d\n", w)
	case 3:
		token, err := sp.Lock(ctx, []byte("lock"), time.Minute)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "token %d\n", token)
		return sp.Unlock([]byte("lock"), token)
	case 5:
		v := fmt.Appendf(nil, "%d/%d", seed, i)
		_, err := batched.Apply(ctx, []Op{
			{Kind: OpSet, Key: fmt.Appendf(nil, "%d/a", w), Value: v}, {Kind: OpSet, Key: fmt.Appendf(nil, "%d/z", w), Value: v},
		})
		return err
	}
	return nil
}

// childWrite does one step as Set, Delete, CompareAndSwap or Apply.
func childWrite(ctx context.Context, sp *Space, effs []effect, i int) error {
	ops := make([]Op, len(effs))
	for n, e := range effs {
		ops[n] = Op{Kind: OpDelete, Key: []byte(e.key)}
		if e.value != "" {
			ops[n] = Op{Kind: OpSet, Key: []byte(e.key), Value: []byte(e.value)}
		}
	}
	switch o := ops[0]; {
	case len(ops) > 1:
		_, err := sp.Apply(ctx, ops)
		return err
	case i%2 == 0:
		old, err := sp.Get(o.Key, []byte{})
		if errors.Is(err, ErrNotFound) {
			old = nil
		} else if err != nil {
			return err
		}
		return sp.CompareAndSwap(ctx, o.Key, old, o.Value)
	case o.Kind == OpDelete:
		_, err := sp.Delete(ctx, o.Key)
		return err
	default:
		return sp.Set(ctx, o.Key, o.Value)
	}
}

func increment(ctx context.Context, sp *Space) error {
	for {
		old, err := sp.Get([]byte("counter"), []byte{})
		if errors.Is(err, ErrNotFound) {
			old = nil
		} else if err != nil {
			return err
		}
		n := 0
		if old != nil {
			if _, err := fmt.Sscan(string(old), &n); err != nil {
				return err
			}
		}
		err = sp.CompareAndSwap(ctx, []byte("counter"), old, fmt.Append(nil, n+1))
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// witness is what the parent knows must be true of the file.
type witness struct {
	state    [killWriters]map[string]string // of each writer's keys, after its last acknowledged step
	acked    [killWriters]int               // steps acknowledged in this round
	counted  int                            // increments acknowledged, all rounds
	maxExtra int                            // increments that may have happened without an acknowledgement
	token    uint64                         // the greatest seen before this round
	tokens   map[uint64]bool                // of this round
	total    int
}

// TestKill kills a writing process at random moments and checks that the file has every acknowledged write, no torn batch, and that
// fencing tokens go on increasing.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: forks many writers")
	}
	path := filepath.Join(t.TempDir(), "kv.db")
	wit := &witness{}
	for w := range wit.state {
		wit.state[w] = map[string]string{}
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range *killRounds {
		acks := r.IntN(300)
		if round%6 == 0 {
			acks = r.IntN(2) // right at the start, the first time while the file is made
		}
		runKillRound(t, path, int64(round+1), acks, time.Duration(r.IntN(3000))*time.Microsecond, wit)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && wit.total == 0 {
			continue // killed before the file had its name
		}
		verifyKilled(t, path, int64(round+1), wit)
		if t.Failed() {
			t.Fatalf("round %d, %d acknowledgements, killed after %d of them", round, wit.total, acks)
		}
	}
	t.Logf("%d rounds, %d acknowledged steps, %d increments, greatest token %d", *killRounds, wit.total, wit.counted, wit.token)
	if wit.total == 0 {
		t.Error("no round acknowledged anything")
	}
}

// runKillRound starts a writer and kills it a little after it has acknowledged so many steps.
func runKillRound(t *testing.T, path string, seed int64, acks int, extra time.Duration, wit *witness) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-kv.child=writer", "-kv.path="+path, fmt.Sprintf("-kv.seed=%d", seed))
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill := func() {
		if !killed {
			killed = true
			time.AfterFunc(extra, func() { _ = cmd.Process.Kill() }) // already dead: Wait says so
		}
	}
	if acks == 0 {
		kill()
	}
	wit.acked, wit.tokens = [killWriters]int{}, map[uint64]bool{}
	lines := bufio.NewScanner(pipe)
	for n := 1; lines.Scan(); n++ {
		wit.line(t, seed, lines.Text())
		if n >= acks {
			kill()
		}
	}
	wit.maxExtra += killWriters
	if err := cmd.Wait(); err == nil {
		t.Error("the writer ended by itself")
	}
}

func (wit *witness) line(t *testing.T, seed int64, line string) {
	t.Helper()
	var w, i int
	var token uint64
	switch {
	case scanf(line, "ack %d %d", &w, &i):
		if i != wit.acked[w] {
			t.Errorf("writer %d acknowledged %d after %d", w, i, wit.acked[w])
		}
		wit.acked[w]++
		wit.total++
		play(wit.state[w], effects(seed, w, i))
	case scanf(line, "count %d", &w):
		wit.counted++
	case scanf(line, "token %d", &token):
		if token <= wit.token || wit.tokens[token] {
			t.Errorf("token %d is not new: the last round ended at %d", token, wit.token)
		}
		wit.tokens[token] = true
	default:
		t.Errorf("writer says %q", line)
	}
}

func scanf(line, format string, args ...any) bool {
	n, err := fmt.Sscanf(line, format, args...)
	return err == nil && n == len(args)
}

func play(state map[string]string, effs []effect) {
	for _, e := range effs {
		if e.value == "" {
			delete(state, e.key)
			continue
		}
		state[e.key] = e.value
	}
}

func verifyKilled(t *testing.T, path string, seed int64, wit *witness) {
	t.Helper()
	checkConsistent(t, path)
	s, err := Open(path, &Options{LockTimeout: 10 * time.Second})
	if err != nil {
		t.Fatalf("Open after kill: %v", err)
	}
	defer s.Close()
	sp := mustSpace(t, s, "sync", Sync)
	for w := range wit.state {
		got := map[string]string{}
		err := sp.Scan(fmt.Appendf(nil, "w%02d/", w), nil, func(k, v []byte) bool { got[string(k)] = string(v); return true })
		if err != nil {
			t.Errorf("writer %d: %v", w, err)
		}
		next := maps.Clone(wit.state[w])
		play(next, effects(seed, w, wit.acked[w])) // the step under way may have happened, as a whole
		if !maps.Equal(got, wit.state[w]) && !maps.Equal(got, next) {
			t.Errorf("writer %d: %d keys are neither as after step %d nor as after the next", w, len(got), wit.acked[w])
		}
		wit.state[w] = got
	}
	verifyShared(t, s, sp, wit)
}

// verifyShared checks the counter, the batched pairs and the tokens.
func verifyShared(t *testing.T, s *Store, sp *Space, wit *witness) {
	t.Helper()
	count := 0
	v, err := sp.Get([]byte("counter"), nil)
	if err == nil {
		_, err = fmt.Sscan(string(v), &count)
	}
	if err != nil && !errors.Is(err, ErrNotFound) || count < wit.counted || count > wit.counted+wit.maxExtra {
		t.Errorf("counter is %d, %v; acknowledged %d", count, err, wit.counted)
	}
	batched := mustSpace(t, s, "batched", Batched)
	for w := range killWriters {
		a, errA := batched.Get(fmt.Appendf(nil, "%d/a", w), nil)
		z, errZ := batched.Get(fmt.Appendf(nil, "%d/z", w), nil)
		if string(a) != string(z) || !errors.Is(errZ, errA) {
			t.Errorf("writer %d: torn batch: %q %v, %q %v", w, a, errA, z, errZ)
		}
	}
	for token := range wit.tokens {
		wit.token = max(wit.token, token)
	}
	token, err := sp.Lock(t.Context(), []byte("lock"), time.Minute)
	if err != nil || token <= wit.token {
		t.Errorf("token after the kill: %d, %v; seen %d", token, err, wit.token)
	}
	wit.token = max(wit.token, token)
}
