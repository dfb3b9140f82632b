package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/internal/testutil"
)

// eventful builds the guest whose functions are started by changes of keys.
func eventful(t *testing.T) string {
	t.Helper()
	return testutil.BuildCFile(t, filepath.Join("testdata", "events.c"), append(testutil.Reactor(),
		"-I", filepath.Join("..", "sdk", "c"))...)
}

// eventApp deploys that guest with functions beside put, drop and get.
func eventApp(t *testing.T, d *daemon, name, durability string, functions ...string) {
	t.Helper()
	settings := append([]string{"kv: {durability: " + durability + "}", "functions:", "  put:", "  drop:", "  get:"}, functions...)
	d.must(t, "deploy", app(t, name, eventful(t), settings...))
	t.Cleanup(func() {
		// The test's context has ended by now. Without the app nothing is started by the removals; it may be gone already.
		_ = edgedWith(context.WithoutCancel(t.Context()), nil, "rm", name, "--admin", d.ready.Admin)
		if keys := d.keys(t, name); len(keys) > 0 {
			got := edgedWith(context.WithoutCancel(t.Context()), nil, append([]string{"kv", "rm", "--admin", d.ready.Admin, name}, keys...)...)
			if got.code != 0 {
				t.Errorf("remove the keys of %s: %+v", name, got)
			}
		}
	})
}

// keys lists the keys of a space.
func (d *daemon) keys(t *testing.T, space string) []string {
	t.Helper()
	got := edgedWith(context.WithoutCancel(t.Context()), nil, "kv", "ls", space, "--admin", d.ready.Admin)
	var keys []string
	for line := range strings.SplitSeq(strings.TrimSpace(got.stdout), "\n") {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] != "KEY" {
			keys = append(keys, fields[0])
		}
	}
	return keys
}

