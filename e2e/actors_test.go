package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// actors deploys the app whose class counter counts.
func actors(t *testing.T, d *daemon) {
	t.Helper()
	module := testutil.BuildCFile(t, filepath.Join("testdata", "actor.c"), append(testutil.Reactor(), "-I", filepath.Join("..", "sdk", "c"))...)
	d.must(t, "deploy", app(t, "actors", module, "limits:", "  timeout: 60s", "functions:", "  counter:", "    actor: true", "  send:", "  wrong:"))
}

// tell sends a message to a counter from outside.
func (d *daemon) tell(t *testing.T, key, message string) (reply, error) {
	t.Helper()
	return d.http().call(t.Context(), http.MethodPost, "/actors/counter", []byte(message), "X-Edged-Actor", key)
}

// told is tell for a message that has to be answered with that text.
func (d *daemon) told(t *testing.T, key, message, want string) {
	t.Helper()
	if got, err := d.tell(t, key, message); err != nil || got.status != 200 || string(got.body) != want {
		t.Errorf("%s of %s: status %d, %q, %v, want %q", message, key, got.status, got.body, err, want)
	}
}

func TestActors(t *testing.T) {
	d := sharedDaemon(t)
	actors(t, d)
	d.told(t, "a", "1", "1")
	d.told(t, "a", "1", "2")
	d.told(t, "b", "1", "1") // each key has a state of its own
	d.told(t, "a", "read", "2")
	for _, message := range []string{"trap", "fail"} { // what a message that fails has changed is undone
		got, err := d.tell(t, "a", message)
		if err != nil {
			t.Fatal(err)
		}
		if got.status != 500 {
			t.Errorf("%s: status %d", message, got.status)
		}
		d.told(t, "a", "read", "2")
	}
	d.told(t, "a", "self", "-5")
	wantProblem(t, d.http().must(t, http.MethodPost, "/actors/counter", nil), 404, "actors", "counter", "X-Edged-Actor")
	if got := d.http().ok(t, "/actors/wrong", nil); got != "-2 -2 -2" {
		t.Errorf("wrong uses answer %q", got)
	}
	if got := d.http().ok(t, "/actors/send", []byte("c 1000")); got != "1000" { // in the order in which they were sent
		t.Errorf("1000 messages: %s", got)
	}
	actors(t, d)
	d.must(t, "rm", "actors")
	actors(t, d)
	d.told(t, "c", "read", "1000")
}

// TestActorOfManyCallers has 10,000 increments come from many callers at once.
func TestActorOfManyCallers(t *testing.T) {
	d := sharedDaemon(t)
	actors(t, d)
	var callers sync.WaitGroup
	for caller := range 100 {
		callers.Go(func() {
			for range 100 {
				got, err := d.tell(t, "many", "1")
				if err != nil || got.status != 200 {
					t.Errorf("caller %d: status %d, %s, %v", caller, got.status, got.body, err)
					return
				}
			}
		})
	}
	callers.Wait()
	d.told(t, "many", "read", "10000")
}

// TestActorSurvivesKills kills the daemon amid increments: none that was acknowledged is lost, and none is counted twice.
func TestActorSurvivesKills(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	actors(t, d)
	var acknowledged, sent int64
	for round := range 4 {
		var ok, tried atomic.Int64
		amid := make(chan struct{})
		var once sync.Once
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				for {
					tried.Add(1)
					got, err := d.tell(t, "k", "1")
					if err != nil || got.status != 200 {
						return
					}
					if ok.Add(1) > int64(50*(round+1)) {
						once.Do(func() { close(amid) })
					}
				}
			})
		}
		<-amid
		d.kill()
		callers.Wait()
		acknowledged, sent = acknowledged+ok.Load(), sent+tried.Load()
		d = h.start(t)
		got, err := d.tell(t, "k", "read")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(string(got.body), 10, 64)
		if err != nil || n < acknowledged || n > sent {
			t.Fatal(fmt.Errorf("round %d: the actor counts %q of %d acknowledged and %d sent: %w", round, got.body, acknowledged, sent, err))
		}
	}
}

// TestActorKeysAside: kvs hold outside messages too, and what an actor writes there is started by its message.
func TestActorKeysAside(t *testing.T) {
	d := sharedDaemon(t)
	module := testutil.BuildCFile(t, filepath.Join("testdata", "aside.c"), append(testutil.Reactor(), "-I", filepath.Join("..", "sdk", "c"))...)
	d.must(t, "deploy", app(t, "aside", module, "functions:", "  message:", "    actor: true", "    kvs: {\"own/{}\": [set]}",
		"  follow:", "    kvs: {\"own/{}\": [set]}", "    on: [{kv: own/save, events: [set]}]", "  followed:", "    kvs: {\"own/{}\": [get]}"))
	t.Cleanup(func() { // the test's context has ended by then
		_ = edgedWith(context.WithoutCancel(t.Context()), nil, "rm", "aside", "--admin", d.ready.Admin)
	})
	send := func(body string, want int) string {
		t.Helper()
		got := d.http().must(t, http.MethodPost, "/aside/message?wait=graph", []byte(body), "X-Edged-Actor", "a")
		if got.status != want {
			t.Fatalf("%q: status %d, %s", body, got.status, got.body)
		}
		return string(got.body)
	}
	if got := send("", 200); got != "0 -3, 0 0, 0 0" {
		t.Errorf("after the start: %s", got)
	}
	if got := d.http().ok(t, "/aside/followed", nil); got != "1" {
		t.Errorf("the request did not wait for what follows from the save: %s", got)
	}
	if got := send("", 200); got != "0 -3, 0 -3, 0 0" {
		t.Errorf("after a save: %s", got)
	}
	send("fail", 500) // its instance is given up
	if got := send("", 200); got != "0 -3, 0 0, 0 -3" {
		t.Errorf("after a load: %s", got)
	}
}
