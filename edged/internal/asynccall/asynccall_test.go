package asynccall

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/kvstore"
)

// daemon is what Calls needs around it. answer is what functions do, on a goroutine each.
type daemon struct {
	*Calls
	store  *kvstore.Store
	ids    atomic.Uint64
	answer func(inv *invoke.Invocation) invoke.Result
}

func open(t *testing.T, path string, options Options, answer func(*invoke.Invocation) invoke.Result) *daemon {
	t.Helper()
	store, err := kvstore.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{store: store, answer: answer}
	options.Store, options.IDs = store, &d.ids
	options.Route = func(inv *invoke.Invocation) error {
		if inv.Request.Path == "/none" {
			return &invoke.Error{Kind: invoke.ErrNotFound, Detail: "no function there"}
		}
		return nil
	}
	options.Submit = func(inv *invoke.Invocation) error {
		go func() {
			if err := inv.Control.Begin(func(error) {}); err != nil {
				inv.Done(inv, invoke.Result{Err: err})
				return
			}
			result := d.answer(inv)
			inv.Control.End()
			inv.Done(inv, result)
		}()
		return nil
	}
	if d.Calls, err = Open(options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.end(t) })
	return d
}

func (d *daemon) end(t *testing.T) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.store.Close(); err != nil {
		t.Error(err)
	}
}

// send accepts a request and returns the ID of its call, or the error.
func (d *daemon) send(path, body string) (string, error) {
	answer := make(chan invoke.Result, 1)
	inv := &invoke.Invocation{
		App: "app", Function: "fn", Source: invoke.SourceHTTP,
		Request: invoke.Request{Method: "POST", Path: path, RawQuery: "a=b", Headers: []invoke.Header{{Name: "X-One", Value: "1"}}, Body: []byte(body)},
		Done:    func(_ *invoke.Invocation, r invoke.Result) { answer <- r },
	}
	if err := d.Accept(inv); err != nil {
		return "", err
	}
	r := <-answer
	if r.Err != nil || r.Status != 202 {
		return "", fmt.Errorf("status %d, %w", r.Status, r.Err)
	}
	return strings.TrimPrefix(r.Headers[0].Value, Path), nil
}

// result waits for the answer of a call.
func (d *daemon) result(t *testing.T, id string) (Summary, invoke.Result) {
	t.Helper()
	for range 100000 {
		info, result, err := d.Show(id)
		if err != nil {
			t.Fatal(err)
		}
		if !info.Finished.IsZero() {
			return info, result
		}
		waitMoment()
	}
	t.Fatalf("call %s is not answered", id)
	panic("unreachable")
}

func waitMoment() {
	tick := time.NewTimer(100 * time.Microsecond)
	<-tick.C
}

func echo(inv *invoke.Invocation) invoke.Result {
	return invoke.Result{Status: 201, Headers: []invoke.Header{{Name: "X-Id", Value: inv.Event.ID}}, Body: append([]byte("got "), inv.Request.Body...)}
}

func TestAnswerIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	d := open(t, path, Options{}, echo)
	d.Start()
	id, err := d.send("/fn", "hello")
	if err != nil {
		t.Fatal(err)
	}
	info, r := d.result(t, id)
	if info.State != Done || r.Status != 201 || string(r.Body) != "got hello" || r.Headers[0].Value != id {
		t.Errorf("%+v, %+v", info, r)
	}
	none, err := d.send("/none", "")
	if err != nil {
		t.Fatal(err)
	}
	if info, r := d.result(t, none); info.State != Failed || !errors.Is(r.Err, invoke.ErrNotFound) {
		t.Errorf("%+v, %+v", info, r)
	}
	if list := d.List(); len(list) != 2 || list[0].ID != id || list[1].ID != none {
		t.Errorf("list %+v", list)
	}
	if err := d.Cancel(id); err != nil {
		t.Error(err)
	}
	if _, _, err := d.Show(id); !errors.Is(err, ErrNotFound) {
		t.Errorf("an answer that was removed: %v", err)
	}
}

// TestWhatIsNotAnsweredRunsAgain stops a daemon while calls wait and run.
func TestWhatIsNotAnsweredRunsAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	began, release := make(chan struct{}, 10), make(chan struct{})
	first := open(t, path, Options{Window: 2}, func(*invoke.Invocation) invoke.Result {
		began <- struct{}{}
		<-release
		return invoke.Result{Err: &invoke.Error{Kind: invoke.ErrDraining}}
	})
	first.Start()
	var ids []string
	for n := range 5 {
		id, err := first.send("/fn", fmt.Sprint(n))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	<-began
	<-began
	first.Stop()
	close(release)
	first.end(t)
	var attempts sync.Map
	second := open(t, path, Options{}, func(inv *invoke.Invocation) invoke.Result {
		attempts.Store(inv.Event.ID, inv.Event.Attempt)
		return echo(inv)
	})
	second.Start()
	for n, id := range ids {
		if info, r := second.result(t, id); info.State != Done || string(r.Body) != fmt.Sprintf("got %d", n) {
			t.Errorf("call %d: %+v, %q", n, info, r.Body)
		}
		if attempt, _ := attempts.Load(id); attempt != 2 {
			t.Errorf("call %d: attempt %v, want 2", n, attempt)
		}
	}
	second.end(t)
	third := open(t, path, Options{}, nil)
	for n, id := range ids {
		if info, r := third.result(t, id); info.State != Done || string(r.Body) != fmt.Sprintf("got %d", n) {
			t.Errorf("call %d after another restart: %+v, %q", n, info, r.Body)
		}
	}
}

