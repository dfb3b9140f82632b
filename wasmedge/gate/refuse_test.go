package gate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// refusal is a module that must not pass: why, and what its author must read.
type refusal struct {
	src  []byte
	kind error
	text string
}

const huge = "\xff\xff\xff\xff\x0f" // 2^32-1

func notModules() map[string]refusal {
	return map[string]refusal{
		"empty":         {nil, ErrNotWasm, "the file is empty"},
		"ELF":           {[]byte("\x7fELF\x02\x01\x01"), ErrNotWasm, "ELF"},
		"gzip":          {[]byte("\x1f\x8b\x08\x00"), ErrNotWasm, "gzip -d"},
		"zip":           {[]byte("PK\x03\x04...."), ErrNotWasm, "unpack"},
		"text":          {[]byte("\n  (module)"), ErrNotWasm, "wat2wasm"},
		"text, comment": {[]byte(";; hello\n(module)"), ErrNotWasm, "assemble"},
		"archive":       {[]byte("!<arch>\n"), ErrNotWasm, "link it"},
		"bitcode":       {[]byte("BC\xc0\xde"), ErrNotWasm, "link it"},
		"html":          {[]byte("<html>404"), ErrNotWasm, "download"},
		"random":        {[]byte("hello world"), ErrNotWasm, "begins with 68656c6c"},
		"one byte":      {[]byte{0}, ErrMalformed, "truncated"},
		"magic only":    {[]byte(magic), ErrMalformed, "truncated"},
		"half version":  {[]byte(magic + "\x01\x00"), ErrMalformed, "truncated"},
		"component":     {[]byte(magic + componentVersion), ErrComponent, "wasm32-wasip1"},
		"old component": {[]byte(magic + "\x0a\x00\x01\x00"), ErrComponent, "wasm-tools component"},
		"version 2":     {[]byte(magic + "\x02\x00\x00\x00"), ErrMalformed, "02000000"},
	}
}

