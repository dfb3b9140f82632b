package main

import (
	"testing"

	"edged.dev/edge/sdk/go/edgedtest"
)

func TestCounter(t *testing.T) {
	host := edgedtest.New()
	steps := []struct {
		name   string
		entry  func() int32
		query  string
		status int
		body   string
	}{
		{"a new counter is zero", value, "", 200, "0\n"},
		{"add one", add, "", 200, "1\n"},
		{"add more", add, "by=41", 200, "42\n"},
		{"subtract", add, "by=-2", 200, "40\n"},
		{"another counter", add, "name=b", 200, "1\n"},
		{"read back", value, "name=default", 200, "40\n"},
		{"not a number", add, "by=many", 400, errNotANumber.Error() + "\n"},
		{"not changed by it", value, "", 200, "40\n"},
	}
	for _, step := range steps {
		got := host.Call(edgedtest.Request{Method: "POST", RawQuery: step.query}, step.entry)
		if got.Status != step.status || string(got.Body) != step.body {
			t.Errorf("%s: status %d, body %q, error %q; want %d, %q", step.name, got.Status, got.Body, got.Error, step.status, step.body)
		}
	}
	if got := string(host.KV["counter/default"]); got != "40" {
		t.Errorf("stored value is %q, want 40", got)
	}
}

func TestCounterRefusesDamage(t *testing.T) {
	host := edgedtest.New()
	host.KV["counter/default"] = []byte("x")
	if got := host.Call(edgedtest.Request{}, add); got.Result == 0 || got.Error == "" {
		t.Errorf("a damaged value gave result %d, error %q; want a failure with a reason", got.Result, got.Error)
	}
	if got := string(host.KV["counter/default"]); got != "x" {
		t.Errorf("a damaged value was overwritten with %q", got)
	}
}