func TestCancelBeforeAndAmid(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	d := open(t, filepath.Join(t.TempDir(), "kv"), Options{Window: 1}, func(inv *invoke.Invocation) invoke.Result {
		began <- struct{}{}
		<-release
		return echo(inv)
	})
	d.Start()
	running, err := d.send("/fn", "1")
	if err != nil {
		t.Fatal(err)
	}
	<-began
	waiting, err := d.send("/fn", "2")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Cancel(waiting); err != nil {
		t.Fatal(err)
	}
	if info, r := d.result(t, waiting); info.State != Failed || !errors.Is(r.Err, invoke.ErrCancelled) {
		t.Errorf("one that waited: %+v, %v", info, r.Err)
	}
	if err := d.Cancel(running); err != nil {
		t.Fatal(err)
	}
	close(release) // what it answers after all is its answer
	if info, _ := d.result(t, running); info.State != Done {
		t.Errorf("one that ended by itself: %+v", info)
	}
	if err := d.Cancel("nonsense"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an ID that no call has: %v", err)
	}
}

func TestLimits(t *testing.T) {
	release := make(chan struct{})
	d := open(t, filepath.Join(t.TempDir(), "kv"), Options{Pending: 3, Body: 100, Bytes: 250, Results: 2}, func(inv *invoke.Invocation) invoke.Result {
		<-release
		if string(inv.Request.Body) == "large" {
			return invoke.Result{Body: make([]byte, 101)}
		}
		return echo(inv)
	})
	d.Start()
	if _, err := d.send("/fn", strings.Repeat("x", 101)); !errors.Is(err, invoke.ErrTooLarge) {
		t.Errorf("a body above the limit: %v", err)
	}
	var ids []string
	for _, body := range []string{strings.Repeat("x", 100), "large", "small"} {
		id, err := d.send("/fn", body)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if _, err := d.send("/fn", "x"); !errors.Is(err, invoke.ErrQueueFull) {
		t.Errorf("one too many: %v", err)
	}
	close(release)
	eventually(t, func() bool { return len(d.List()) == 2 }) // the oldest answer has made room
	if _, r, err := d.Show(ids[1]); err == nil && !errors.Is(r.Err, invoke.ErrTooLarge) {
		t.Errorf("an answer above the limit: %+v", r)
	}
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for range 100000 {
		if holds() {
			return
		}
		waitMoment()
	}
	t.Fatal("it never holds")
}

// TestAnswersGoInTime: an answer is removed, also from the disk, when it has been kept for long enough.
func TestAnswersGoInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	first := open(t, path, Options{}, echo)
	first.Start()
	id, err := first.send("/fn", "x")
	if err != nil {
		t.Fatal(err)
	}
	first.result(t, id)
	first.end(t)
	second := open(t, path, Options{Keep: time.Nanosecond}, echo)
	second.Start()
	eventually(t, func() bool {
		_, err := second.space.Get([]byte("r/"+id), nil)
		return errors.Is(err, kvstore.ErrNotFound)
	})
	if _, _, err := second.Show(id); !errors.Is(err, ErrNotFound) {
		t.Errorf("after its time: %v", err)
	}
}

func TestWanted(t *testing.T) {
	for value, want := range map[string]bool{
		"respond-async": true, "Respond-Async": true, "wait=10, respond-async": true, "respond-async; x=y": true,
		"": false, "respond-asynchronously": false, "return=minimal": false, `x="a,respond-async"`: false,
	} {
		q := &invoke.Request{Headers: []invoke.Header{{Name: "Accept", Value: "respond-async"}, {Name: "prefer", Value: value}}}
		if got := Wanted(q); got != want {
			t.Errorf("Prefer: %s: %v, want %v", value, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	value, err := encode(&record{App: "a", Function: "f", Headers: []invoke.Header{{Name: "a", Value: "b"}}}, []byte("body"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte{255, 255, 255, 255, '{', '}'})
	f.Add([]byte{2, 0, 0, 0, '{', '}'})
	f.Fuzz(func(t *testing.T, value []byte) {
		r, body, err := decode(value)
		if err != nil {
			return
		}
		again, err := encode(r, body)
		if err != nil {
			t.Fatal(err)
		}
		r2, body2, err := decode(again)
		if err != nil || !bytes.Equal(body, body2) || r.ID() != r2.ID() {
			t.Errorf("%+v, %q became %+v, %q: %v", r, body, r2, body2, err)
		}
	})
}

// ID is what of a record must survive encoding.
func (r *record) ID() string {
	return fmt.Sprint(r.App, r.Function, r.Source, r.Attempt, r.Method, r.Path, r.RawQuery, len(r.Headers), r.Status, r.Failed, r.Failure)
}