func badSections() map[string]refusal {
	imported := func(rest ...any) []byte {
		return wasm(types, sec(sectionImport, 1, str("env"), str("x"), cat(rest...)))
	}
	return map[string]refusal{
		"unknown section":       {wasm(sec(14)), ErrMalformed, "unknown kind 14"},
		"tag section":           {wasm(sec(sectionTag, 1, 0, 0)), ErrFeature, "exception handling"},
		"twice":                 {wasm(types, types), ErrMalformed, "type section (byte 0x13): occurs twice"},
		"out of order":          {wasm(memory1, types), ErrMalformed, "must follow"},
		"data count behind":     {wasm(sec(sectionCode, 0), sec(sectionDataCount, 0)), ErrMalformed, "must follow"},
		"longer than the file":  {wasm(cat(1, 100, 1)), ErrMalformed, "truncated or damaged"},
		"no size":               {wasm([]byte{1}), ErrMalformed, "ends in the middle"},
		"bytes behind":          {wasm(sec(sectionType, 0, 0)), ErrMalformed, "1 bytes after its end"},
		"count beyond section":  {wasm(sec(sectionType, huge)), ErrMalformed, "4294967295 types"},
		"number of six bytes":   {wasm(sec(sectionType, "\x80\x80\x80\x80\x80\x00")), ErrMalformed, "32 bits"},
		"number of 33 bits":     {wasm(sec(sectionType, "\xff\xff\xff\xff\x1f")), ErrMalformed, "32 bits"},
		"custom without a name": {wasm(sec(sectionCustom)), ErrMalformed, "custom section"},
		"custom, long name":     {wasm(sec(sectionCustom, 9, "abc")), ErrMalformed, "a name"},
		"custom, not UTF-8":     {wasm(sec(sectionCustom, str("\xff"))), ErrMalformed, "UTF-8"},

		"unknown type form": {wasm(sec(sectionType, 1, 0x61, 0)), ErrMalformed, "form 0x61"},
		"struct":            {wasm(sec(sectionType, 1, 0x5f, 0)), ErrFeature, "garbage collection"},
		"recursive types":   {wasm(sec(sectionType, 1, 0x4e, 0)), ErrFeature, "WasmGC"},
		"typed reference":   {wasm(sec(sectionType, 1, formFunction, 1, 0x64, 0, 0)), ErrFeature, "typed function references"},
		"exnref":            {wasm(sec(sectionType, 1, formFunction, 1, 0x69, 0)), ErrFeature, "exception"},
		"unknown value":     {wasm(sec(sectionType, 1, formFunction, 1, 0x11, 0)), ErrMalformed, "value type 0x11"},

		"import of a memory":   {imported(2, 0, 1), ErrFeature, "memory \"env\".\"x\""},
		"import of a table":    {imported(1, 0x70, 0, 1), ErrFeature, "-fPIC"},
		"import of a global":   {imported(3, 0x7f, 0), ErrFeature, "not a function"},
		"import of a tag":      {imported(4, 0, 0), ErrFeature, "exception"},
		"import of kind 5":     {imported(5), ErrMalformed, "kind of import 0x05"},
		"import of type 9":     {imported(0, 9), ErrMalformed, "type 9 and there are 2"},
		"import, not UTF-8":    {wasm(types, sec(sectionImport, 1, str("\xc0"), str("x"), 0, 0)), ErrMalformed, "UTF-8"},
		"function of type 2":   {wasm(types, sec(sectionFunction, 1, 2)), ErrMalformed, "type 2"},
		"function, no body":    {wasm(types, functions), ErrMalformed, "0 bodies"},
		"body, no function":    {wasm(types, oneBody), ErrMalformed, "1 bodies"},
		"table of i32":         {wasm(sec(sectionTable, 1, 0x7f, 0, 1)), ErrMalformed, "reference type"},
		"table, 64 bits":       {wasm(sec(sectionTable, 1, 0x70, 4, 1)), ErrFeature, "64-bit"},
		"table, initial value": {wasm(sec(sectionTable, 1, 0x40, 0, 0x70, 0, 1)), ErrFeature, "initial value"},
		"two memories":         {wasm(sec(sectionMemory, 2, 0, 1, 0, 1)), ErrFeature, "more than one memory"},
		"shared memory":        {wasm(sec(sectionMemory, 1, 3, 1, 1)), ErrFeature, "-pthread"},
		"memory64":             {wasm(sec(sectionMemory, 1, 4, 1)), ErrFeature, "wasm32"},
		"page size":            {wasm(sec(sectionMemory, 1, 8, 1, 0)), ErrFeature, "page size"},
		"unknown limits":       {wasm(sec(sectionMemory, 1, 0x10, 1)), ErrMalformed, "limits 0x10"},
		"maximum below":        {wasm(sec(sectionMemory, 1, 1, 2, 1)), ErrMalformed, "below its minimum"},
		"65537 pages":          {wasm(sec(sectionMemory, 1, 0, leb(65537))), ErrMalformed, "65536 pages"},
		"maximum 65537 pages":  {wasm(sec(sectionMemory, 1, 1, 1, leb(65537))), ErrMalformed, "65536 pages"},
		"shared global":        {wasm(sec(sectionGlobal, 1, 0x7f, 2, 0x41, 0, 11)), ErrFeature, "threads"},
		"mutability 4":         {wasm(sec(sectionGlobal, 1, 0x7f, 4, 0x41, 0, 11)), ErrMalformed, "mutability"},
		"global of a call":     {wasm(sec(sectionGlobal, 1, 0x7f, 0, 0x10, 0, 11)), ErrMalformed, "constant expression"},
		"global of a global":   {wasm(sec(sectionGlobal, 1, 0x7f, 0, 0x23, 0, 11)), ErrFeature, "extended constant"},
		"extended constant":    {wasm(sec(sectionGlobal, 1, 0x7f, 0, 0x41, 1, 0x41, 1, 0x6a, 11)), ErrMalformed, "constant"},
		"extended sum":         {wasm(sec(sectionGlobal, 1, 0x7f, 0, 0x41, 1, 0x6a, 11)), ErrFeature, "-mno-extended-const"},
		"global of a struct":   {wasm(sec(sectionGlobal, 1, 0x7f, 0, 0xfb, 1, 0, 11)), ErrFeature, "garbage"},
		"global, other type":   {wasm(sec(sectionGlobal, 1, 0x7f, 0, 0x42, 0, 11)), ErrMalformed, "i64 instead of i32"},
		"global, other vector": {wasm(sec(sectionGlobal, 1, 0x7b, 0, 0xfd, 13, 11)), ErrMalformed, "not constant"},
		"global, no function":  {wasm(sec(sectionGlobal, 1, 0x70, 0, 0xd2, 0, 11)), ErrMalformed, "function 0"},
	}
}

