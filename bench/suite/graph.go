package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"edged.dev/edge/bench/load"
	"edged.dev/edge/bench/server"
)

// startGraph starts a daemon, on all cores unless they are given, with an app that is built of a folder of C.
func (l *Lab) startGraph(ctx context.Context, cpus []int, dir string, change func(manifest string) string) (*server.Server, error) {
	name := filepath.Base(dir)
	app := l.path("graph", name)
	if err := os.MkdirAll(app, 0o750); err != nil {
		return nil, err
	}
	if err := writeText(filepath.Join(app, "edged.yaml"), change(readText(filepath.Join(dir, "edged.yaml"))+"\n")); err != nil {
		return nil, err
	}
	module := filepath.Join(app, name+".wasm")
	if sources, _ := filepath.Glob(filepath.Join(dir, "*.c")); len(sources) > 0 {
		if err := l.run(ctx, l.options.Bench, nil, "clang", append([]string{
			"--target=wasm32-wasi", "-O2", "-msimd128", "-mexec-model=reactor", "-Wl,-s", "-I", "../sdk/c", "-o", module,
		}, sources...)...); err != nil {
			return nil, err
		}
	} else if err := l.run(ctx, dir, []string{"GOOS=wasip1", "GOARCH=wasm"},
		"go", "build", "-buildmode=c-shared", "-ldflags=-s", "-o", module, "."); err != nil {
		return nil, err
	}
	home, err := l.home("limits:\n  body: 64MiB\n", cpus)
	if err != nil {
		return nil, err
	}
	s, err := home.Start(ctx)
	if err != nil {
		return nil, err
	}
	patient, cancel := context.WithTimeout(ctx, l.patience())
	defer cancel()
	if err := home.Deploy(patient, app); err != nil {
		s.Kill() // it may be compiling
		return nil, err
	}
	return s, nil
}

func asIs(manifest string) string { return manifest }

// call makes one request and returns the answer to it, and how long that took.
func call(ctx context.Context, method, url string, body []byte) (string, time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return "", 0, err
	}
	begin := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", 0, fmt.Errorf("call %s: %w", url, err)
	}
	defer func() { _ = response.Body.Close() }() // read below
	answer, err := io.ReadAll(response.Body)
	took := time.Since(begin)
	if err != nil {
		return "", 0, fmt.Errorf("call %s: %w", url, err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return "", 0, fmt.Errorf("%w: %s answers %d with %.300q", ErrAnswer, url, response.StatusCode, answer)
	}
	return string(answer), took, nil
}

