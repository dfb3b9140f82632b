package hostfn

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edged.dev/edge/kvstore"
	"edged.dev/edge/wasmedge"
)

// guest calls host functions over a memory of its own, as the engine would. Memory is filled with '?', so that a byte
// written outside of what a function may write shows.
type guest struct {
	t     testing.TB
	env   *Env
	app   *App
	mem   []byte
	top   uint32 // where the next argument goes
	funcs map[string]wasmedge.HostFunc
}

const guard = '?'

func newGuest(t testing.TB, options AppOptions) *guest {
	t.Helper()
	if options.Name == "" {
		options.Name = "shop"
	}
	app, err := NewApp(options)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{t: t, app: app, env: app.NewEnv(), mem: bytes.Repeat([]byte{guard}, 1<<17), top: 64, funcs: map[string]wasmedge.HostFunc{}}
	g.begin(nil)
	for _, f := range All() {
		g.funcs[f.Module+"."+f.Name] = f
	}
	t.Cleanup(func() {
		g.env.Finish(nil)
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func (g *guest) begin(r Request) { g.env.Begin(context.Background(), r) }

// try calls a function and returns its raw result and the error that would be a trap.
func (g *guest) try(name string, args ...any) (uint64, error) {
	g.t.Helper()
	f, ok := g.funcs[name]
	if !ok {
		g.t.Fatalf("no function %q", name)
	}
	if len(args) != len(f.Type.Params) {
		g.t.Fatalf("%s: %d arguments, its type is %v", name, len(args), f.Type)
	}
	stack := make([]uint64, max(len(args), 1))
	for i, a := range args {
		switch v := a.(type) {
		case int:
			stack[i] = uint64(v)
		case uint32:
			stack[i] = uint64(v)
		case uint64:
			stack[i] = v
		case int64:
			stack[i] = uint64(v)
		case rights:
			stack[i] = uint64(v)
		default:
			g.t.Fatalf("%s: argument %d is a %T", name, i, a)
		}
	}
	err := f.Call(wasmedge.NewCaller(g.mem, g.env), stack)
	return stack[0], err
}

// edged calls a function of the edged module with an i32 result.
func (g *guest) edged(name string, args ...any) int32 {
	g.t.Helper()
	v, err := g.try("edged."+name, args...)
	if err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	return int32(uint32(v))
}

// wasi calls a function of preview1.
func (g *guest) wasi(name string, args ...any) errno {
	g.t.Helper()
	v, err := g.try("wasi_snapshot_preview1."+name, args...)
	if err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	return errno(v)
}

// put places bytes in the guest's memory, with guards around them.
func (g *guest) put(b []byte) uint32 {
	at := g.top
	copy(g.mem[at:], b)
	g.top = (at + uint32(len(b)) + 31) &^ 15
	return at
}

// rewind forgets everything that was placed.
func (g *guest) rewind() {
	copy(g.mem, bytes.Repeat([]byte{guard}, int(g.top)+1024))
	g.top = 64
}

// text places a string and returns pointer and length.
func (g *guest) text(s string) (ptr, n int) { return int(g.put([]byte(s))), len(s) }

// room reserves n guarded bytes.
func (g *guest) room(n int) int {
	at := g.top
	copy(g.mem[at:], bytes.Repeat([]byte{guard}, n))
	g.top = (at + uint32(n) + 31) &^ 15
	return int(at)
}

func (g *guest) u32(at int) uint32 { return binary.LittleEndian.Uint32(g.mem[at:]) }
func (g *guest) u64(at int) uint64 { return binary.LittleEndian.Uint64(g.mem[at:]) }
func (g *guest) get(at, n int) string {
	return string(g.mem[at : at+n])
}

// guarded fails unless the 8 bytes on both sides of [at, at+n) are guards.
func (g *guest) guarded(at, n int) {
	g.t.Helper()
	want := strings.Repeat(string(rune(guard)), 8)
	if before := g.get(at-8, 8); before != want {
		g.t.Errorf("bytes before the buffer: %q", before)
	}
	if after := g.get(at+n, 8); after != want {
		g.t.Errorf("bytes after the buffer: %q", after)
	}
}

func wantEq[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// request is a Request of plain values.
type request struct {
	meta    map[string]string
	headers []Header
	body    string
}

func (r request) Meta(key string) (string, bool) {
	if name, ok := strings.CutPrefix(key, "header:"); ok {
		for _, h := range r.headers {
			if strings.EqualFold(h.Name, name) {
				return h.Value, true
			}
		}
		return "", false
	}
	v, ok := r.meta[key]
	return v, ok
}

func (r request) Origin() any { return nil }

func (r request) Headers(yield func(name, value string) bool) {
	for _, h := range r.headers {
		if !yield(h.Name, h.Value) {
			return
		}
	}
}

func (r request) Body() []byte { return []byte(r.body) }

// sink keeps the lines it is given.
type sink struct {
	mu    sync.Mutex
	lines []LogLine // guarded by mu
}

func (s *sink) Log(line LogLine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

func (s *sink) texts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var texts []string
	for _, l := range s.lines {
		texts = append(texts, l.Text)
	}
	return texts
}

// memSpace is a Space in a map: the smallest thing with the contract, to drive what a real store seldom does.
type memSpace struct {
	mu     sync.Mutex
	values map[string][]byte // guarded by mu
	locks  map[string]uint64 // guarded by mu
	token  uint64            // guarded by mu
	err    error             // returned by everything, when set
}

func newSpace() *memSpace {
	return &memSpace{values: map[string][]byte{}, locks: map[string]uint64{}}
}

func (s *memSpace) Get(key, dst []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[string(key)]
	if s.err != nil || !ok {
		return dst, firstError(s.err, kvstore.ErrNotFound)
	}
	return append(dst, v...), nil
}

func (s *memSpace) Set(ctx context.Context, key, value []byte) error {
	_, err := s.Apply(ctx, []kvstore.Op{{Kind: kvstore.OpSet, Key: key, Value: value}})
	return cause(err)
}

func (s *memSpace) Delete(ctx context.Context, key []byte) (bool, error) {
	r, err := s.Apply(ctx, []kvstore.Op{{Kind: kvstore.OpDelete, Key: key}})
	if err != nil {
		return false, cause(err)
	}
	return r[0].Found, nil
}

func (s *memSpace) CompareAndSwap(ctx context.Context, key, old, value []byte) error {
	_, err := s.Apply(ctx, []kvstore.Op{{Kind: kvstore.OpCompareAndSwap, Key: key, Old: old, Value: value}})
	return cause(err)
}

func cause(err error) error {
	var op *kvstore.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func (s *memSpace) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.values {
		if strings.HasPrefix(k, string(prefix)) && (len(after) == 0 || k > string(after)) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !fn([]byte(k), s.values[k]) {
			break
		}
	}
	return s.err
}

func (s *memSpace) Apply(ctx context.Context, ops []kvstore.Op) ([]kvstore.OpResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := firstError(s.err, ctx.Err()); err != nil {
		return nil, err
	}
	next := maps.Clone(s.values)
	if next == nil {
		next = map[string][]byte{}
	}
	results := make([]kvstore.OpResult, len(ops))
	for i, op := range ops {
		old, found := next[string(op.Key)]
		switch {
		case len(op.Key) == 0:
			return nil, &kvstore.OpError{Index: i, Err: kvstore.ErrEmptyKey}
		case op.Kind == kvstore.OpGet:
			results[i] = kvstore.OpResult{Found: found, Value: bytes.Clone(old)}
		case op.Kind == kvstore.OpSet:
			next[string(op.Key)] = append([]byte{}, op.Value...)
		case op.Kind == kvstore.OpDelete:
			results[i].Found = found
			delete(next, string(op.Key))
		case found != (op.Old != nil) || !bytes.Equal(old, op.Old):
			return nil, &kvstore.OpError{Index: i, Err: kvstore.ErrConflict}
		case op.Value == nil:
			delete(next, string(op.Key))
		default:
			next[string(op.Key)] = append([]byte{}, op.Value...)
		}
	}
	s.values = next
	return results, nil
}

func (s *memSpace) Lock(ctx context.Context, key []byte, ttl time.Duration) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ttl <= 0 {
		return 0, kvstore.ErrBadTTL
	}
	if s.locks[string(key)] != 0 {
		return 0, firstError(ctx.Err(), context.DeadlineExceeded)
	}
	s.token++
	s.locks[string(key)] = s.token
	return s.token, nil
}

func (s *memSpace) Unlock(key []byte, token uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token == 0 || s.locks[string(key)] != token {
		return kvstore.ErrNotHeld
	}
	delete(s.locks, string(key))
	return nil
}
