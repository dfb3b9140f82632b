package e2e_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// foreignFunctions is how many functions testdata/foreign.c can call.
const foreignFunctions = 39

// foreign builds a guest of waverless.
func foreign(t *testing.T, flags ...string) string {
	t.Helper()
	return testutil.BuildCFile(t, "testdata/foreign.c", append(append(testutil.Freestanding(), "-O1", "-Wl,--export-table"), flags...)...)
}

// TestForeignAfterRestart: what a deploy has found out about a module's interface still holds after a restart, when the module is
// not there yet to be asked.
func TestForeignAfterRestart(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	d.must(t, "deploy", app(t, "waves", foreign(t)))
	for round := range 2 {
		for _, tr := range d.dial(t) {
			if got := tr.ok(t, "/waves/echo", []byte("hello")); got != "hello" {
				t.Errorf("round %d, %s: %q", round, tr.name, got)
			}
		}
		if got := d.must(t, "inspect", "waves"); !strings.Contains(got, "waverless") {
			t.Errorf("round %d: inspect does not name the interface:\n%s", round, got)
		}
		if round == 0 {
			d.kill()
			d = h.start(t)
		}
	}
	d.stop(t)
}

// TestForeignHostile calls every function of other systems with garbage: each answers, or ends the call, and the daemon and its
// other app go on as if nothing had been.
func TestForeignHostile(t *testing.T) {
	d := startDaemon(t, "")
	d.must(t, "deploy", app(t, "garbage", foreign(t, "-DALL"), "abi: waverless", "limits: {memory: 4MiB, timeout: 200ms}"))
	d.must(t, "deploy", app(t, "waves", foreign(t)))
	random := rand.New(rand.NewPCG(3, 9))
	edges := []uint32{0, 1, 2, 4, 8, 64, 1024, 65535, 65536, 1<<22 - 1, 1 << 22, 1 << 31, 1<<32 - 16, 1<<32 - 1}
	tr := d.http()
	survived := 0
	for round := range 40 {
		for function := range uint32(foreignFunctions) {
			var body []byte
			for range 1 + random.IntN(3) {
				body = binary.LittleEndian.AppendUint32(body, function)
				for range 5 {
					word := edges[random.IntN(len(edges))]
					if random.IntN(3) == 0 {
						word = random.Uint32N(1 << 17)
					}
					body = binary.LittleEndian.AppendUint32(body, word)
				}
			}
			got := tr.must(t, http.MethodPost, "/garbage/attack", body)
			switch {
			case got.status == 200 && string(got.body) == "survived":
				survived++
			case got.status != 200 && got.status != 500 && got.status != 504:
				t.Fatalf("function %d, %x: status %d, %.300s", function, body, got.status, got.body)
			}
		}
		want := fmt.Sprintf("round %d", round)
		if got := tr.ok(t, "/waves/echo", []byte(want)); got != want {
			t.Fatalf("the other app: %q", got)
		}
	}
	if survived == 0 {
		t.Error("no call came back, so nothing beyond the checks of pointers was tested")
	}
	d.stop(t)
}
