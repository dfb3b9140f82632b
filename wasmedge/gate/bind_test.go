package gate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"edged.dev/edge/wasmedge"
)

func functionType(params, results string) wasmedge.FuncType {
	kinds := map[rune]wasmedge.ValType{'i': wasmedge.I32, 'I': wasmedge.I64, 'f': wasmedge.F32, 'v': V128, 'e': ExternRef}
	var t wasmedge.FuncType
	for _, p := range params {
		t.Params = append(t.Params, kinds[p])
	}
	for _, r := range results {
		t.Results = append(t.Results, kinds[r])
	}
	return t
}

func provided() []Provided {
	return []Provided{
		{"edged", "kv_get", functionType("iiii", "i"), ""},
		{"edged", "kv_set", functionType("iiii", "i"), ""},
		{"edged", "fetch", functionType("iiii", "i"), "the manifest grants no hosts"},
		{"wasi_snapshot_preview1", "fd_write", functionType("iiii", "i"), ""},
		{"env", "nothing", functionType("", ""), ""},
	}
}

func TestBind(t *testing.T) {
	for name, tc := range map[string]struct {
		of   Import
		want Row
	}{
		"provided": {
			Import{"edged", "kv_get", KindFunction, functionType("iiii", "i")},
			Row{"edged", "kv_get", StatusProvided, "(i32, i32, i32, i32) -> i32", "(i32, i32, i32, i32) -> i32", ""},
		},
		"nothing in, nothing out": {
			Import{"env", "nothing", KindFunction, functionType("", "")},
			Row{"env", "nothing", StatusProvided, "() -> ()", "() -> ()", ""},
		},
		"wrong type": {
			Import{"edged", "kv_get", KindFunction, functionType("I", "")},
			Row{"edged", "kv_get", StatusWrongType, "(i64) -> ()", "(i32, i32, i32, i32) -> i32", ""},
		},
		"vectors and references": {
			Import{"edged", "kv_get", KindFunction, functionType("v", "ef")},
			Row{"edged", "kv_get", StatusWrongType, "(v128) -> (externref, f32)", "(i32, i32, i32, i32) -> i32", ""},
		},
		"denied": {
			Import{"edged", "fetch", KindFunction, functionType("iiii", "i")},
			Row{"edged", "fetch", StatusDenied, "(i32, i32, i32, i32) -> i32", "(i32, i32, i32, i32) -> i32", "the manifest grants no hosts"},
		},
		"denied and of another type": {
			Import{"edged", "fetch", KindFunction, functionType("", "")},
			Row{"edged", "fetch", StatusWrongType, "() -> ()", "(i32, i32, i32, i32) -> i32", ""},
		},
		"typo": {
			Import{"edged", "kv_gte", KindFunction, functionType("", "")},
			Row{"edged", "kv_gte", StatusMissing, "() -> ()", "", "did you mean edged.kv_get?"},
		},
		"another module": {
			Import{"wasi_unstable", "fd_write", KindFunction, functionType("", "")},
			Row{"wasi_unstable", "fd_write", StatusMissing, "() -> ()", "", "did you mean wasi_snapshot_preview1.fd_write?"},
		},
		"nothing near": {
			Import{"edged", "teleport", KindFunction, functionType("", "")},
			Row{"edged", "teleport", StatusMissing, "() -> ()", "", ""},
		},
		"no name": {
			Import{"edged", "", KindFunction, functionType("", "")},
			Row{"edged", "", StatusMissing, "() -> ()", "", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := Bind([]Import{tc.of}, provided())
			if len(table) != 1 || table[0] != tc.want {
				t.Errorf("got %+v, want %+v", table, tc.want)
			}
			if (tc.want.Status == StatusProvided) != (err == nil) || (err != nil && !errors.Is(err, ErrImports)) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestBindReport(t *testing.T) {
	none := functionType("", "")
	table, err := Bind([]Import{
		{"edged", "kv_get", KindFunction, functionType("iiii", "i")},
		{"edged", "kv_got", KindFunction, none},
		{"edged", "fetch", KindFunction, functionType("iiii", "i")},
		{"edged", "kv_set", KindFunction, none},
		{"x\x1b[31m", "y", KindFunction, none},
		{"env", "z", KindFunction, none},
	}, provided())
	want := "imports cannot be bound (5 of 6): edged.kv_got is missing: did you mean edged.kv_get?; " +
		"edged.fetch is denied: the manifest grants no hosts; " +
		"edged.kv_set has the type () -> () and edged provides (i32, i32, i32, i32) -> i32; and 2 more"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	wantTable := strings.Join([]string{
		`edged.kv_get   provided    (i32, i32, i32, i32) -> i32`,
		`edged.kv_got   missing     () -> ()  did you mean edged.kv_get?`,
		`edged.fetch    denied      (i32, i32, i32, i32) -> i32  the manifest grants no hosts`,
		`edged.kv_set   wrong type  () -> ()  expected (i32, i32, i32, i32) -> i32`,
		`"x\x1b[31m".y  missing     () -> ()`,
		`env.z          missing     () -> ()`,
		``,
	}, "\n")
	if got := table.String(); got != wantTable {
		t.Errorf("got\n%s\nwant\n%s", got, wantTable)
	}
	text, err := json.Marshal(table[1])
	if err != nil {
		t.Fatal(err)
	}
	wantJSON := `{"module":"edged","name":"kv_got","status":"missing","found":"() -\u003e ()","note":"did you mean edged.kv_get?"}`
	if string(text) != wantJSON {
		t.Errorf("JSON is %s", text)
	}
}

func TestBindNothing(t *testing.T) {
	table, err := Bind(nil, nil)
	if err != nil || len(table) != 0 || table.String() != "" {
		t.Errorf("got %v, %v", table, err)
	}
	if text, err := json.Marshal(table); err != nil || string(text) != "[]" {
		t.Errorf("JSON is %s (%v)", text, err)
	}
}

func TestEditDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"kv_get", "kv_get", 0}, {"kv_gte", "kv_get", 2}, {"kitten", "sitting", 3}} {
		if got := editDistance(tc.a, tc.b); got != tc.want || editDistance(tc.b, tc.a) != tc.want {
			t.Errorf("%q %q: got %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
