package main

import (
	"testing"

	"edged.dev/edge/sdk/go/edgedtest"
)

func TestHello(t *testing.T) {
	for query, want := range map[string]string{
		"":            "hello, world, from Go\n",
		"name=":       "hello, world, from Go\n",
		"name=Ada+L.": "hello, Ada L., from Go\n",
	} {
		got := edgedtest.New().Call(edgedtest.Request{RawQuery: query}, hello)
		if got.Status != 200 || string(got.Body) != want {
			t.Errorf("query %q: status %d, body %q, error %q; want %q", query, got.Status, got.Body, got.Error, want)
		}
	}
}
