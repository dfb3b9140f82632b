package gate

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"edged.dev/edge/wasmedge"
)

// short is the number form for [everything] in which every LEB is minimal. The numbers of that module are below 64, so
// signed and unsigned forms agree.
func short(v uint32) []byte { return leb(int(v)) }

func mustCheck(t *testing.T, src []byte, limits Limits) *Module {
	t.Helper()
	m, err := Check(src, limits)
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	return m
}

func TestCheckDescribesModule(t *testing.T) {
	m := mustCheck(t, everything(short), Limits{MemoryPages: 100, TableElements: 5})
	i32ToI32 := wasmedge.FuncType{Params: []wasmedge.ValType{wasmedge.I32}, Results: []wasmedge.ValType{wasmedge.I32}}
	want := &Module{
		Code:      m.Code,
		Data:      []Segment{{8, []byte("abc" + strings.Repeat("\x00", 0x3e-11) + "z")}},
		Imports:   []Import{{"env", "f", KindFunction, i32ToI32}},
		Exports:   []Export{{"go", KindFunction, 1, wasmedge.FuncType{}}, {"memory", KindMemory, 0, wasmedge.FuncType{}}},
		HasMemory: true, MemoryMin: 9, MemoryMax: 100, MemoryExport: "edged:memory",
		StartExport:    "edged:start",
		MutableGlobals: []Global{{0, wasmedge.I32, "edged:global:0"}, {2, FuncRef, "edged:global:2"}},
		GrowsMemory:    true,
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got\n%+v\nwant\n%+v", m, want)
	}
	if m.Key() != sha256.Sum256(m.Code) {
		t.Error("Key is not the hash of Code")
	}
	for _, gone := range []string{"wasmedge", "\x7fELF", "first", "last", "abc"} {
		if bytes.Contains(m.Code, []byte(gone)) {
			t.Errorf("Code still has %q", gone)
		}
	}
	d, err := decode(m.Code, DefaultLimits(), true)
	if err != nil {
		t.Fatal(err)
	}
	if got := *d.m.memory; got != (bounds{9, 100, true}) {
		t.Errorf("memory in Code is %v", got)
	}
	if got := d.m.tables; !reflect.DeepEqual(got, []table{{FuncRef, bounds{4, 5, true}}, {ExternRef, bounds{1, 5, true}}}) {
		t.Errorf("tables in Code are %v", got)
	}
	if d.m.start != nil || len(d.m.data) != 0 {
		t.Error("Code still has a start section or data")
	}
}

func TestCheckNormalisesNumbers(t *testing.T) {
	limits := Limits{}
	minimal, long := mustCheck(t, everything(short), limits), mustCheck(t, everything(padded), limits)
	if !bytes.Equal(minimal.Code, long.Code) {
		t.Errorf("other code for longer numbers:\n%x\n%x", minimal.Code, long.Code)
	}
	if minimal.Key() != long.Key() || !reflect.DeepEqual(minimal, long) {
		t.Error("other description for longer numbers")
	}
}

func TestCheckCopiesUpload(t *testing.T) {
	src := everything(short)
	m := mustCheck(t, src, Limits{})
	code, first := bytes.Clone(m.Code), bytes.Clone(m.Data[0].Bytes)
	clear(src)
	if !bytes.Equal(m.Code, code) || !bytes.Equal(m.Data[0].Bytes, first) || m.Exports[0].Name != "go" {
		t.Error("the module changed with the upload")
	}
}

func TestCheckClampsLimits(t *testing.T) {
	memory := func(limits ...int) []byte {
		b := []byte{}
		for _, l := range limits {
			b = append(b, leb(l)...)
		}
		return wasm(sec(sectionMemory, 1, b))
	}
	for name, tc := range map[string]struct {
		src      []byte
		min, max uint32
	}{
		"no maximum":                {memory(0, 1), 9, 16},
		"maximum above the limit":   {memory(1, 1, 65536), 9, 16},
		"maximum below the limit":   {memory(1, 1, 3), 3, 3},
		"minimum equal to limit":    {memory(0, 16), 16, 16},
		"no page at all":            {memory(1, 0, 0), 0, 0},
		"maximum equal to minimum":  {memory(1, 5, 5), 5, 5},
		"maximum equal to the limt": {memory(1, 5, 16), 13, 16},
	} {
		t.Run(name, func(t *testing.T) {
			m := mustCheck(t, tc.src, Limits{MemoryPages: 16})
			if m.MemoryMin != tc.min || m.MemoryMax != tc.max {
				t.Errorf("got %d..%d, want %d..%d", m.MemoryMin, m.MemoryMax, tc.min, tc.max)
			}
		})
	}
}