func badReferences() map[string]refusal {
	exported := func(parts ...any) []byte { return wasm(types, functions, sec(sectionExport, cat(parts...)), oneBody) }
	element := func(parts ...any) []byte {
		return wasm(types, functions, table4, sec(sectionElement, 1, cat(parts...)), oneBody)
	}
	data := func(parts ...any) []byte { return wasm(memory1, sec(sectionData, 1, cat(parts...))) }
	return map[string]refusal{
		"export twice":          {exported(2, str("a"), 0, 0, str("a"), 0, 0), ErrMalformed, "\"a\" twice"},
		"export, reserved":      {exported(1, str("edged:memory"), 0, 0), ErrReserved, "edged:"},
		"export, reserved too":  {exported(1, str("edged:"), 0, 0), ErrReserved, "rename"},
		"export of function 1":  {exported(1, str("a"), 0, 1), ErrMalformed, "function 1 and there are 1"},
		"export of a memory":    {exported(1, str("a"), 2, 0), ErrMalformed, "memory 0"},
		"export of a table":     {exported(1, str("a"), 1, 0), ErrMalformed, "table 0"},
		"export of a global":    {exported(1, str("a"), 3, 0), ErrMalformed, "global 0"},
		"export of a tag":       {exported(1, str("a"), 4, 0), ErrFeature, "exception"},
		"export of kind 5":      {exported(1, str("a"), 5, 0), ErrMalformed, "0x05"},
		"export with an escape": {exported(2, str("\x1b[2J"), 0, 0, str("\x1b[2J"), 0, 0), ErrMalformed, `"\x1b[2J"`},

		"start of function 1": {wasm(types, functions, sec(sectionStart, 1), oneBody), ErrMalformed, "function 1"},
		"start with a parameter": {
			wasm(types, sec(sectionFunction, 1, 1), sec(sectionStart, 0), code(cat(0, 0x41, 0, 0x0b))),
			ErrMalformed, "(i32) -> i32 instead of () -> ()",
		},

		"element kind 8":        {element(8, 0, 0), ErrMalformed, "element segment 8"},
		"element of a table":    {element(2, 1, 0x41, 0, 11, 0, 1, 0), ErrMalformed, "table 1"},
		"element, other kind":   {element(1, 1, 0), ErrMalformed, "kind of elements"},
		"element, other type":   {element(6, 0, 0x41, 0, 11, 0x6f, 1, 0xd0, 0x6f, 11), ErrMalformed, "externref"},
		"element, function 1":   {element(0, 0x41, 0, 11, 1, 1), ErrMalformed, "function 1"},
		"element, null type":    {element(5, 0x70, 1, 0xd0, 0x6f, 11), ErrMalformed, "externref instead of funcref"},
		"element, out of range": {element(0, 0x41, 4, 11, 1, 0), ErrMalformed, "up to 5 into a table of 4"},
		"element, negative":     {element(0, 0x41, 0x7f, 11, 1, 0), ErrMalformed, "4294967296"},
		"element, offset i64":   {element(0, 0x42, 0, 11, 1, 0), ErrMalformed, "i64 instead of i32"},
		"element, global":       {element(4, 0x23, 0, 11, 0), ErrFeature, "-fPIC"},
		"element, huge":         {element(1, 0, huge), ErrMalformed, "4294967295"},

		"data kind 3":       {data(3, 0), ErrMalformed, "data segment 3"},
		"data of memory 1":  {data(2, 1, 0x41, 0, 11, 0), ErrFeature, "memory 1"},
		"data past the end": {data(0, 0x41, "\xff\xff\x03", 11, str("ab")), ErrMalformed, "65537"},
		"data, negative":    {data(0, 0x41, 0x7f, 11, str("a")), ErrMalformed, "4294967296"},
		"data, no memory":   {wasm(sec(sectionData, 1, 0, 0x41, 0, 11, 0)), ErrMalformed, "has none"},
		"data, truncated":   {data(0, 0x41, 0, 11, huge), ErrMalformed, "4294967295 bytes"},
		"data count 2":      {wasm(memory1, sec(sectionDataCount, 2), sec(sectionData, 1, 1, 0)), ErrMalformed, "says 2"},
		"data count, none":  {wasm(sec(sectionDataCount, huge)), ErrMalformed, "there are 0"},
	}
}

