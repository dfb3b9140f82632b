package examples_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestWarrior(t *testing.T) {
	check(t, deploy(t, "warrior"), []exchange{{
		"program", "GET", "/warrior", "", 200,
		"task_func 103.0\nscale 4.50\ntotal 10.75\ncheck 0, 4096 bytes of mine are as they were\nfollow abab\n",
	}})
}

func TestWaverlessWordCount(t *testing.T) {
	d := deploy(t, "waverless-word-count")
	words := []string{"a", "rose", "is", "Rose", "gertrude's", "caf\u00e9", "."}
	var text strings.Builder
	counts := map[string]int{}
	for i := range 60_000 { // several slices
		word := words[(i*i+i/7)%len(words)]
		counts[word]++
		text.WriteString(word + []string{" ", "\n", "\t  "}[i%3])
	}
	var lines []string
	for word, n := range counts {
		lines = append(lines, fmt.Sprintf("%s %d\n", word, n))
	}
	slices.Sort(lines)
	for _, tr := range d.transports(t) {
		for body, want := range map[string]string{"a rose is a rose": "a 2\nis 1\nrose 2\n", text.String(): strings.Join(lines, "")} {
			if got := tr.must(t, http.MethodPost, "/wave-word-count/split_file?wait=graph", []byte(body)); got.status != 200 {
				t.Errorf("%s: split: status %d, body %q", tr.name, got.status, got.body)
			}
			if got := tr.must(t, http.MethodGet, "/wave-word-count/result", nil); got.status != 200 || string(got.body) != want {
				t.Errorf("%s: status %d, body %q, want %q", tr.name, got.status, got.body, want)
			}
		}
	}
	if got := d.transports(t)[0].must(t, http.MethodGet, "/wave-word-count/split_file", nil); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET of split_file: status %d, want 405", got.status)
	}
}

func TestWaverlessLongchain(t *testing.T) {
	d := deploy(t, "waverless-longchain")
	for _, tr := range d.transports(t) {
		if got := tr.must(t, http.MethodGet, "/wave-longchain/chain_begin?wait=graph", nil); got.status != 200 {
			t.Errorf("%s: begin: status %d, body %q", tr.name, got.status, got.body)
		}
		if got := tr.must(t, http.MethodGet, "/wave-longchain/chain_count", nil); got.status != 200 || string(got.body) != "100" {
			t.Errorf("%s: status %d, count %q, want 100", tr.name, got.status, got.body)
		}
	}
	if log := d.run(t, "logs", "wave-longchain"); !strings.Contains(log, "chain at 100") {
		t.Errorf("the log does not have the end of the chain:\n%s", log)
	}
}

func TestWaverlessFn2(t *testing.T) {
	d := deploy(t, "waverless-fn2")
	check(t, d, []exchange{
		{"get", "GET", "/waverless-fn2/fn2", "", 200, ""},
		{"post", "POST", "/waverless-fn2/fn2", "not looked at", 200, ""},
	})
	if log := d.run(t, "logs", "waverless-fn2"); !strings.Contains(log, "hello world") {
		t.Errorf("the log does not have what the function prints:\n%s", log)
	}
}

func TestFaasmChain(t *testing.T) {
	d := deploy(t, "faasm-chain")
	check(t, d, []exchange{
		{"sentence", "POST", "/faasm-chain", "the quick brown fox jumps over the lazy dog", 200, "9 words\n"},
		{"nothing", "POST", "/faasm-chain", "", 200, "0 words\n"},
		{"long", "POST", "/faasm-chain", strings.Repeat("word ", 100_000), 200, "100000 words\n"},
		{"refused", "POST", "/faasm-chain", "one two three four five six seven eight!", 200, "part 3 returned 7\n"},
	})
	if log := d.run(t, "logs", "faasm-chain"); !strings.Contains(log, "this goes to the log") {
		t.Errorf("the log does not have what the function prints:\n%s", log)
	}
}

// TestFaasmState adds from many clients at once: with a lost update a counter is too small.
func TestFaasmState(t *testing.T) {
	const clients, adds = 8, 10
	d := deploy(t, "faasm-state")
	var group sync.WaitGroup
	for _, tr := range d.transports(t) {
		for range clients / 2 {
			group.Go(func() {
				for range adds {
					got, err := tr.call(t.Context(), http.MethodPost, "/faasm-state", []byte("3"))
					if err != nil || got.status != 200 {
						t.Errorf("%s: status %d, body %q, %v", tr.name, got.status, got.body, err)
						return
					}
				}
			})
		}
	}
	group.Wait()
	tr := d.transports(t)[0]
	if got := string(tr.must(t, http.MethodPost, "/faasm-state", []byte("3")).body); got != "3: 81\n" {
		t.Errorf("counter 3: %q, want 81", got)
	}
	if got := string(tr.must(t, http.MethodPost, "/faasm-state", []byte("5")).body); got != "5: 1\n" {
		t.Errorf("counter 5: %q, want 1", got)
	}
	if got := tr.must(t, http.MethodPost, "/faasm-state", []byte("x")); got.status != 500 {
		t.Errorf("no counter: status %d, body %q", got.status, got.body)
	}
}

func TestSledge(t *testing.T) {
	d := deploy(t, "sledge")
	for _, tr := range d.transports(t) {
		for _, e := range []exchange{
			{"none", "GET", "/sledge?sky", "", 200, "sky is not known\n"},
			{"set", "POST", "/sledge?sky", "blue", 200, "sky is blue\n"},
			{"get", "GET", "/sledge?sky", "", 200, "sky is blue\n"},
			{"replace", "POST", "/sledge?sky", "very dark", 200, "replaced 4 bytes\n"},
			{"get again", "GET", "/sledge?sk%79", "", 200, "sky is very dark\n"},
			{"forget", "GET", "/sledge?sky&forget", "", 200, "forgotten\n"},
			{"forget again", "GET", "/sledge?sky&forget", "", 200, "not known\n"},
			{"no argument", "GET", "/sledge", "", 200, "name a key: ?KEY\n"},
		} {
			if got := tr.must(t, e.method, e.target, []byte(e.body)); got.status != e.status || string(got.body) != e.want {
				t.Errorf("%s/%s: status %d, body %q; want %d, %q", tr.name, e.name, got.status, got.body, e.status, e.want)
			}
		}
	}
}
