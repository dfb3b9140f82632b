package edged_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	edged "edged.dev/edge/sdk/go"
	"edged.dev/edge/sdk/go/edgedtest"
)

// TestStoreModel compares the store with a map over random operations, batches among them.
func TestStoreModel(t *testing.T) {
	const steps, keys = 3000, 12
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	host, model := edgedtest.New(), map[string][]byte{}
	value := func() []byte {
		sizes := []int{0, 1, 10, 511, 512, 513, 2000}
		return bytes.Repeat([]byte{byte(random.IntN(256))}, sizes[random.IntN(len(sizes))])
	}
	inside(t, host, edgedtest.Request{}, func() {
		for range steps {
			step(t, random, model, fmt.Sprintf("k%d", random.IntN(keys)), value())
			if t.Failed() {
				return
			}
		}
	})
	if !maps.EqualFunc(host.KV, model, bytes.Equal) {
		t.Errorf("the store holds %d keys, the model %d, or their values differ", len(host.KV), len(model))
	}
}

// step does one random operation on both.
func step(t *testing.T, random *rand.Rand, model map[string][]byte, key string, value []byte) {
	t.Helper()
	now, found := model[key]
	switch random.IntN(6) {
	case 0:
		got, err := edged.KV.Get(key)
		if !bytes.Equal(got, now) || errors.Is(err, edged.ErrNotFound) == found {
			t.Errorf("get %s: %d bytes, %v; model has %d bytes, %t", key, len(got), err, len(now), found)
		}
	case 1:
		if err := edged.KV.Set(key, value); err != nil {
			t.Error(err)
		}
		model[key] = value
	case 2:
		if deleted, err := edged.KV.Delete(key); deleted != found || err != nil {
			t.Errorf("delete %s: %t, %v; model %t", key, deleted, err, found)
		}
		delete(model, key)
	case 3: // with the right expectation and, from time to time, a deletion
		if random.IntN(3) == 0 {
			value = nil
		}
		if err := edged.KV.CAS(key, now, value); err != nil {
			t.Errorf("cas %s: %v", key, err)
		}
		put(model, key, value)
	case 4: // with a wrong one
		wrong := append([]byte("not"), now...)
		if random.IntN(2) == 0 && found {
			wrong = nil
		}
		if err := edged.KV.CAS(key, wrong, value); !errors.Is(err, edged.ErrConflict) {
			t.Errorf("cas %s with a wrong expectation: %v, want ErrConflict", key, err)
		}
	case 5:
		batchStep(t, random, model, key, value)
	}
}

func put(model map[string][]byte, key string, value []byte) {
	if value == nil {
		delete(model, key)
		return
	}
	model[key] = value
}

// batchStep reads, replaces, reads, deletes and reads a key in one batch, in half of the cases with a wrong condition.
func batchStep(t *testing.T, random *rand.Rand, model map[string][]byte, key string, value []byte) {
	t.Helper()
	now, found := model[key]
	expect, wrong := now, random.IntN(2) == 0
	if wrong {
		expect = append([]byte("not"), now...)
	}
	results, err := edged.KV.Batch(edged.OpGet(key), edged.OpSet("other/"+key, value), edged.OpCAS(key, expect, value),
		edged.OpGet(key), edged.OpDelete(key), edged.OpDelete(key), edged.OpGet(key))
	if wrong {
		if !errors.Is(err, edged.ErrConflict) || results != nil {
			t.Errorf("batch with a wrong expectation: %v, %v; want ErrConflict", results, err)
		}
		return
	}
	delete(model, key)
	model["other/"+key] = value
	want := []edged.Result{{Found: found, Value: now}, {}, {}, {Found: true, Value: value}, {Found: true}, {}, {}}
	if err != nil || len(results) != len(want) {
		t.Fatalf("batch: %v, %v", results, err)
	}
	for i := range want {
		if results[i].Found != want[i].Found || !bytes.Equal(results[i].Value, want[i].Value) {
			t.Errorf("batch result %d: %t with %d bytes, want %t with %d", i, results[i].Found, len(results[i].Value),
				want[i].Found, len(want[i].Value))
		}
	}
}

func TestScan(t *testing.T) {
	host := edgedtest.New()
	var want []string
	for i := range 300 {
		key := fmt.Sprintf("user/%03d", i)
		host.KV[key] = bytes.Repeat([]byte{byte(i)}, i)
		want = append(want, key)
	}
	host.KV["user/100"] = make([]byte, 100_000) // alone larger than a page
	host.KV["use"], host.KV["user0"] = []byte("before"), []byte("after")
	inside(t, host, edgedtest.Request{}, func() {
		var keys []string
		for pair, err := range edged.KV.Scan("user/") {
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(pair.Value, host.KV[pair.Key]) {
				t.Errorf("value of %s has %d bytes, want %d", pair.Key, len(pair.Value), len(host.KV[pair.Key]))
			}
			keys = append(keys, pair.Key)
		}
		if !slices.Equal(keys, want) {
			t.Errorf("scan gave %d keys, want %d in order", len(keys), len(want))
		}
		for pair := range edged.KV.Scan("") {
			if pair.Key != "use" {
				t.Errorf("the first key is %q", pair.Key)
			}
			break
		}
		for pair, err := range edged.KV.Scan("none") {
			t.Errorf("a scan of nothing gave %v, %v", pair, err)
		}
	})
}