// reported calls a function that answers with a number of nanoseconds, and perhaps more, which has to be want.
func reported(ctx context.Context, url, want string) (time.Duration, error) {
	answer, _, err := call(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	number, rest, _ := strings.Cut(answer, " ")
	took, err := time.ParseDuration(number + "ns")
	if err != nil || rest != want {
		return 0, fmt.Errorf("%w: %s answers %.100q", ErrAnswer, url, answer)
	}
	return took, nil
}

// ranged is the median of some times with the least and the most.
func ranged(all []time.Duration, each int) string {
	slices.Sort(all)
	at := func(i int) string { return short(all[i] / time.Duration(each)) }
	if len(all) == 1 {
		return at(0)
	}
	return fmt.Sprintf("%s (%s to %s)", at(len(all)/2), at(0), at(len(all)-1))
}

func short(d time.Duration) string { return duration(micros(d)) }

// keys is B10: reads and writes of a guest.
func (l *Lab) keys(ctx context.Context) (tables []*table, err error) {
	s, err := l.startGraph(ctx, l.serverCPUs, filepath.Join(l.options.Bench, "apps", "graph"), asIs)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	writes := &table{
		title: "B10: writes from a guest, acknowledged when on disk",
		notes: []string{"Each request sets one key. bbolt: as many goroutines of a native Go program make one transaction for each key, on the same file system, right after it in the same round. " +
			"A ratio is that of the same round, with its range."},
		columns: []string{"value:", "writers:", "edged's sets/s:", "p50:", "p99:", "failed:", "bbolt's sets/s:", "edged : bbolt:"},
	}
	for _, size := range []int{100, 10 << 10, 1 << 20} {
		for _, writers := range []int{1, 8, 64} {
			if err := l.writers(ctx, s, writes, size, writers); err != nil {
				return nil, err
			}
		}
	}
	reads := &table{
		title:   "B10: reads of a guest",
		notes:   []string{"The median of 2,000 reads of one key, by the guest's clock, whose call is in it."},
		columns: []string{"value:", "p50:"},
	}
	for _, size := range []int{100, 1 << 10, 10 << 10, 100 << 10, 1 << 20} {
		var all []time.Duration
		for range l.options.Rounds {
			took, err := reported(ctx, fmt.Sprintf("http://%s/graph/get?size=%d", s.Address(), size), "")
			if err != nil {
				return nil, err
			}
			all = append(all, took)
		}
		reads.add(fmt.Sprintf("%d B", size), ranged(all, 1))
	}
	return []*table{writes, reads}, nil
}

// writers measures both sides with that many writers of values of that size.
func (l *Lab) writers(ctx context.Context, s *server.Server, t *table, size, writers int) error {
	l.say("b10: %d writers of %d bytes", writers, size)
	var rates, others, ratios, p50, p99 []float64
	failed := uint64(0)
	for round := range l.options.Rounds {
		samples, err := l.measure(ctx, &side{"edged", "fresh instance", s}, spec{"b10", fmt.Sprintf("%d B, c=%d", size, writers), round, load.Options{
			Duration: l.options.Duration, Streams: []load.Stream{{Connections: writers, Classes: []load.Class{
				{Name: "put", Request: load.Request(fmt.Sprintf("/graph/put?size=%d", size), nil), Expect: []byte("ok")},
			}}},
		}})
		if err != nil {
			return err
		}
		x := samples[0]
		native, err := plainBolt(ctx, l.path(fmt.Sprintf("plain-%d-%d-%d.db", size, writers, round)), size, writers, l.options.Duration)
		if err != nil {
			return err
		}
		rates, others, ratios = append(rates, x.rate()), append(others, native), append(ratios, x.rate()/native)
		p50, p99 = append(p50, x.quantile(.5)), append(p99, x.quantile(.99))
		failed += x.tally.Errors() + x.tally.Rejected + x.tally.TimedOut
	}
	slices.Sort(ratios)
	t.add(fmt.Sprintf("%d B", size), itoa(writers), thousands(middle(rates)), duration(middle(p50)), duration(middle(p99)), itoa(failed), thousands(middle(others)),
		spread(middle(ratios), ratios[0], ratios[len(ratios)-1]))
	return nil
}

// plainBolt returns how many keys a second bbolt stores in a transaction each.
func plainBolt(ctx context.Context, path string, size, writers int, length time.Duration) (rate float64, err error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close(), os.Remove(path)) }()
	bucket, value := []byte("b"), make([]byte, size)
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	begin, counts, failed := time.Now(), make([]int, writers), make([]error, writers)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for ctx.Err() == nil && failed[w] == nil {
				key := fmt.Appendf(nil, "put/%d/%d", w, counts[w])
				failed[w] = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key, value) })
				counts[w]++
			}
		})
	}
	all.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(begin).Seconds(), errors.Join(failed...)
}

// chain is B11: a chain of 100 functions that start each other by writing keys.
func (l *Lab) chain(ctx context.Context) ([]*table, error) {
	const steps = 100
	t := &table{
		title:   "B11: longchain, 100 functions that start each other by keys",
		notes:   []string{"From the request to the answer, which waits for all of them, for each step. Beside it what one transaction of bbolt takes that stores a key, two fsyncs, on the same file system, right after it."},
		columns: []string{"durability", "a step:", "a transaction:", "step - transaction:"},
	}
	for _, durability := range []string{"sync", "batched"} {
		l.say("b11: %s", durability)
		if err := l.chainOf(ctx, t, durability, steps); err != nil {
			return nil, err
		}
	}
	return []*table{t}, nil
}

