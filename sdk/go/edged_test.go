package edged_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	edged "edged.dev/edge/sdk/go"
	"edged.dev/edge/sdk/go/edgedtest"
)

// inside runs body as a function of host.
func inside(t *testing.T, host *edgedtest.Host, request edgedtest.Request, body func()) edgedtest.Response {
	t.Helper()
	return host.Call(request, func() int32 { body(); return 0 })
}

func TestRun(t *testing.T) {
	host := edgedtest.New()
	got := host.Call(edgedtest.Request{}, func() int32 {
		return edged.Run(func() error { return fmt.Errorf("open: %w", edged.ErrDenied) })
	})
	if got.Result != 1 || got.Status != 500 || got.Error != "open: denied" {
		t.Errorf("a failing function: %+v", got)
	}
	got = host.Call(edgedtest.Request{}, func() int32 { return edged.Run(func() error { return nil }) })
	if got.Result != 0 || got.Status != 200 || got.Error != "" {
		t.Errorf("a function that does nothing: %+v", got)
	}
}

func TestInput(t *testing.T) {
	for _, size := range []int{0, 1, 511, 70_000} {
		body := bytes.Repeat([]byte{'x', 0, 0xff}, size)[:size]
		inside(t, edgedtest.New(), edgedtest.Request{Body: body}, func() {
			if got := edged.Input(); !bytes.Equal(got, body) {
				t.Errorf("%d bytes of input gave %d", size, len(got))
			}
			if err := iotest.TestReader(edged.InputReader(), body); err != nil {
				t.Errorf("reader over %d bytes: %v", size, err)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	request := edgedtest.Request{
		Method: "PUT", Path: "/a/b%20c", RawQuery: "n=1&name=%C5%BDofie+K&n=2&bad=%zz&flag",
		Headers: map[string]string{"X-Long": strings.Repeat("h", 5000)}, Params: map[string]string{"id": "7"},
		Trigger: "uds", Meta: map[string]string{"node": "n1"},
	}
	inside(t, edgedtest.New(), request, func() {
		r := edged.Request()
		for _, test := range []struct{ name, got, want string }{
			{"method", r.Method(), "PUT"},
			{"path", r.Path(), "/a/b%20c"},
			{"header in another case", r.Header("x-lONG"), strings.Repeat("h", 5000)},
			{"absent header", r.Header("X-None"), ""},
			{"param", r.Param("id"), "7"},
			{"trigger", r.Trigger(), "uds"},
			{"app", r.App(), "app"},
			{"function", r.Function(), "function"},
			{"node", edged.Meta("node"), "n1"},
			{"absent meta", edged.Meta("event_id"), ""},
			{"query", r.Query("name"), "Žofie K"},
			{"first of two", r.Query("n"), "1"},
			{"malformed escape", r.Query("bad"), "%zz"},
			{"without value", r.Query("flag"), ""},
			{"absent query", r.Query("none"), ""},
		} {
			if test.got != test.want {
				t.Errorf("%s is %q, want %q", test.name, test.got, test.want)
			}
		}
	})
}

func TestResponse(t *testing.T) {
	got := inside(t, edgedtest.New(), edgedtest.Request{}, func() {
		if err := errors.Join(edged.Status(201), edged.Header("X-A", "1"), edged.Header("X-A", "2")); err != nil {
			t.Error(err)
		}
		if err := edged.Status(99); !errors.Is(err, edged.ErrInvalid) {
			t.Errorf("status 99: %v, want ErrInvalid", err)
		}
		for _, bad := range [][2]string{{"X B", "1"}, {"", "1"}, {"X-B", "a\r\nSet-Cookie: b"}} {
			if err := edged.Header(bad[0], bad[1]); !errors.Is(err, edged.ErrInvalid) {
				t.Errorf("header %q: %v, want ErrInvalid", bad, err)
			}
		}
		if _, err := fmt.Fprintf(edged.Output(), "%d,", 1); err != nil {
			t.Error(err)
		}
		if n, err := io.WriteString(edged.Output(), "two"); n != 3 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		edged.Log(edged.LevelWarn, "careful")
	})
	if got.Status != 201 || string(got.Body) != "1,two" || len(got.Headers) != 2 || got.Header("x-a") != "1" {
		t.Errorf("response %+v", got)
	}
	if len(got.Log) != 1 || got.Log[0] != (edgedtest.LogLine{Level: 2, Text: "careful"}) {
		t.Errorf("log %v", got.Log)
	}
}

func TestSettings(t *testing.T) {
	host := edgedtest.New()
	host.Config["greeting"] = strings.Repeat("ahoy ", 300)
	host.Secrets["token"] = ""
	inside(t, host, edgedtest.Request{}, func() {
		if got, err := edged.Config("greeting"); got != host.Config["greeting"] || err != nil {
			t.Errorf("config: %q, %v", got, err)
		}
		if got, err := edged.Secret("token"); got != "" || err != nil {
			t.Errorf("empty secret: %q, %v", got, err)
		}
		_, err := edged.Secret("other")
		var op *edged.OpError
		if !errors.Is(err, edged.ErrNotFound) || !errors.As(err, &op) || op.Key != "other" {
			t.Errorf("absent secret: %v, want ErrNotFound with its name", err)
		}
		if want := `secret "other": not found`; err.Error() != want {
			t.Errorf("error text %q, want %q", err, want)
		}
	})
}

func TestOutsideOfAHost(t *testing.T) {
	if err := edged.KV.Set("k", nil); !errors.Is(err, edged.ErrUnsupported) {
		t.Errorf("KV.Set: %v, want ErrUnsupported", err)
	}
	if _, err := edged.Output().Write([]byte("x")); !errors.Is(err, edged.ErrUnsupported) {
		t.Errorf("Write: %v, want ErrUnsupported", err)
	}
	if got := edged.Input(); len(got) != 0 {
		t.Errorf("Input: %q, want none", got)
	}
	edged.Log(edged.LevelInfo, "goes nowhere")
}

func TestRand(t *testing.T) {
	inside(t, edgedtest.New(), edgedtest.Request{}, func() {
		a, b := edged.Rand().Uint64(), edged.Rand().Uint64()
		if a == b {
			t.Errorf("two draws are both %d", a)
		}
	})
}