func badBodies() map[string]refusal {
	raw := func(parts ...any) []byte { return wasm(types, functions, code(cat(parts...))) }
	bare := func(parts ...any) []byte { return raw(0, cat(parts...), 0x0b) }
	return map[string]refusal{
		"try":                {withBody(0x06, 0x40), ErrFeature, "uses exception handling (opcode 0x06)"},
		"throw":              {withBody(0x08, 0), ErrFeature, "-fno-exceptions"},
		"throw_ref":          {withBody(0x0a), ErrFeature, "exception"},
		"try_table":          {withBody(0x1f, 0x40, 0), ErrFeature, "exception"},
		"return_call":        {withBody(0x12, 0), ErrFeature, "-mno-tail-call"},
		"call_ref":           {withBody(0x14, 0), ErrFeature, "typed function references"},
		"ref.as_non_null":    {withBody(0xd4), ErrFeature, "typed function references"},
		"ref.eq":             {withBody(0xd3), ErrFeature, "garbage collection"},
		"struct.new":         {withBody(0xfb, 0, 0), ErrFeature, "garbage collection"},
		"stack switching":    {withBody(0xe0, 0), ErrFeature, "stack switching"},
		"atomics":            {withBody(0xfe, 0, 2, 0), ErrFeature, "-matomics"},
		"relaxed simd":       {withBody(0xfd, 0x80, 2), ErrFeature, "-mno-relaxed-simd"},
		"half precision":     {withBody(0xfd, 0xa0, 2), ErrFeature, "half-precision"},
		"wide arithmetic":    {withBody(0xfc, 19), ErrFeature, "-mno-wide-arithmetic"},
		"memory 1":           {withBody(0x3f, 1), ErrFeature, "memory 1"},
		"access, memory 1":   {withBody(0x41, 0, 0x28, 0x42, 1, 0), ErrFeature, "more than one memory"},
		"unknown opcode":     {withBody(0x27), ErrMalformed, "unknown opcode 0x27"},
		"unknown 0xfc":       {withBody(0xfc, 18), ErrMalformed, "opcode 0xfc 18"},
		"unknown 0xfd":       {withBody(0xfd, 0x9a, 1), ErrMalformed, "opcode 0xfd 154"},
		"huge 0xfd":          {withBody(0xfd, huge), ErrMalformed, "4294967295"},
		"no end":             {raw(0), ErrMalformed, "1 blocks open"},
		"open block":         {bare(0x02, 0x40), ErrMalformed, "1 blocks open"},
		"code behind":        {bare(0x0b), ErrMalformed, "after its end"},
		"else without if":    {bare(0x02, 0x40, 0x05, 0x0b), ErrMalformed, "else without an if"},
		"second else":        {bare(0x41, 0, 0x04, 0x40, 0x05, 0x05, 0x0b), ErrMalformed, "else without an if"},
		"else of function":   {bare(0x05), ErrMalformed, "else without an if"},
		"label":              {bare(0x0c, 1), ErrMalformed, "label 1"},
		"br_table label":     {bare(0x41, 0, 0x0e, 1, 0, 1), ErrMalformed, "label 1"},
		"br_table, huge":     {bare(0x41, 0, 0x0e, huge), ErrMalformed, "branch targets"},
		"call":               {bare(0x10, 1), ErrMalformed, "function 1 and there are 1"},
		"call_indirect":      {bare(0x11, 0, 0), ErrMalformed, "table 0"},
		"call_indirect, 2":   {withBody(0x11, 2, 0), ErrMalformed, "type 2"},
		"local":              {bare(0x20, 0), ErrMalformed, "local 0 and there are 0"},
		"global":             {bare(0x23, 0), ErrMalformed, "global 0"},
		"table.get":          {bare(0x25, 0), ErrMalformed, "table 0"},
		"ref.func":           {bare(0xd2, 1), ErrMalformed, "function 1"},
		"ref.null of i32":    {bare(0xd0, 0x7f), ErrMalformed, "reference type"},
		"ref.null of any":    {bare(0xd0, 0x6e), ErrFeature, "garbage collection"},
		"elem.drop":          {bare(0xfc, 13, 0), ErrMalformed, "element segment 0"},
		"data.drop":          {withBody(0xfc, 9, 0), ErrMalformed, "data count section"},
		"load":               {bare(0x28, 0, 0), ErrMalformed, "has none"},
		"memory.size":        {bare(0x3f, 0), ErrMalformed, "has none"},
		"alignment":          {withBody(0x41, 0, 0x28, 3, 0), ErrMalformed, "alignment of 2^3"},
		"huge alignment":     {withBody(0x41, 0, 0x28, huge, 0), ErrMalformed, "alignment"},
		"offset of 33 bits":  {withBody(0x41, 0, 0x28, 0, "\xff\xff\xff\xff\x1f"), ErrMalformed, "32 bits"},
		"block type 2":       {bare(0x02, 2, 0x0b), ErrMalformed, "type 2"},
		"block type -65":     {bare(0x02, "\xbf\x7f", 0x0b), ErrMalformed, "type -65"},
		"block type ref":     {bare(0x02, 0x63, 0, 0x0b), ErrFeature, "typed function"},
		"block type 0x50":    {bare(0x02, 0x50, 0x0b), ErrMalformed, "value type 0x50"},
		"i32 of 6 bytes":     {bare(0x41, "\x80\x80\x80\x80\x80\x00"), ErrMalformed, "32 bits"},
		"i32 of 33 bits":     {bare(0x41, "\xff\xff\xff\xff\x0f"), ErrMalformed, "32 bits"},
		"i64 of 65 bits":     {bare(0x42, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), ErrMalformed, "64 bits"},
		"lane":               {withBody(0xfd, 21, 16), ErrMalformed, "lane 16 of 16"},
		"lane of i64x2":      {withBody(0xfd, 29, 2), ErrMalformed, "lane 2 of 2"},
		"lane of a load":     {withBody(0xfd, 85, 1, 0, 8), ErrMalformed, "lane 8 of 8"},
		"shuffle":            {withBody(0xfd, 13, 32, make([]byte, 15)), ErrMalformed, "lane 32 of 32"},
		"select of none":     {bare(0x1c, 0), ErrMalformed, "0 types"},
		"select of two":      {bare(0x1c, 2, 0x7f, 0x7f), ErrMalformed, "2 types"},
		"f64, truncated":     {raw(0, 0x44, 0, 0), ErrMalformed, "a constant"},
		"body too long":      {wasm(types, functions, sec(sectionCode, 1, 9, 0, 0x0b)), ErrMalformed, "9 bytes long"},
		"locals, huge count": {raw(huge, 0x0b), ErrMalformed, "groups of locals"},
		"locals of a ref":    {raw(1, 1, 0x64, 0, 0x0b), ErrFeature, "typed function"},
	}
}

