// Command probe-go asks the host for everything the Go SDK can ask for and answers "ok", or fails with what was wrong.
// The tests of the examples deploy it.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"time"

	edged "edged.dev/edge/sdk/go"
	"edged.dev/edge/sdk/go/edgedlog"
)

//go:wasmexport probe
func probe() int32 { return edged.Run(all) }

// draw answers with a random number: no two calls may give the same.
//
//go:wasmexport draw
func draw() int32 {
	return edged.Run(func() error {
		_, err := fmt.Fprintln(edged.Output(), edged.Rand().Uint64())
		return err
	})
}

func all() error {
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"request", request},
		{"input", input},
		{"settings", settings},
		{"response", response},
		{"store", store},
		{"scan", scan},
		{"batch", batch},
		{"lock", lock},
		{"calls", calls},
		{"objects", objects},
		{"actors", actors},
		{"log", logs},
		{"random", random},
		{"goroutines", goroutines},
	} {
		if err := step.run(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	_, err := fmt.Fprintln(edged.Output(), "ok")
	return err
}

// expect makes an error of a condition that does not hold.
func expect(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// wants makes an error when err is not the one that should be.
func wants(err, target error, what string) error {
	return expect(errors.Is(err, target), "%s: got %v, want %v", what, err, target)
}

func request() error {
	r := edged.Request()
	return errors.Join(
		expect(r.Method() == "POST", "method %q", r.Method()),
		expect(r.Path() == "/probe-go/probe", "path %q", r.Path()),
		expect(r.Query("a") == "1 2", "query %q", r.RawQuery()),
		expect(r.Header("x-probe") == "yes", "header %q", r.Header("x-probe")),
		expect(r.Header("X-None") == "", "absent header %q", r.Header("X-None")),
		expect(r.App() == "probe-go" && r.Function() == "probe", "app %q, function %q", r.App(), r.Function()),
		expect(r.Trigger() == "http" || r.Trigger() == "uds", "trigger %q", r.Trigger()),
	)
}

func input() error {
	body := edged.Input()
	again, err := io.ReadAll(edged.InputReader())
	want := bytes.Repeat([]byte("0123456789"), len(body)/10)
	return errors.Join(err, expect(len(body) == 100_000 && bytes.Equal(body, want), "%d bytes, not what was sent", len(body)),
		expect(bytes.Equal(body, again), "the reader gave %d bytes, not the same", len(again)))
}

func settings() error {
	greeting, err := edged.Config("greeting")
	_, noConfig := edged.Config("none")
	_, noSecret := edged.Secret("none")
	return errors.Join(err, expect(greeting == "ahoy", "config %q", greeting), wants(noConfig, edged.ErrNotFound, "config"),
		wants(noSecret, edged.ErrNotFound, "secret"))
}

func response() error {
	return errors.Join(edged.Status(202), edged.Header("X-Probe", "1"), edged.Header("X-Probe", "2"),
		wants(edged.Status(99), edged.ErrInvalid, "status"),
		wants(edged.Header("a b", ""), edged.ErrInvalid, "header name"),
		wants(edged.Header("X-B", "a\nb"), edged.ErrInvalid, "header value"),
		wants(edged.Header("Content-Length", "1"), edged.ErrDenied, "framing header"))
}

func store() error {
	large := bytes.Repeat([]byte{0, 1, 2, 0xff}, 1<<18)
	_, absent := edged.KV.Get("s/none")
	errs := errors.Join(wants(absent, edged.ErrNotFound, "get"),
		edged.KV.Set("s/large", large), edged.KV.Set("s/empty", nil), edged.KV.Set("s/\x00\xff", []byte("bytes")),
		wants(edged.KV.Set("", nil), edged.ErrInvalid, "empty key"),
		wants(edged.KV.Set(strings.Repeat("k", 1025), nil), edged.ErrTooLarge, "long key"))
	for key, want := range map[string][]byte{"s/large": large, "s/empty": {}, "s/\x00\xff": []byte("bytes")} {
		got, err := edged.KV.Get(key)
		errs = errors.Join(errs, err, expect(bytes.Equal(got, want), "%q has %d bytes, want %d", key, len(got), len(want)))
	}
	errs = errors.Join(errs,
		wants(edged.KV.CAS("s/empty", nil, []byte("x")), edged.ErrConflict, "cas that expects none"),
		wants(edged.KV.CAS("s/empty", []byte("y"), []byte("x")), edged.ErrConflict, "cas that expects another"),
		edged.KV.CAS("s/empty", []byte{}, []byte("x")), edged.KV.CAS("s/empty", []byte("x"), nil),
		edged.KV.CAS("s/empty", nil, []byte{}),
		edged.KV.Update("s/count", func(old []byte) ([]byte, error) { return append(old, '1'), nil }))
	first, err := edged.KV.Delete("s/empty")
	second, again := edged.KV.Delete("s/empty")
	return errors.Join(errs, err, again, expect(first && !second, "deleted %t, then %t", first, second))
}

func scan() error {
	var errs error
	for i := range 50 {
		errs = errors.Join(errs, edged.KV.Set(fmt.Sprintf("n/%02d", i), bytes.Repeat([]byte{byte(i)}, i*i*20)))
	}
	n := 0
	for pair, err := range edged.KV.Scan("n/") {
		if err != nil {
			return err
		}
		errs = errors.Join(errs, expect(pair.Key == fmt.Sprintf("n/%02d", n) && len(pair.Value) == n*n*20,
			"entry %d is %q with %d bytes", n, pair.Key, len(pair.Value)))
		n++
	}
	return errors.Join(errs, expect(n == 50, "%d entries, want 50", n))
}

func batch() error {
	value := bytes.Repeat([]byte("v"), 5000)
	results, err := edged.KV.Batch(edged.OpDelete("b"), edged.OpCAS("b", nil, value), edged.OpGet("b"), edged.OpDelete("b"),
		edged.OpDelete("b"), edged.OpGet("b"), edged.OpSet("b", nil), edged.OpCAS("b", []byte{}, nil))
	if err != nil {
		return err
	}
	found := ""
	for _, r := range results[2:6] {
		found += fmt.Sprint(r.Found, " ")
	}
	_, conflict := edged.KV.Batch(edged.OpSet("b", value), edged.OpCAS("b", nil, nil))
	_, absent := edged.KV.Get("b")
	return errors.Join(expect(found == "true true false false " && bytes.Equal(results[2].Value, value), "results %s", found),
		wants(conflict, edged.ErrConflict, "batch"), wants(absent, edged.ErrNotFound, "after a batch that failed"))
}

func lock() error {
	lease, err := edged.KV.Lock("l", time.Minute)
	if err != nil {
		return err
	}
	_, endless := edged.KV.Lock("m", 1000*time.Hour)
	return errors.Join(expect(lease.Token() > 0, "token %d", lease.Token()), lease.Unlock(),
		wants(lease.Unlock(), edged.ErrConflict, "second unlock"), wants(endless, edged.ErrInvalid, "lease of 1000 hours"))
}

// echo answers with its input, twice.
//
//go:wasmexport echo
func echo() int32 {
	return edged.Run(func() error {
		_, err := edged.Output().Write(bytes.Repeat(edged.Input(), 2))
		return errors.Join(err, edged.Status(201))
	})
}

//go:wasmexport fails
func fails() int32 { return edged.Run(func() error { return errors.New("as it should, 42") }) }

func calls() error {
	small, err := edged.Invoke("echo", []byte("ab"))
	status := edged.ResultStatus()
	large, err2 := edged.Invoke("probe-go/echo", bytes.Repeat([]byte("c"), 5000))
	_, absent := edged.Invoke("none", nil)
	_, failed := edged.Invoke("fails", nil)
	return errors.Join(err, err2, expect(string(small) == "abab" && status == "201", "echo gave %q with %s", small, status),
		expect(len(large) == 10_000, "echo gave %d bytes", len(large)), wants(absent, edged.ErrNotFound, "call of none"),
		wants(failed, edged.ErrInternal, "call of fails"),
		expect(strings.Contains(fmt.Sprint(failed), "as it should, 42"), "fails said %v", failed))
}

func objects() error {
	one, err1 := edged.Start("echo", []byte("x"))
	bad, err2 := edged.Start("fails", nil)
	put, err3 := edged.Put([]byte("data"))
	ready, err4 := edged.Wait([]edged.Object{one, bad, put}, 3, edged.Forever)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	got, err := one.Within(0)
	_, failed := bad.Get()
	n, err2 := put.Len()
	_, gone := edged.Object(12345).Within(0)
	return errors.Join(err, err2, one.Cancel(), put.Drop(), expect(ready[0] && ready[1] && ready[2], "ready %v", ready),
		expect(string(got) == "xx" && n == 4, "object %q, length %d", got, n), wants(failed, edged.ErrInternal, "object of fails"),
		wants(gone, edged.ErrNotFound, "an object that is none"))
}

var tallied int

// tally counts its messages: a class of actors, in whose instance variables stay.
//
//go:wasmexport tally
func tally() int32 {
	tallied++
	return edged.Run(func() error {
		_, err := fmt.Fprint(edged.Output(), tallied)
		return err
	})
}

func actors() error {
	actor, err := edged.ActorOf("tally", "probe")
	_, none := edged.ActorOf("echo", "probe")
	if err := errors.Join(err, wants(none, edged.ErrInvalid, "an actor of echo")); err != nil {
		return err
	}
	var counts [2]int
	for i, function := range []string{"", "tally"} {
		answer, err := actor.Send(function, nil)
		if err != nil {
			return err
		}
		text, err := answer.Get()
		if err != nil {
			return err
		}
		if _, err := fmt.Sscan(string(text), &counts[i]); err != nil {
			return err
		}
	}
	return expect(counts[1] == counts[0]+1, "the actor counted %d and %d", counts[0], counts[1])
}

func logs() error {
	edged.Log(edged.LevelWarn, "a line of the probe")
	return slog.New(edgedlog.New(slog.LevelInfo)).Handler().Handle(context.Background(), slog.Record{Message: "structured", Level: slog.LevelInfo})
}

func random() error {
	var a, b [16]byte
	_, _ = rand.Read(a[:])
	_, _ = rand.Read(b[:])
	return expect(a != b && edged.Rand().Uint64() != edged.Rand().Uint64(), "random numbers repeat")
}

// goroutines run, sleep and survive garbage collections.
func goroutines() error {
	sum := make(chan int)
	for i := range 10 {
		go func() {
			time.Sleep(time.Microsecond)
			sum <- len(make([]byte, i<<16)) >> 16
		}()
	}
	total := 0
	for range 10 {
		runtime.GC()
		total += <-sum
	}
	return expect(total == 45, "sum %d", total)
}

func main() {}