// until waits for a key to have a value.
func (d *daemon) until(t *testing.T, app, key, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s of %s is %q", key, app, want), func() error {
		if got := d.http().ok(t, "/"+app+"/get", []byte(key)); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

func TestEventsStartFunctions(t *testing.T) {
	for _, durability := range []string{"sync", "batched", "memory"} {
		t.Run(durability, func(t *testing.T) {
			d := sharedDaemon(t)
			name := "ev-" + durability
			eventApp(t, d, name, durability, "  note:", "    on: [{kv: \"in_{n}\", events: [set, delete]}]")
			for _, request := range []string{"put in_7 x", "put out_7 x", "put in_7b x", "drop in_7", "put in__7 x"} {
				function, body, _ := strings.Cut(request, " ")
				d.http().ok(t, "/"+name+"/"+function, []byte(body))
			}
			want := map[string]bool{"kv in_7 set 1 7": true, "kv in_7b set 1 7b": true, "kv in_7 delete 1 7": true}
			eventually(t, "the changes are noted", func() error {
				got := map[string]bool{}
				for _, key := range d.keys(t, name) {
					if strings.HasPrefix(key, "seen/") {
						got[d.http().ok(t, "/"+name+"/get", []byte(key))] = true
					}
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					return fmt.Errorf("noted %v, want %v", got, want)
				}
				return nil
			})
		})
	}
}

// TestEventsInOrder changes one key many times: the function sees the changes one after the other.
func TestEventsInOrder(t *testing.T) {
	d := sharedDaemon(t)
	eventApp(t, d, "ordered", "batched", "  append:", "    on: [{kv: \"in\"}]")
	want := ""
	for n := range 50 {
		d.http().ok(t, "/ordered/put", fmt.Appendf(nil, "in %d.", n))
		d.until(t, "ordered", "order", want+fmt.Sprintf("%d.", n))
		want += fmt.Sprintf("%d.", n)
	}
}

// TestChainOfEvents is a hundred functions in a row, more than may call each other.
func TestChainOfEvents(t *testing.T) {
	for _, durability := range []string{"sync", "batched"} {
		t.Run(durability, func(t *testing.T) {
			d := sharedDaemon(t)
			name := "chain-" + durability
			eventApp(t, d, name, durability, "  step:", "    on: [{kv: \"step_{n}\"}]")
			begun := time.Now()
			d.http().ok(t, "/"+name+"/put", []byte("step_1 "))
			d.until(t, name, "end", "100")
			t.Logf("99 steps took %v", time.Since(begun))
		})
	}
}

func TestRemovedTriggers(t *testing.T) {
	d := sharedDaemon(t)
	eventApp(t, d, "gone", "sync", "  flaky:", "    on: [{kv: \"in_{}\", retries: 100, backoff: 1h}]")
	d.http().ok(t, "/gone/put", []byte("in_1 x"))
	d.must(t, "rm", "gone")
	eventApp(t, d, "gone", "sync", "  flaky:", "    on: [{kv: \"in_{}\"}]")
	d.http().ok(t, "/gone/put", []byte("mended x"))
	d.http().ok(t, "/gone/put", []byte("in_2 x"))
	d.until(t, "gone", "healed", "1")
}

// TestEventsSurviveKills kills the daemon amid a chain of events again and again: it goes on to its end.
func TestEventsSurviveKills(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	d.must(t, "deploy", app(t, "chain", eventful(t), "functions:", "  put:", "  get:", "  step:", "    on: [{kv: \"step_{n}\"}]"))
	d.http().ok(t, "/chain/put", []byte("step_1 "))
	for n := 1; n <= 10; n++ {
		reached := fmt.Sprintf("step_%d", n*9)
		eventually(t, reached+" is reached", func() error {
			if got := d.http().ok(t, "/chain/get", []byte(reached)); got != "" {
				return fmt.Errorf("it is %q", got)
			}
			return nil
		})
		d.kill()
		d = h.start(t)
	}
	d.until(t, "chain", "end", "100")
}

// TestPermittedKeys restricts a function to the keys that its kvs list.
func TestPermittedKeys(t *testing.T) {
	d := sharedDaemon(t)
	eventApp(t, d, "narrow", "sync")
	d.must(t, "deploy", app(t, "narrow", eventful(t), "functions:", "  put:", "    kvs: {\"in_{}\": [set]}", "  get:"))
	for body, want := range map[string]string{"in_1 x": "0", "in_ x": "-3", "other x": "-3"} {
		if got := d.http().ok(t, "/narrow/put", []byte(body)); got != want {
			t.Errorf("put %q: %s, want %s", body, got, want)
		}
	}
	if got := d.http().ok(t, "/narrow/get", []byte("in_1")); got != "x" {
		t.Errorf("a function without kvs reads %q", got)
	}
}

// TestWaitForTheGraph has requests answered when all that they have started has ended.
func TestWaitForTheGraph(t *testing.T) {
	d := sharedDaemon(t)
	eventApp(t, d, "graph", "batched", "  step:", "    on: [{kv: \"step_{n}\"}]", "  flaky:", "    on: [{kv: bad, retries: 1, backoff: 1ms}]")
	if got := d.http().ok(t, "/graph/put?wait=graph", []byte("step_1 ")); got != "0" {
		t.Errorf("the answer is %q", got)
	}
	if got := d.http().ok(t, "/graph/get", []byte("end")); got != "100" {
		t.Errorf("the graph of a chain was answered for before its end: %q", got)
	}
	if got := d.http().ok(t, "/graph/put?wait=graph", []byte("nobody x")); got != "0" {
		t.Errorf("a request that starts nothing is answered %q", got)
	}
	failed := d.http().must(t, "POST", "/graph/put?wait=graph", []byte("bad x"))
	wantProblem(t, failed, 500, "graph", "put", "not mended at attempt 2")
	late := d.http().must(t, "POST", "/graph/put?wait=graph", []byte("step_1 "), "X-Edged-Deadline-Ms", "1")
	if late.status != 504 && late.status != 200 && late.status != 429 {
		t.Errorf("a graph with a deadline of a millisecond: status %d %s", late.status, late.body)
	}
}

// TestDeadEvents follows an event that fails for good through the commands.
func TestDeadEvents(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "trigger", "dead", "drop", "--all") // of tests before
	eventApp(t, d, "dead", "sync", "  flaky:", "    on: [{kv: \"bad_{}\", retries: 2, backoff: 1ms}]", "  again:", "    on: [{kv: cycle}]")
	d.http().ok(t, "/dead/put", []byte("bad_1 x"))
	var event struct {
		ID, Error string
		Attempts  int
	}
	eventually(t, "the event is given up", func() error {
		var list []json.RawMessage
		if err := json.Unmarshal([]byte(d.must(t, "trigger", "dead", "ls", "--json")), &list); err != nil {
			return err
		}
		if len(list) != 1 {
			return fmt.Errorf("%d events", len(list))
		}
		return json.Unmarshal(list[0], &event)
	})
	if event.Attempts != 3 || !strings.Contains(event.Error, "not mended at attempt 3") {
		t.Errorf("event %+v", event)
	}
	if got := d.must(t, "trigger", "dead", "show", event.ID); !strings.Contains(got, "bad_1") || !strings.Contains(got, "dead/flaky") {
		t.Errorf("show says %s", got)
	}
	if got := d.must(t, "trigger", "ls"); !strings.Contains(got, "bad_{} (set)") {
		t.Errorf("the list of triggers is\n%s", got)
	}
	if got := d.must(t, "inspect", "dead", "--json"); !strings.Contains(got, `"kv"`) {
		t.Errorf("inspect shows no trigger:\n%s", got)
	}
	metrics := d.http().ok(t, "/_edged/metrics", nil)
	for _, line := range []string{
		`edged_trigger_events_total{app="dead",fn="flaky",outcome="failed"} 2`, `edged_trigger_dead_letters{app="dead",fn="flaky"} 1`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
	d.http().ok(t, "/dead/put", []byte("mended x"))
	d.must(t, "trigger", "dead", "replay", event.ID)
	d.until(t, "dead", "healed", "1")
	if got := d.cli(t, "trigger", "dead", "show", event.ID); got.code == 0 {
		t.Errorf("an event that was replayed is still there: %s", got.stdout)
	}
	d.must(t, "kv", "set", "dead", "cycle", "x") // from outside
	eventually(t, "the cycle ends", func() error {
		if got := d.must(t, "trigger", "dead", "ls", "--json"); !strings.Contains(got, "dead/again -\\u003e dead/again") && !strings.Contains(got, "dead/again -> dead/again") {
			return fmt.Errorf("dead events: %s", got)
		}
		return nil
	})
	d.must(t, "trigger", "dead", "drop", "--all")
	if got := d.must(t, "trigger", "dead", "ls"); !strings.Contains(got, "no event") {
		t.Errorf("after drop --all:\n%s", got)
	}
}

// TestFullBacklog has events wait for a function that fails: the write that would make one too many is refused, and others are not.
func TestFullBacklog(t *testing.T) {
	d := sharedDaemon(t)
	eventApp(t, d, "full", "batched", "  flaky:", "    on: [{kv: \"in_{}\", backlog: 3, retries: 9, backoff: 1h}]")
	for n, want := range []string{"0", "0", "0", "-8"} {
		if got := d.http().ok(t, "/full/put", fmt.Appendf(nil, "in_%d x", n)); got != want {
			t.Errorf("write %d answers %s, want %s", n, got, want)
		}
	}
	if got := d.http().ok(t, "/full/get", []byte("in_3")); got != "-1" {
		t.Errorf("a write that was refused was done: %q", got)
	}
	if got := d.http().ok(t, "/full/put", []byte("out x")); got != "0" {
		t.Errorf("another key is refused: %s", got)
	}
	if got := d.cli(t, "kv", "set", "full", "in_4", "x"); got.code == 0 || !strings.Contains(got.stderr, "edged trigger ls") {
		t.Errorf("kv set: %+v", got)
	}
}