func TestCheckRefuses(t *testing.T) {
	for group, rows := range map[string]map[string]refusal{
		"file": notModules(), "section": badSections(), "reference": badReferences(), "body": badBodies(),
	} {
		for name, row := range rows {
			t.Run(group+"/"+name, func(t *testing.T) {
				_, err := Check(row.src, Limits{})
				checkRefusal(t, err, row)
			})
		}
	}
}

func checkRefusal(t *testing.T, err error, want refusal) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || !errors.Is(err, want.kind) {
		t.Fatalf("got %v, want %v", err, want.kind)
	}
	if !strings.Contains(err.Error(), want.text) {
		t.Errorf("%q does not say %q", err, want.text)
	}
	if refused.Offset < 0 || refused.Offset > int64(len(want.src)) {
		t.Errorf("offset %d is outside of the %d bytes", refused.Offset, len(want.src))
	}
	if errors.Is(want.kind, ErrFeature) && refused.Remedy == "" {
		t.Error("a feature is refused without a remedy")
	}
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("%q has control characters", err)
	}
}

func TestLimits(t *testing.T) {
	body := func(parts ...any) []byte { return wasm(types, functions, code(cat(parts...))) }
	blocks := func(n int) []byte {
		return body(0, bytes.Repeat([]byte{0x02, 0x40}, n), bytes.Repeat([]byte{0x0b}, n), 0x0b)
	}
	three := func(entry ...any) []byte { return bytes.Repeat(cat(entry...), 3) }
	segment := cat(0, 0x41, 0, 11, str("abc"))
	// Each module is accepted at its limit and refused at one less.
	for name, tc := range map[string]struct {
		src   []byte
		limit Limits
		less  Limits
		text  string
	}{
		"module": {wasm(), Limits{ModuleBytes: 8}, Limits{ModuleBytes: 7}, "8 bytes, more than the 7"},
		"memory": {wasm(sec(sectionMemory, 1, 0, 3)), Limits{MemoryPages: 3}, Limits{MemoryPages: 2}, "limits.memory"},
		"table": {
			wasm(sec(sectionTable, 1, 0x70, 0, 3)),
			Limits{TableElements: 3},
			Limits{TableElements: 2},
			"3 elements in one table",
		},
		"types":     {wasm(sec(sectionType, 3, three(formFunction, 0, 0))), Limits{Types: 3}, Limits{Types: 2}, "3 types"},
		"imports":   {wasm(types, sec(sectionImport, 3, three(0, 0, 0, 0))), Limits{Imports: 3}, Limits{Imports: 2}, "3 imports"},
		"functions": {wasm(types, sec(sectionFunction, 2, 0, 0), code([]byte{0, 11}, []byte{0, 11})), Limits{Functions: 2}, Limits{Functions: 1}, "2 functions"},
		"tables":    {wasm(sec(sectionTable, 3, three(0x70, 0, 1))), Limits{Tables: 3}, Limits{Tables: 2}, "3 tables"},
		"globals":   {wasm(sec(sectionGlobal, 3, three(0x7f, 1, 0x41, 0, 11))), Limits{Globals: 3}, Limits{Globals: 2}, "3 globals"},
		"exports": {
			wasm(memory1, sec(sectionExport, 2, str("a"), 2, 0, str("b"), 2, 0)),
			Limits{Exports: 2},
			Limits{Exports: 1},
			"2 exports",
		},
		"element segments": {
			wasm(table4, sec(sectionElement, 3, three(0, 0x41, 0, 11, 0))),
			Limits{ElementSegments: 3},
			Limits{ElementSegments: 2},
			"3 element segments",
		},
		"elements": {
			wasm(types, functions, table4, sec(sectionElement, 3, three(0, 0x41, 0, 11, 2, 0, 0)), oneBody),
			Limits{Elements: 6},
			Limits{Elements: 5},
			"6 elements",
		},
		"data segments": {
			wasm(memory1, sec(sectionData, 3, three(segment))),
			Limits{DataSegments: 3},
			Limits{DataSegments: 2},
			"3 data segments",
		},
		"data": {wasm(memory1, sec(sectionData, 3, three(segment))), Limits{DataBytes: 9}, Limits{DataBytes: 8}, "9 bytes"},
		"parameters": {
			wasm(sec(sectionType, 1, formFunction, 3, three(0x7f), 0)),
			Limits{ParamsPerFunction: 3},
			Limits{ParamsPerFunction: 2},
			"3 parameters",
		},
		"results": {
			wasm(sec(sectionType, 1, formFunction, 0, 3, three(0x7f))),
			Limits{ResultsPerFunction: 3},
			Limits{ResultsPerFunction: 2},
			"3 results",
		},
		"locals": {body(2, 2, 0x7f, 1, 0x7e, 11), Limits{LocalsPerFunction: 3}, Limits{LocalsPerFunction: 2}, "3 locals"},
		"locals with parameters": {
			wasm(types, sec(sectionFunction, 1, 1), code(cat(1, 2, 0x7f, 0x20, 0, 11))),
			Limits{LocalsPerFunction: 3},
			Limits{LocalsPerFunction: 2},
			"3 locals and parameters",
		},
		"body":   {body(0, 1, 1, 11), Limits{FunctionBodyBytes: 4}, Limits{FunctionBodyBytes: 3}, "4 bytes of code"},
		"blocks": {blocks(3), Limits{BlockDepth: 3}, Limits{BlockDepth: 2}, "deeper than the 2"},
		"name": {
			wasm(memory1, sec(sectionExport, 1, str("abc"), 2, 0)),
			Limits{NameBytes: 3},
			Limits{NameBytes: 2},
			"3 bytes in one name",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Check(tc.src, tc.limit)
			if err != nil {
				t.Fatalf("at its limit: %v", err)
			}
			if _, err := Recheck(m.Code, tc.limit); err != nil { // with the reserved exports it is over some of them
				t.Errorf("Recheck at its limit: %v", err)
			}
			_, err = Check(tc.src, tc.less)
			checkRefusal(t, err, refusal{tc.src, ErrLimit, tc.text})
		})
	}
}