func TestCheckWithoutMemory(t *testing.T) {
	m := mustCheck(t, wasm(types, functions, oneBody), Limits{})
	if m.HasMemory || m.MemoryExport != "" || m.MemoryMax != 0 || len(m.MutableGlobals) != 0 || m.StartExport != "" {
		t.Errorf("got %+v", m)
	}
	if m := mustCheck(t, wasm(), Limits{}); string(m.Code) != magic+coreVersion {
		t.Errorf("empty module became %x", m.Code)
	}
}

func TestDataStaysWhenSegmentsAreNumbered(t *testing.T) {
	active := cat(0, 0x41, 0, 11, str("abc"))
	passive := cat(1, str("def"))
	counted := sec(sectionDataCount, 1)
	initBody := code(cat(0, 0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 8, 0, 0, 0x0b))
	dropBody := code(cat(0, 0xfc, 9, 0, 0x0b))
	for name, tc := range map[string]struct {
		src  []byte
		data int
	}{
		"active only":             {wasm(types, functions, memory1, oneBody, sec(sectionData, vec(active))), 1},
		"active, with data count": {wasm(types, functions, memory1, counted, oneBody, sec(sectionData, vec(active))), 1},
		"with a passive one":      {wasm(types, functions, memory1, oneBody, sec(sectionData, vec(active, passive))), 0},
		"memory.init":             {wasm(types, functions, memory1, counted, initBody, sec(sectionData, vec(active))), 0},
		"data.drop":               {wasm(types, functions, memory1, counted, dropBody, sec(sectionData, vec(active))), 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := mustCheck(t, tc.src, Limits{})
			if len(m.Data) != tc.data {
				t.Errorf("%d segments taken out, want %d", len(m.Data), tc.data)
			}
			if inCode := bytes.Contains(m.Code, []byte("abc")); inCode == (tc.data > 0) {
				t.Errorf("data in code: %v", inCode)
			}
		})
	}
}

// TestDataJoined compares what writing the segments in order makes of a memory, joined and one by one.
func TestDataJoined(t *testing.T) {
	segment := func(offset int, s string) []byte { return cat(0, 0x41, offset|0x80, 0, 11, str(s)) }
	for name, tc := range map[string]struct {
		segments [][]byte
		joined   int
	}{
		"adjacent":           {[][]byte{segment(0, "ab"), segment(2, "cd")}, 1},
		"a short gap":        {[][]byte{segment(1, "ab"), segment(67, "cd")}, 1},
		"a gap one too long": {[][]byte{segment(1, "ab"), segment(68, "cd")}, 2},
		"descending":         {[][]byte{segment(20, "ab"), segment(0, "cd")}, 1},
		"overlapping":        {[][]byte{segment(0, "abcd"), segment(2, "xy")}, 2},
		"overlapping before": {[][]byte{segment(2, "xy"), segment(0, "abcd")}, 2},
		"one inside another": {[][]byte{segment(0, "abcdef"), segment(2, "x"), segment(7, "y")}, 3},
		"the same twice":     {[][]byte{segment(3, "a"), segment(3, "b")}, 2},
		"a step back":        {[][]byte{segment(10, "m"), segment(0, "a"), segment(12, "z")}, 1},
		"empty ones":         {[][]byte{segment(0, ""), segment(5, "a"), segment(7, ""), segment(8, "b")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			src := wasm(memory1, sec(sectionData, vec(tc.segments...)))
			d, err := decode(src, DefaultLimits(), false)
			if err != nil {
				t.Fatal(err)
			}
			want, got := make([]byte, pageBytes), make([]byte, pageBytes)
			for _, s := range d.m.data {
				copy(want[s.offset:], s.bytes)
			}
			m := mustCheck(t, src, Limits{})
			for _, s := range m.Data {
				copy(got[s.Offset:], s.Bytes)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("memory is %q, want %q", got[:64], want[:64])
			}
			if len(m.Data) != tc.joined {
				t.Errorf("%d segments, want %d", len(m.Data), tc.joined)
			}
		})
	}
}

