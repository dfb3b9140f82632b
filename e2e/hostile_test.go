package e2e_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// kind is one way to be hostile: the function of the guest, and how a caller learns of it.
type kind struct {
	name   string
	app    string // "hostile", or "endless", whose timeout is short
	body   []byte
	status int    // 0: the response has begun by then and is cut off
	want   string // part of the problem's detail; of the body when the status is 200
}

// endlessTimeout is the limits.timeout of the app whose functions never end.
const endlessTimeout = "200ms"

// kinds lists every export of testdata/hostile.c, the hostile pointers apart.
func kinds() []kind {
	const (
		overflow    = "trap: stack overflow"
		outOfBounds = "trap: memory or table access out of bounds"
		aborted     = "trap: unreachable code reached"
		indirect    = "trap: indirect call to no function or one of another type"
		killed      = "killed after " + endlessTimeout + ", the app's limits.timeout"
	)
	fails := func(name, want string) kind { return kind{name: name, app: "hostile", status: 500, want: want} }
	never := func(name string) kind { return kind{name: name, app: "endless", status: 504, want: killed} }
	answers := func(name, want string) kind { return kind{name: name, app: "hostile", status: 200, want: want} }
	return []kind{
		fails("recurse", overflow), fails("recurse_host", overflow), fails("recurse_clock", overflow),
		fails("recurse_grow", overflow), fails("recurse_indirect", overflow), fails("recurse_shadow", outOfBounds),
		fails("load_outside", outOfBounds), fails("store_outside", outOfBounds), fails("store_behind", outOfBounds),
		fails("fill_outside", outOfBounds), fails("divide", "trap: integer division by zero"),
		fails("divide_overflow", "trap: integer overflow"), fails("convert", "trap: integer overflow"),
		fails("unreachable", aborted), fails("abort_libc", aborted), fails("indirect", indirect), fails("indirect_null", indirect),
		never("spin"), never("spin_host"), never("spin_kv"), never("spin_random"), never("spin_grow"), never("spin_fill"),
		never("sleep_forever"), never("lock_forever"), never("yield_forever"),
		answers("grow", "512"), // pages of 64 KiB: 32 MiB, the limit
		fails("allocate", "out of memory"),
		{name: "flood_output", app: "hostile"},
		answers("flood_output_blind", strings.Repeat("\x00", 32<<20)),
		answers("flood_log", "logged"), answers("flood_header", "-8 after 100"), answers("long_header", "-8"),
		answers("bad_header", "-2 -2 -3 -3"), answers("bad_status", "-2 -2 -2"), fails("flood_error", "eeee"),
		fails("random_all", "random_get: buf: [0x10, +4294967295) is outside the guest's memory"),
		answers("exit_0", "exit 0"), fails("exit_1", "guest exited with code 1"), fails("exit_255", "guest exited with code 255"),
		fails("exit_minus", "guest exited with code 4294967295"), fails("exit_deep", "guest exited with code 3"),
		fails("return_7", "the function returned an error: 7"),
	}
}

// pointers lists every pointer that a guest can give to a function of module edged, as function and argument.
func pointers() []kind {
	const memory = (19 + 8) << 16 // what the module declares, and the loader gate's headroom
	regions := map[string][2]uint32{
		"high": {0xfffffff0, 0x7fffffff}, "wrap": {0xffffffff, 0xffffffff}, "behind": {0x00200000, 1}, "across": {memory - 1, 32},
		"negative": {16, 0xfffffff0},
	}
	var list []kind
	for _, row := range [...]struct{ export, function string }{
		{"input_read", "input_read"},
		{"output_write", "output_write"},
		{"output_header_name", "output_header"},
		{"output_header_value", "output_header"},
		{"error", "error"},
		{"meta_get_key", "meta_get"},
		{"meta_get_buf", "meta_get"},
		{"log", "log"},
		{"config_get_key", "config_get"},
		{"config_get_buf", "config_get"},
		{"secret_get_key", "secret_get"},
		{"secret_get_buf", "secret_get"},
		{"kv_get_key", "kv_get"},
		{"kv_get_buf", "kv_get"},
		{"kv_set_key", "kv_set"},
		{"kv_set_value", "kv_set"},
		{"kv_delete", "kv_delete"},
		{"kv_cas_key", "kv_cas"},
		{"kv_cas_old", "kv_cas"},
		{"kv_cas_new", "kv_cas"},
		{"kv_scan_prefix", "kv_scan"},
		{"kv_scan_cursor", "kv_scan"},
		{"kv_scan_buf", "kv_scan"},
		{"kv_batch_ops", "kv_batch"},
		{"kv_batch_out", "kv_batch"},
		{"kv_lock", "kv_lock"},
		{"kv_unlock", "kv_unlock"},
	} {
		for name, region := range regions {
			if name == "negative" && row.export == "kv_scan_cursor" {
				continue // a cursor has no length of the guest's
			}
			body := binary.LittleEndian.AppendUint32(nil, region[0])
			list = append(list, kind{
				name: "p_" + row.export, app: "hostile", body: binary.LittleEndian.AppendUint32(body, region[1]), status: 500,
				want: "stopped by a host function: edged." + row.function + ": ",
			})
		}
	}
	return list
}