func TestDefaultLimitsAreComplete(t *testing.T) {
	if got := (Limits{}).withDefaults(); got != DefaultLimits() {
		t.Errorf("zero limits became %+v", got)
	}
	if got := (Limits{MemoryPages: 1 << 20}).withDefaults().MemoryPages; got != maxPages {
		t.Errorf("memory limit is %d pages", got)
	}
	_, err := Check(wasm(types, functions, code(cat(1, leb(1<<32-1), 0x7f, 11))), Limits{})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("2^32-1 locals: %v", err)
	}
}

func TestErrorText(t *testing.T) {
	imported := sec(sectionImport, vec(cat(str("env"), str("f"), 0, 0)))
	_, err := Check(wasm(types, imported, functions, code(cat(0, 0x01, 0x06, 0x40, 0x0b))), Limits{})
	want := "function 1 (byte 0x28): uses exception handling (opcode 0x06), which edged does not run; " +
		featureExceptions.remedy
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
	var refused *Error
	if !errors.As(err, &refused) || refused.Function != 1 || refused.Section != "code" || refused.Offset != 0x28 {
		t.Errorf("got %+v", refused)
	}
}

// TestEveryPrefix cuts a module short at every byte: only the end of a section can be taken for the end of the module.
func TestEveryPrefix(t *testing.T) {
	src := everything(short)
	ends := map[int]bool{preambleBytes: true}
	for at := preambleBytes; at < len(src); ends[at] = true {
		size, width := binary.Uvarint(src[at+1:])
		at += 1 + width + int(size)
	}
	for n := range src {
		if _, err := Check(src[:n], Limits{}); err == nil && !ends[n] {
			t.Errorf("accepted its first %d bytes", n)
		}
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// allocationLimit is what Check may allocate for an upload of n bytes. The dearest entries are exports (4 bytes in the
// file, about 250 in three forms and the set of names) and mutable globals, which become exports (5 bytes).
func allocationLimit(n int) uint64 { return uint64(n)*100 + 256<<10 }

func TestAllocatesInProportion(t *testing.T) {
	counted := func(id sectionID) []byte { return wasm(sec(id, huge, "12345678")) }
	export := func(i int) []byte { return cat(2, i>>8, i&0xff, 2, 0) }
	var exports [][]byte
	for i := range 1 << 14 {
		if i>>8 < 0x80 && i&0xff < 0x80 {
			exports = append(exports, export(i))
		}
	}
	const many = 200_000
	cases := map[string][]byte{
		"types":         wasm(sec(sectionType, leb(60_000), bytes.Repeat(noType, 60_000))),
		"exports":       wasm(memory1, sec(sectionExport, vec(exports...))),
		"globals":       wasm(sec(sectionGlobal, leb(8000), bytes.Repeat([]byte{0x7f, 1, 0x41, 0, 11}, 8000))),
		"data":          wasm(memory1, sec(sectionData, leb(many), bytes.Repeat([]byte{0, 0x41, 0, 11, 1, 'a'}, many))),
		"apart":         wasm(memory1, sec(sectionData, leb(many), bytes.Repeat([]byte{0, 0x41, 0, 11, 1, 'a', 0, 0x41, 0x20, 11, 1, 'a'}, many/2))),
		"elements":      wasm(table4, sec(sectionElement, leb(16_000), bytes.Repeat([]byte{0, 0x41, 0, 11, 0}, 16_000))),
		"nulls":         wasm(sec(sectionElement, 1, 5, 0x70, leb(many), bytes.Repeat([]byte{0xd0, 0x70, 11}, many))),
		"blocks":        withBody(bytes.Repeat([]byte{0x02, 0x40}, 8000), bytes.Repeat([]byte{0x0b}, 8000)),
		"locals":        withBody(bytes.Repeat([]byte{1}, 100)),
		"custom":        wasm(sec(sectionCustom, str("x"), make([]byte, many))),
		"many customs":  wasm(bytes.Repeat(sec(sectionCustom, 0), many)),
		"many names":    wasm(bytes.Repeat(sec(sectionCustom, str("name"), 0, 1, 0), many)),
		"many bodies":   wasm(types, sec(sectionFunction, leb(many), make([]byte, many)), sec(sectionCode, leb(many), bytes.Repeat([]byte{2, 0, 11}, many))),
		"many locals":   wasm(types, functions, code(cat(leb(many), bytes.Repeat([]byte{0, 0x7f}, many), 11))),
		"small imports": wasm(types, sec(sectionImport, leb(1000), bytes.Repeat([]byte{0, 0, 0, 0}, 1000))),
	}
	for id := range sectionTag {
		cases[fmt.Sprintf("count of section %d", id)] = counted(id)
	}
	for name, src := range cases {
		t.Run(name, func(t *testing.T) {
			var err error
			if got, limit := allocated(func() { _, err = Check(src, Limits{}) }), allocationLimit(len(src)); got > limit {
				t.Errorf("allocates %d bytes for %d, more than %d", got, len(src), limit)
			}
			t.Logf("%d bytes: %v", len(src), err)
		})
	}
}

// corpus returns every small module of these tests, for fuzzing.
func corpus() [][]byte {
	var all [][]byte
	for _, src := range accepted() {
		all = append(all, src)
	}
	for _, rows := range []map[string]refusal{notModules(), badSections(), badReferences(), badBodies()} {
		for _, row := range rows {
			all = append(all, row.src)
		}
	}
	slices.SortFunc(all, bytes.Compare)
	return all
}
