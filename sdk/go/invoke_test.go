package edged_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	edged "edged.dev/edge/sdk/go"
	"edged.dev/edge/sdk/go/edgedtest"
)

// callable returns a host with functions to call.
func callable() *edgedtest.Host {
	host := edgedtest.New()
	host.Functions["double"] = func() int32 {
		return edged.Run(func() error {
			_, err := edged.Output().Write(bytes.Repeat(edged.Input(), 2))
			return errors.Join(err, edged.Status(201))
		})
	}
	host.Functions["shop/fails"] = func() int32 {
		return edged.Run(func() error { return errors.New("sold out") })
	}
	host.Functions["again"] = func() int32 {
		return edged.Run(func() error {
			_, err := edged.Invoke("again", nil)
			return err
		})
	}
	return host
}

func TestInvoke(t *testing.T) {
	inside(t, callable(), edgedtest.Request{}, func() {
		for _, size := range []int{0, 1, 500, 10_000} {
			input := bytes.Repeat([]byte("x"), size)
			got, err := edged.Invoke("double", input)
			if err != nil || len(got) != 2*size || edged.ResultStatus() != "201" {
				t.Errorf("%d bytes: %d bytes, status %s, %v", size, len(got), edged.ResultStatus(), err)
			}
		}
		_, err := edged.Invoke("none", nil)
		if !errors.Is(err, edged.ErrNotFound) {
			t.Errorf("an unknown function: %v", err)
		}
		if _, err = edged.Invoke("shop/fails", nil); !errors.Is(err, edged.ErrInternal) || !strings.Contains(err.Error(), "sold out") {
			t.Errorf("a failing function: %v", err)
		}
		if _, err = edged.Invoke("again", nil); !errors.Is(err, edged.ErrInternal) || !strings.Contains(err.Error(), "too deep") {
			t.Errorf("a function that calls itself: %v", err)
		}
		if edged.Request().Trigger() != "http" {
			t.Error("a call leaves its request behind")
		}
	})
}

func TestObjects(t *testing.T) {
	inside(t, callable(), edgedtest.Request{}, func() {
		one, err1 := edged.Start("double", []byte("ab"))
		bad, err2 := edged.Start("shop/fails", nil)
		put, err3 := edged.Put(bytes.Repeat([]byte("p"), 3000))
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		ready, err := edged.Wait([]edged.Object{one, bad, put}, 3, time.Second)
		if err != nil || len(ready) != 3 || !ready[0] || !ready[1] || !ready[2] {
			t.Errorf("wait: %v, %v", ready, err)
		}
		if got, err := one.Get(); err != nil || string(got) != "abab" {
			t.Errorf("get: %q, %v", got, err)
		}
		if _, err := bad.Within(0); !errors.Is(err, edged.ErrInternal) || !strings.Contains(err.Error(), "sold out") {
			t.Errorf("get of one that failed: %v", err)
		}
		if got, err := edged.Object(put.Handle()).Get(); err != nil || len(got) != 3000 {
			t.Errorf("get of what was put: %d bytes, %v", len(got), err)
		}
		if n, err := put.Len(); err != nil || n != 3000 {
			t.Errorf("length %d, %v", n, err)
		}
		if err := errors.Join(one.Cancel(), put.Drop()); err != nil {
			t.Error(err)
		}
		for what, err := range map[string]error{"drop": put.Drop(), "cancel": put.Cancel()} {
			if !errors.Is(err, edged.ErrNotFound) {
				t.Errorf("%s of one that is gone: %v", what, err)
			}
		}
		if _, err := put.Get(); !errors.Is(err, edged.ErrNotFound) {
			t.Errorf("get of one that is gone: %v", err)
		}
		if _, err := edged.Start("none", nil); !errors.Is(err, edged.ErrNotFound) {
			t.Errorf("start of an unknown function: %v", err)
		}
		if _, err := edged.Wait(nil, 1, edged.Forever); !errors.Is(err, edged.ErrInvalid) {
			t.Errorf("wait for more than there are: %v", err)
		}
	})
}

func TestActors(t *testing.T) {
	host := callable()
	host.Classes["double"] = true
	inside(t, host, edgedtest.Request{}, func() {
		one, err1 := edged.ActorOf("double", "k")
		same, err2 := edged.ActorOf("double", "k")
		other, err3 := edged.ActorOf("double", "l")
		if err := errors.Join(err1, err2, err3); err != nil || one != same || one == other || one <= 0 {
			t.Fatalf("actors %d, %d and %d, %v", one, same, other, err)
		}
		for function, want := range map[string]string{"": "xx", "double": "xx"} {
			answer, err := one.Send(function, []byte("x"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := answer.Get(); err != nil || string(got) != want {
				t.Errorf("message %q: %q, %v", function, got, err)
			}
		}
		if _, err := edged.ActorOf("again", "k"); !errors.Is(err, edged.ErrInvalid) {
			t.Errorf("an actor of what is no class: %v", err)
		}
		if _, err := edged.Invoke("double", nil); !errors.Is(err, edged.ErrInvalid) {
			t.Errorf("a call of a class: %v", err)
		}
		if _, err := edged.ActorOf("double", ""); !errors.Is(err, edged.ErrInvalid) {
			t.Errorf("an actor without a key: %v", err)
		}
		if _, err := edged.Actor(99).Send("", nil); !errors.Is(err, edged.ErrNotFound) {
			t.Errorf("a message to nobody: %v", err)
		}
	})
}

func TestEventMeta(t *testing.T) {
	request := edgedtest.Request{Trigger: "cron", Meta: map[string]string{"event_id": "a/f/0@x", "key": "x", "kind": "timer", "attempt": "3"}}
	inside(t, edgedtest.New(), request, func() {
		if r := edged.Request(); r.EventID() != "a/f/0@x" || r.EventKey() != "x" || r.EventKind() != "timer" || r.Attempt() != 3 {
			t.Errorf("event %q of %q, %q, attempt %d", r.EventID(), r.EventKey(), r.EventKind(), r.Attempt())
		}
	})
	inside(t, edgedtest.New(), edgedtest.Request{}, func() {
		if r := edged.Request(); r.EventID() != "" || r.EventKind() != "" || r.Attempt() != 0 {
			t.Errorf("event %q, %q, attempt %d of a request", r.EventID(), r.EventKind(), r.Attempt())
		}
	})
}

func TestCallsWithoutHost(t *testing.T) {
	for what, try := range map[string]func() error{
		"invoke": func() error { _, err := edged.Invoke("f", nil); return err },
		"start":  func() error { _, err := edged.Start("f", nil); return err },
		"put":    func() error { _, err := edged.Put(nil); return err },
		"get":    func() error { _, err := edged.Object(1).Get(); return err },
		"len":    func() error { _, err := edged.Object(1).Len(); return err },
		"wait":   func() error { _, err := edged.Wait(nil, 0, 0); return err },
		"actor":  func() error { _, err := edged.ActorOf("f", "k"); return err },
		"send":   func() error { _, err := edged.Actor(1).Send("", nil); return err },
		"cancel": edged.Object(1).Cancel,
		"drop":   edged.Object(1).Drop,
	} {
		if err := try(); !errors.Is(err, edged.ErrUnsupported) {
			t.Errorf("%s: %v, want %v", what, err, edged.ErrUnsupported)
		}
	}
}
