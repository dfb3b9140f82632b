//go:build cgo

package pool_test

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/internal/testutil"
)

// tableGuest has functions that are found through its table: entry 0 is always empty, "where" answers with the index of add.
const tableGuest = `
typedef int i32;
#define EXPORT(name) __attribute__((export_name(#name)))
__attribute__((import_module("edged"), import_name("output_write"))) i32 output_write(const void* data, unsigned length);
static i32 calls;
EXPORT(mix) double mix(char a, i32 b, double c, float d, long long e) { calls++; return a + b + c + d + (double)e; }
static i32 fresh(i32 a) { return a + ++calls; }
static void quiet(void) { output_write("quiet", 5); }
typedef void (*any)(void);
any volatile table[3] = {(any)mix, (any)fresh, quiet};
EXPORT(version) i32 where(void) {
  i32 at[3] = {(i32)table[0], (i32)table[1], (i32)table[2]};
  output_write(at, sizeof at);
  return 0;
}
`

func TestEntriesOtherThanTheFunctions(t *testing.T) {
	load := loader(t, testutil.BuildC(t, tableGuest, append(testutil.Freestanding(), "-Wl,--export-table")...))
	app := loaded(t, load)
	where := call(t, app, "version")
	if where.Err != nil || len(where.Body) != 12 {
		t.Fatalf("%q, %v", where.Body, where.Err)
	}
	index := func(n int) uint32 { return binary.LittleEndian.Uint32(where.Body[4*n:]) }
	args := []uint64{97, 1, math.Float64bits(2), uint64(math.Float32bits(3)), 4}
	for _, c := range []struct {
		name  string
		entry invoke.Entry
		value uint64
		body  string
		err   string
	}{
		{"a function pointer", invoke.Entry{Index: index(0), Args: args}, math.Float64bits(107), "", ""},
		{"an export", invoke.Entry{Export: "mix", Args: args}, math.Float64bits(107), "", ""},
		{"a fresh instance", invoke.Entry{Index: index(1), Args: []uint64{41}}, 42, "", ""},
		{"a fresh instance again", invoke.Entry{Index: index(1), Args: []uint64{41}}, 42, "", ""},
		{"no result", invoke.Entry{Index: index(2)}, 0, "quiet", ""},
		{"no function there", invoke.Entry{Index: 0}, 0, "", "no function at that index"},
		{"outside", invoke.Entry{Index: math.MaxUint32}, 0, "", "outside the table"},
		{"too few arguments", invoke.Entry{Index: index(0), Args: args[:4]}, 0, "", "4 arguments for a function of type (i32, i32, f64, f32, i64) -> f64"},
		{"no such export", invoke.Entry{Export: "none"}, 0, "", `no function "none"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			results, err := submit(app, "version", func(inv *invoke.Invocation) { inv.Entry = &c.entry })
			if err != nil {
				t.Fatal(err)
			}
			got := receive(t, results)
			if c.err != "" {
				if got.Err == nil || !strings.Contains(got.Err.Error(), c.err) {
					t.Errorf("error %v, want %q", got.Err, c.err)
				}
				return
			}
			want(t, got, c.body, nil)
			bytes := c.entry.Bytes()
			value := uint64(0)
			for i, b := range bytes {
				value |= uint64(b) << (8 * i)
			}
			if value != c.value {
				t.Errorf("bytes %x, want %x", bytes, c.value)
			}
		})
	}
}

// control cancels on demand.
type control struct {
	began chan func(error)
	err   error
	ended chan struct{}
}

func (c *control) Begin(kill func(error)) error {
	c.began <- kill
	return c.err
}

func (c *control) End() { close(c.ended) }

func TestControl(t *testing.T) {
	app := loaded(t, build(t, 1))
	c := &control{began: make(chan func(error), 1), ended: make(chan struct{})}
	results, err := submit(app, "spin", func(inv *invoke.Invocation) { inv.Control = c })
	if err != nil {
		t.Fatal(err)
	}
	kill := receive(t, c.began)
	kill(&invoke.Error{Kind: invoke.ErrCancelled})
	want(t, receive(t, results), "", invoke.ErrCancelled)
	receive(t, c.ended)
	refused := errors.New("not any more")
	c = &control{began: make(chan func(error), 1), err: &invoke.Error{Kind: invoke.ErrCancelled, Cause: refused}}
	results, err = submit(app, "spin", func(inv *invoke.Invocation) { inv.Control = c })
	if err != nil {
		t.Fatal(err)
	}
	want(t, receive(t, results), "", refused)
	want(t, call(t, app, "version"), "1", nil) // a kill does not hit what comes after
}

// TestCalledIsNotHeldBack: an invocation that another one has started is not refused for the app's concurrency.
func TestCalledIsNotHeldBack(t *testing.T) {
	app := loaded(t, build(t, 1))
	var waiting []<-chan invoke.Result
	for range 100 { // the limit of newApp
		results, err := submit(app, "version", nil)
		if err != nil {
			break
		}
		waiting = append(waiting, results)
	}
	results, err := submit(app, "version", func(inv *invoke.Invocation) {
		inv.Source, inv.Target = invoke.SourceCall, app.Function("version").Called()
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, receive(t, results), "1", nil)
	for _, results := range waiting {
		receive(t, results)
	}
}
