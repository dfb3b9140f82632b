package main

import (
	"maps"
	"strings"
	"testing"

	"edged.dev/edge/sdk/go/edgedtest"
)

func TestCut(t *testing.T) {
	text := strings.Repeat("word, ", sliceBytes/3) + "end"
	parts, err := cut([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	whole, sum := "", map[string]int{}
	for _, part := range parts {
		whole += string(part)
		for word, n := range words(part) {
			sum[word] += n
		}
		if len(part) > sliceBytes {
			t.Errorf("a slice of %d bytes", len(part))
		}
	}
	if whole != text || !maps.Equal(sum, map[string]int{"word": sliceBytes / 3, "end": 1}) {
		t.Errorf("%d slices of %d bytes count %v", len(parts), len(whole), sum)
	}
	if _, err := cut([]byte(strings.Repeat("x", sliceBytes+2))); err == nil {
		t.Error("a word that is longer than a slice is cut")
	}
}

// TestJob plays the daemon: it starts count for every slice, one of them twice.
func TestJob(t *testing.T) {
	host := edgedtest.New()
	text := "The cat. the CAT\r\nsaw caf\u00e9s; " + strings.Repeat("a b ", sliceBytes/3)
	if got := host.Call(edgedtest.Request{Method: "POST", Body: []byte(text)}, splitFile); string(got.Body) != "2 slices\n" {
		t.Fatalf("split: %+v", got)
	}
	for _, n := range []string{"1", "0", "1"} {
		if n == "0" {
			if got := host.Call(edgedtest.Request{}, result); got.Status != 503 {
				t.Errorf("result before all is counted: %d %s", got.Status, got.Body)
			}
		}
		got := host.Call(edgedtest.Request{
			Trigger: "kv", Meta: map[string]string{"key": "wordcount_slice_" + n}, Params: map[string]string{"n": n},
		}, count)
		if got.Result != 0 {
			t.Errorf("count: %+v", got)
		}
	}
	want := "a 333333\nb 333333\ncaf 1\ncat 2\ns 1\nsaw 1\nthe 2\n"
	if got := host.Call(edgedtest.Request{}, result); string(got.Body) != want {
		t.Errorf("result %q, want %q", got.Body, want)
	}
}