// check calls the function and judges the answer.
func (k kind) check(t *testing.T, tr transport) error {
	t.Helper()
	got, err := tr.call(t.Context(), http.MethodPost, "/"+k.app+"/"+k.name, k.body)
	switch {
	case k.status == 0 && err == nil:
		return fmt.Errorf("%s: a whole answer of status %d and %d bytes, want one that is cut off", k.name, got.status, len(got.body))
	case k.status == 0:
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", k.name, err)
	case got.status != k.status:
		return fmt.Errorf("%s: status %d, want %d: %.300s", k.name, got.status, k.status, got.body)
	case k.status == 200 && string(got.body) != k.want:
		return fmt.Errorf("%s: %d bytes %.40q, want %d bytes %.40q", k.name, len(got.body), got.body, len(k.want), k.want)
	case k.status == 200:
		return nil
	}
	p, err := got.problem()
	if err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	if p.App != k.app || p.Function != k.name || !strings.Contains(p.Detail, k.want) {
		return fmt.Errorf("%s: the problem is of %s/%s and says %.300q, want %q", k.name, p.App, p.Function, p.Detail, k.want)
	}
	return nil
}

// hostileDaemon returns the shared daemon with the hostile apps and an innocent one.
func hostileDaemon(t *testing.T) *daemon {
	t.Helper()
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "innocent", innocent(t, 1), "limits: {timeout: 60s}"))
	d.must(t, "deploy", app(t, "hostile", hostile(t), "limits: {timeout: 60s, memory: 32MiB}"))
	d.must(t, "deploy", app(t, "endless", hostile(t), "limits: {timeout: "+endlessTimeout+"}"))
	return d
}

// alive requires that the daemon answers for itself and for an innocent app.
func alive(t *testing.T, d *daemon) {
	t.Helper()
	for _, tr := range d.clients {
		if got := tr.must(t, http.MethodGet, "/_edged/livez", nil); got.status != 200 {
			t.Fatalf("livez answers %d over %s", got.status, tr.name)
		}
		if got := tr.ok(t, "/innocent/hash", []byte("edged")); got != hashOf("edged") {
			t.Fatalf("an innocent function answers %q over %s", got, tr.name)
		}
	}
}

// hashOf is what the guest's function hash answers.
func hashOf(text string) string {
	h := uint64(0xcbf29ce484222325)
	for range 1000 {
		for i := range len(text) {
			h = (h ^ uint64(text[i])) * 0x100000001b3
		}
	}
	return fmt.Sprintf("%016x", h)
}

// TestHostile calls every kind, then all of them again and again, and compares what the daemon holds before and after.
func TestHostile(t *testing.T) {
	d := hostileDaemon(t)
	all := append(kinds(), pointers()...)
	for _, k := range all {
		t.Run(k.name, func(t *testing.T) {
			if err := k.check(t, d.http()); err != nil {
				t.Error(err)
			}
			alive(t, d)
		})
	}
	round := func() {
		var clients sync.WaitGroup
		for part := range 8 {
			clients.Go(func() {
				for i := part; i < len(all); i += 8 {
					if err := all[i].check(t, d.clients[i%2]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		clients.Wait()
		alive(t, d)
	}
	const rounds = 3
	for range rounds { // until every buffer has been as large as it gets
		round()
	}
	before := d.footprint(t)
	for range rounds {
		round()
	}
	after := d.footprint(t)
	t.Logf("%d calls a round; held before %+v, after %+v", len(all), before, after)
	if after.threads > before.threads+4 || after.files > before.files+4 || after.residentKiB > before.residentKiB+64<<10 {
		t.Errorf("more rounds of hostile calls grew the daemon from %+v to %+v", before, after)
	}
}

// TestHostileHammer calls all kinds at once from 16 clients beside an innocent load, of which every answer has to be right.
func TestHostileHammer(t *testing.T) {
	d := hostileDaemon(t)
	all := append(kinds(), pointers()...)
	stop := make(chan struct{})
	var innocentCalls, hostileCalls atomic.Int64
	var good, bad sync.WaitGroup
	for n := range 4 {
		good.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				text := fmt.Sprintf("innocent %d %d", n, i)
				got, err := d.clients[n%2].call(t.Context(), http.MethodPost, "/innocent/hash", []byte(text))
				if err != nil || got.status != 200 || string(got.body) != hashOf(text) {
					t.Errorf("innocent call %q: %v %d %.200s", text, err, got.status, got.body)
					return
				}
				innocentCalls.Add(1)
			}
		})
	}
	for n := range 16 {
		bad.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for _, i := range random.Perm(len(all)) {
				if err := all[i].check(t, d.clients[n%2]); err != nil {
					t.Error(err)
				}
				hostileCalls.Add(1)
			}
		})
	}
	bad.Wait()
	close(stop)
	good.Wait()
	alive(t, d)
	t.Logf("%d hostile and %d innocent calls; held after: %+v", hostileCalls.Load(), innocentCalls.Load(), d.footprint(t))
	if innocentCalls.Load() == 0 {
		t.Error("no innocent call came through")
	}
}
