package hostfn

import (
	"strings"
	"testing"
)

// foreign calls a function of another system's interface and fails the test when it ends the call.
func (g *guest) foreign(name string, args ...any) int32 {
	g.t.Helper()
	v, err := g.try(name, args...)
	if err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	return int32(uint32(v))
}

// ends calls a function that must end the call, with an error that holds every one of the texts.
func (g *guest) ends(name string, args []any, texts ...string) {
	g.t.Helper()
	_, err := g.try(name, args...)
	if err == nil {
		g.t.Fatalf("%s%v did not end the call", name, args)
	}
	for _, text := range append(texts, name) {
		if !strings.Contains(err.Error(), text) {
			g.t.Errorf("%s%v: %q does not say %q", name, args, err, text)
		}
	}
}

func TestScratchStorage(t *testing.T) {
	for _, prefix := range []string{"scratch_storage.", "env.scratch_storage_"} {
		t.Run(prefix, func(t *testing.T) {
			eachSpace(t, func(t *testing.T, g *guest) { scratchStory(t, g, prefix) })
		})
	}
}

func scratchStory(t *testing.T, g *guest, prefix string) {
	k, kl := g.text("colour")
	v, vl := g.text("blue")
	w, wl := g.text("ultramarine")
	buf := g.room(16)
	wantEq(t, "size of none", g.foreign(prefix+"get_size", k, kl), 0)
	wantEq(t, "get none", g.foreign(prefix+"get", k, kl, buf, 16), 1)
	wantEq(t, "delete none", g.foreign(prefix+"delete", k, kl), 1)
	wantEq(t, "set", g.foreign(prefix+"set", k, kl, v, vl), 0)
	wantEq(t, "set again", g.foreign(prefix+"set", k, kl, w, wl), 1)
	wantEq(t, "size", g.foreign(prefix+"get_size", k, kl), 4)
	wantEq(t, "get", g.foreign(prefix+"get", k, kl, buf, 4), 0)
	wantEq(t, "value", g.get(buf, 4), "blue")
	g.guarded(buf, 4)
	g.foreign(prefix+"upsert", k, kl, w, wl)
	small := g.room(10)
	wantEq(t, "get into too little", g.foreign(prefix+"get", k, kl, small, 10), 2)
	wantEq(t, "untouched", g.get(small, 10), strings.Repeat("?", 10))
	wantEq(t, "get what was upserted", g.foreign(prefix+"get", k, kl, buf, 16), 0)
	wantEq(t, "upserted", g.get(buf, 12), "ultramarine?")
	g.foreign(prefix+"upsert", k, kl, v, 0)
	wantEq(t, "size of empty", g.foreign(prefix+"get_size", k, kl), 0)
	wantEq(t, "get empty", g.foreign(prefix+"get", k, kl, buf, 0), 0)
	wantEq(t, "set over empty", g.foreign(prefix+"set", k, kl, v, vl), 1)
	wantEq(t, "delete", g.foreign(prefix+"delete", k, kl), 0)
	wantEq(t, "set empty", g.foreign(prefix+"set", k, kl, v, 0), 0)
	wantEq(t, "an empty value is one", g.foreign(prefix+"set", k, kl, v, vl), 1)
	g.ends(prefix+"upsert", []any{k, 0, v, vl}, "empty")
}

func TestScratchStorageWithoutSpace(t *testing.T) {
	g := newGuest(t, AppOptions{})
	for _, name := range []string{"get_size", "delete"} {
		g.ends("scratch_storage."+name, []any{0, 1}, "no key-value space")
	}
	for _, name := range []string{"get", "set", "upsert"} {
		g.ends("scratch_storage."+name, []any{0, 1, 64, 1}, "no key-value space")
	}
}

func TestSledgeArgs(t *testing.T) {
	for query, want := range map[string]string{
		"":                   "shop",
		"apple":              "shop apple",
		"a=1&b%20c&&d+e":     "shop a=1 b c d e",
		"%zz&ok&nul%00&last": "shop ok last",
	} {
		g := newGuest(t, AppOptions{ABI: ABISledge})
		g.begin(request{meta: map[string]string{"query": query}})
		g.env.makeProcess()
		wantEq(t, query, strings.Join(g.env.process.args, " "), want)
	}
}