func (l *Lab) chainOf(ctx context.Context, t *table, durability string, steps int) (err error) {
	s, err := l.startGraph(ctx, nil, filepath.Join(l.options.Bench, "..", "examples", "longchain"), func(manifest string) string {
		return strings.Replace(manifest, "durability: batched", "durability: "+durability, 1)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var all, commits, more []time.Duration
	for round := range 5 * l.options.Rounds {
		_, took, err := call(ctx, http.MethodPost, fmt.Sprintf("http://%s/longchain/start?run=%d&wait=graph", s.Address(), round), nil)
		if err != nil {
			return err
		}
		if err := ask(ctx, fmt.Sprintf("http://%s/longchain/end?run=%d", s.Address(), round), itoa(steps)+"\n"); err != nil {
			return err
		}
		rate, err := plainBolt(ctx, l.path("chain.db"), 1, 1, 200*time.Millisecond)
		if err != nil {
			return err
		}
		commit := time.Duration(float64(time.Second) / rate)
		all, commits, more = append(all, took), append(commits, commit), append(more, took/time.Duration(steps)-commit)
	}
	slices.Sort(more)
	beyond := ""
	if durability == "sync" {
		beyond = short(max(more[len(more)/2], 0))
	}
	t.add(durability, ranged(all, steps), ranged(commits, 1), beyond)
	return nil
}

// words is B12: counting the words of a text of 10 MB in slices.
func (l *Lab) words(ctx context.Context) (tables []*table, err error) {
	s, err := l.startGraph(ctx, nil, filepath.Join(l.options.Bench, "..", "examples", "word_count"), asIs)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	text := plainText(10 << 20)
	var split, result []time.Duration
	for round := range l.options.Rounds + 1 {
		l.say("b12: round %d of %d", round, l.options.Rounds)
		_, took, err := call(ctx, http.MethodPost, "http://"+s.Address()+"/word_count/split_file?wait=graph", text)
		if err != nil {
			return nil, err
		}
		_, sum, err := call(ctx, http.MethodGet, "http://"+s.Address()+"/word_count/result", nil)
		if err != nil {
			return nil, err
		}
		if round > 0 { // the first one loads the module
			split, result = append(split, took), append(result, sum)
		}
	}
	t := &table{
		title:   "B12: word_count of 10 MB",
		notes:   []string{"A stock Go guest. From the request with the text to the answer when all slices are counted and everything is on disk; then the request for the sums."},
		columns: []string{"split and count:", "result:"},
	}
	t.add(ranged(split, 1), ranged(result, 1))
	return []*table{t}, nil
}

// plainText makes a text of some thousand different words, the same each time.
func plainText(size int) []byte {
	text := make([]byte, 0, size+16)
	for n := uint32(1); len(text) < size; {
		n = n*1664525 + 1013904223
		for left := n>>16&8191*(n>>29&1) + n>>20&63; ; left /= 26 {
			text = append(text, byte('a'+left%26))
			if left < 26 {
				break
			}
		}
		text = append(text, ' ')
		if n>>28 == 0 {
			text = append(text, '\n')
		}
	}
	return text
}

// calls is B13: functions that call each other, and actors.
func (l *Lab) calls(ctx context.Context) (tables []*table, err error) {
	s, err := l.startGraph(ctx, nil, filepath.Join(l.options.Bench, "apps", "graph"), asIs)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	t := &table{
		title:   "B13: functions that call each other, on all cores",
		notes:   []string{"By the guest's clock. All instances are fresh, but for the actor's; its state is in its instance."},
		columns: []string{"what", "in all:", "each:", "a second:"},
	}
	for _, m := range []struct {
		what, query string
		each        int
		want        string
	}{
		{"rcall of 10,000 functions that do nothing, and rget of each", "fan?n=10000", 10000, ""},
		{"chain of 10 functions by call", "chain?n=10", 10, ""},
		{"10,000 messages to an actor that counts", "tally?n=10000&key=%d", 10000, "10000"},
	} {
		l.say("b13: %s", m.what)
		var all []time.Duration
		for round := range 2*l.options.Rounds + 1 {
			query := m.query
			if strings.Contains(query, "%d") {
				query = fmt.Sprintf(query, round)
			}
			took, err := reported(ctx, "http://"+s.Address()+"/graph/"+query, m.want)
			if err != nil {
				return nil, err
			}
			if round > 0 { // the first one makes threads and instances
				all = append(all, took)
			}
		}
		each := ranged(all, m.each) // sorts them
		t.add(m.what, short(all[len(all)/2]), each, thousands(float64(m.each)/all[len(all)/2].Seconds()))
	}
	return []*table{t}, nil
}