func TestTablesMutable(t *testing.T) {
	elements := sec(sectionElement, vec([]byte{1, 0, 1, 0}))
	with := func(instructions ...any) []byte {
		return wasm(types, functions, table4, memory1, elements, code(cat(0, cat(instructions...), 0x0b)))
	}
	for name, tc := range map[string]struct {
		src  []byte
		want bool
	}{
		"read only":      {with(0x41, 0, 0x25, 0, 0x1a, 0xfc, 16, 0, 0x1a), false},
		"table.set":      {with(0x41, 0, 0xd0, 0x70, 0x26, 0), true},
		"table.init":     {with(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 12, 0, 0), true},
		"elem.drop":      {with(0xfc, 13, 0), true},
		"table.copy":     {with(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 14, 0, 0), true},
		"table.grow":     {with(0xd0, 0x70, 0x41, 0, 0xfc, 15, 0, 0x1a), true},
		"table.fill":     {with(0x41, 0, 0xd0, 0x70, 0x41, 0, 0xfc, 17, 0), true},
		"exported table": {wasm(table4, sec(sectionExport, vec(cat(str("t"), 1, 0)))), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mustCheck(t, tc.src, Limits{}).TablesMutable; got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestModuleName(t *testing.T) {
	nameSection := func(content ...any) []byte { return wasm(sec(sectionCustom, str("name"), cat(content...))) }
	for name, tc := range map[string]struct {
		src  []byte
		want string
	}{
		"given":          {nameSection(0, 6, str("hello")), "hello"},
		"none":           {wasm(), ""},
		"functions only": {nameSection(1, 1, 0), ""},
		"truncated":      {nameSection(0, 9, str("hello")), ""},
		"not UTF-8":      {nameSection(0, 3, str("\xff\xfe")), ""},
		"empty section":  {nameSection(), ""},
		"very long":      {nameSection(0, leb(102), str(strings.Repeat("a", 79)+"é"+strings.Repeat("b", 20))), strings.Repeat("a", 79)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mustCheck(t, tc.src, Limits{}).Name; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestRecheck: what Check wrote is a fixed point, and nothing else passes.
func TestRecheck(t *testing.T) {
	limits := Limits{MemoryPages: 50}
	m := mustCheck(t, everything(short), limits)
	again, err := Recheck(m.Code, limits)
	if err != nil {
		t.Fatal(err)
	}
	want := *m
	want.Data = nil
	if !reflect.DeepEqual(*again, want) {
		t.Errorf("got\n%+v\nwant\n%+v", *again, want)
	}
	if _, err := Check(m.Code, limits); !errors.Is(err, ErrReserved) {
		t.Errorf("Check of checked code: %v", err)
	}
	reserved := func(name string, kind, index int) []byte {
		return sec(sectionExport, vec(cat(str(name), kind, index)))
	}
	for name, code := range map[string][]byte{
		"as uploaded":             everything(short),
		"with a custom section":   append(bytes.Clone(m.Code), sec(sectionCustom, str("x"))...),
		"with a larger memory":    bytes.Replace(m.Code, []byte{5, 4, 1, 1, 9, 50}, []byte{5, 4, 1, 1, 9, 51}, 1),
		"no reserved exports":     wasm(memory1),
		"start of another type":   wasm(types, sec(sectionFunction, 1, 1), reserved("edged:start", 0, 0), code(cat(0, 0x41, 0, 0x0b))),
		"start is a memory":       wasm(memory1, sec(sectionExport, vec(cat(str("edged:memory"), 2, 0), cat(str("edged:start"), 2, 0)))),
		"unknown reserved export": wasm(memory1, sec(sectionExport, vec(cat(str("edged:memory"), 2, 0), cat(str("edged:x"), 2, 0)))),
		"own export behind":       wasm(memory1, sec(sectionExport, vec(cat(str("edged:memory"), 2, 0), cat(str("m"), 2, 0)))),
		"data":                    wasm(memory1, reserved("edged:memory", 2, 0), sec(sectionData, vec(cat(0, 0x41, 0, 11, str("a"))))),
		"no module":               []byte("junk"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Recheck(code, limits); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestRewritingKeepsMeaning: an unchanged module decodes to the same after it has been encoded.
func TestRewritingKeepsMeaning(t *testing.T) {
	for name, src := range accepted() {
		t.Run(name, func(t *testing.T) { checkRewriting(t, src) })
	}
}

// checkRewriting checks decode(encode(decode(src))) == decode(src), and that encoding twice gives the same bytes.
func checkRewriting(t *testing.T, src []byte) {
	t.Helper()
	first, refused := decode(src, DefaultLimits(), true)
	if refused != nil {
		t.Fatalf("decode: %v", refused)
	}
	written := encode(first.m)
	second, refused := decode(written, DefaultLimits(), true)
	if refused != nil {
		t.Fatalf("decode of what was encoded: %v", refused)
	}
	if !reflect.DeepEqual(first.m, second.m) {
		t.Fatal("another module after encoding")
	}
	if !bytes.Equal(encode(second.m), written) {
		t.Fatal("encoding the same module gave other bytes")
	}
}

// accepted returns small modules that must pass, by name.
func accepted() map[string][]byte {
	nested := slices.Concat(bytes.Repeat([]byte{0x02, 0x40}, 1000), bytes.Repeat([]byte{0x0b}, 1000))
	return map[string][]byte{
		"empty":                wasm(),
		"everything":           everything(short),
		"everything, padded":   everything(padded),
		"deep blocks":          withBody(nested),
		"else":                 withBody(0x41, 1, 0x04, 0x40, 0x01, 0x05, 0x01, 0x0b),
		"block of a type":      withBody(0x41, 1, 0x02, 1, 0x0b, 0x1a),
		"block with a result":  withBody(0x02, 0x7f, 0x41, 1, 0x0b, 0x1a),
		"br_table":             withBody(0x02, 0x40, 0x41, 1, 0x0e, 2, 0, 1, 0, 0x0b),
		"typed select":         withBody(0x41, 1, 0x41, 2, 0x41, 3, 0x1c, 1, 0x7f, 0x1a),
		"i64.const minimum":    withBody(0x42, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", 0x1a),
		"i32.const minimum":    withBody(0x41, "\x80\x80\x80\x80\x78", 0x1a),
		"i32.const -1, padded": withBody(0x41, "\xff\xff\xff\xff\x7f", 0x1a),
		"saturating":           withBody(0x43, 0, 0, 0, 0, 0xfc, 0, 0x1a),
		"sign extension":       withBody(0x41, 0, 0xc0, 0x1a),
		"simd":                 withBody(0xfd, 12, make([]byte, 16), 0xfd, 21, 15, 0x1a),
		"simd, padded opcode":  withBody(0xfd, padded(12), make([]byte, 16), 0xfd, 0xe3, 0, 0x1a),
		"memory.copy":          withBody(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 10, 0, 0),
		"v128 global":          wasm(sec(sectionGlobal, 1, 0x7b, 1, 0xfd, 12, "0123456789abcdef", 11)),
		"f64 and i64 globals":  wasm(sec(sectionGlobal, 2, 0x7c, 0, 0x44, "01234567", 11, 0x7e, 1, 0x42, "\x80\x7f", 11)),
		"multi-value":          wasm(sec(sectionType, vec([]byte{formFunction, 1, 0x7f, 2, 0x7f, 0x7e}))),
		"edged_restore": wasm(types, functions,
			sec(sectionExport, vec(cat(str("edged_restore"), 0, 0))), oneBody),
		"reftypes": wasm(sec(sectionTable, vec([]byte{0x6f, 0, 1})),
			sec(sectionElement, 1, 6, 0, 0x41, 0, 11, 0x6f, 1, 0xd0, 0x6f, 11)),
		"declared functions": wasm(types, functions, sec(sectionElement, 1, 7, 0x70, 1, 0xd2, 0, 11), oneBody),
		"passive data":       wasm(sec(sectionDataCount, 1), sec(sectionData, vec(cat(1, str("abc"))))),
		"data at the end":    wasm(memory1, sec(sectionData, vec(cat(0, 0x41, "\xff\xff\x03", 11, str("a"))))),
		"empty sections": wasm(sec(sectionType, 0), sec(sectionImport, 0), sec(sectionFunction, 0), sec(sectionTable, 0),
			sec(sectionMemory, 0), sec(sectionGlobal, 0), sec(sectionExport, 0), sec(sectionElement, 0),
			sec(sectionDataCount, 0), sec(sectionCode, 0), sec(sectionData, 0)),
		"same import twice": wasm(types, sec(sectionImport, vec(
			cat(str("a"), str("b"), 0, 0), cat(str("a"), str("b"), 0, 1)))),
	}
}