func TestScanOutsideOfAHost(t *testing.T) {
	n := 0
	for _, err := range edged.KV.Scan("") {
		if n++; !errors.Is(err, edged.ErrUnsupported) {
			t.Errorf("scan: %v, want ErrUnsupported", err)
		}
	}
	if n != 1 {
		t.Errorf("%d elements, want the error alone", n)
	}
}

func TestUpdate(t *testing.T) {
	host := edgedtest.New()
	inside(t, host, edgedtest.Request{}, func() {
		// Another call is faster the first two times.
		tries := 0
		err := edged.KV.Update("k", func(old []byte) ([]byte, error) {
			if tries++; tries < 3 {
				host.KV["k"] = append(old, 'o')
			}
			return append(slices.Clone(old), 'm'), nil
		})
		if got := string(host.KV["k"]); err != nil || tries != 3 || got != "oom" {
			t.Errorf("update: %v after %d tries, value %q", err, tries, got)
		}
		stop := errors.New("stop")
		if err := edged.KV.Update("k", func([]byte) ([]byte, error) { return nil, stop }); !errors.Is(err, stop) {
			t.Errorf("update with an error: %v", err)
		}
		if err := edged.KV.Update("k", func([]byte) ([]byte, error) { return nil, nil }); err != nil {
			t.Errorf("update to nothing: %v", err)
		}
		if _, found := host.KV["k"]; found {
			t.Error("the key is still there")
		}
	})
}

func TestKeyLimits(t *testing.T) {
	inside(t, edgedtest.New(), edgedtest.Request{}, func() {
		if err := edged.KV.Set("", nil); !errors.Is(err, edged.ErrInvalid) {
			t.Errorf("empty key: %v, want ErrInvalid", err)
		}
		if err := edged.KV.Set(strings.Repeat("k", edgedtest.MaxKey+1), nil); !errors.Is(err, edged.ErrTooLarge) {
			t.Errorf("long key: %v, want ErrTooLarge", err)
		}
		if err := edged.KV.Set("k", make([]byte, edgedtest.MaxValue+1)); !errors.Is(err, edged.ErrTooLarge) {
			t.Errorf("large value: %v, want ErrTooLarge", err)
		}
		if _, err := edged.KV.Batch(edged.OpSet("a", nil), edged.OpSet("", nil)); !errors.Is(err, edged.ErrInvalid) {
			t.Errorf("batch with an empty key: %v, want ErrInvalid", err)
		}
		if _, err := edged.KV.Get("a"); !errors.Is(err, edged.ErrNotFound) {
			t.Errorf("a failed batch left something: %v", err)
		}
		if results, err := edged.KV.Batch(); results != nil || err != nil {
			t.Errorf("empty batch: %v, %v", results, err)
		}
	})
}

func TestLock(t *testing.T) {
	host := edgedtest.New()
	now := time.Unix(0, 0)
	host.Now = func() time.Time { return now }
	inside(t, host, edgedtest.Request{}, func() {
		first, err := edged.KV.Lock("l", time.Second)
		if err != nil || first.Token() <= 0 {
			t.Fatalf("lock: %v, %v", first, err)
		}
		if _, err := edged.KV.Lock("l", time.Second); !errors.Is(err, edged.ErrTimeout) {
			t.Errorf("a held lock: %v, want ErrTimeout", err)
		}
		now = now.Add(time.Second)
		second, err := edged.KV.Lock("l", time.Second)
		if err != nil || second.Token() == first.Token() {
			t.Fatalf("lock after the lease: %v, %v", second, err)
		}
		if err := first.Unlock(); !errors.Is(err, edged.ErrConflict) {
			t.Errorf("unlock of an ended lease: %v, want ErrConflict", err)
		}
		if err := second.Unlock(); err != nil {
			t.Errorf("unlock: %v", err)
		}
		for _, ttl := range []time.Duration{0, -time.Second, 25 * time.Hour, 1000 * time.Hour} {
			if _, err := edged.KV.Lock("m", ttl); !errors.Is(err, edged.ErrInvalid) {
				t.Errorf("lease of %v: %v, want ErrInvalid", ttl, err)
			}
		}
	})
}
