package gate

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"edged.dev/edge/wasmedge"
)

type sectionID byte

// The section identifiers of the binary format (core specification 5.5.2, and the exception handling proposal's tag).
const (
	sectionCustom sectionID = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
	sectionTag
)

const (
	formFunction   = 0x60
	limitsHasMax   = 1
	limitsShared   = 2
	limits64       = 4
	limitsPageSize = 8
)

// sectionTrait is the name of a section and its place in the order that the specification prescribes.
type sectionTrait struct {
	name string
	rank int
}

func (id sectionID) trait() (sectionTrait, bool) {
	traits := [...]sectionTrait{
		sectionCustom:    {"custom", 0},
		sectionType:      {"type", 1},
		sectionImport:    {"import", 2},
		sectionFunction:  {"function", 3},
		sectionTable:     {"table", 4},
		sectionMemory:    {"memory", 5},
		sectionTag:       {"tag", 6},
		sectionGlobal:    {"global", 7},
		sectionExport:    {"export", 8},
		sectionStart:     {"start", 9},
		sectionElement:   {"element", 10},
		sectionDataCount: {"data count", 11},
		sectionCode:      {"code", 12},
		sectionData:      {"data", 13},
	}
	if int(id) >= len(traits) {
		return sectionTrait{}, false
	}
	return traits[id], true
}

// decoder turns uploaded bytes into a module and holds what only decoding needs.
type decoder struct {
	reader
	limits   Limits
	reserved bool // this is code that Check wrote: reserved names may be exported, and the limits leave room for them
	m        *module
	name     string // the module's own name
	counted  int    // what the data count section says, or -1
	control  []byte // the open blocks of the function being decoded; kept to be reused
}

// decode parses src. The module's data aliases src.
func decode(src []byte, limits Limits, reserved bool) (*decoder, *Error) {
	if err := checkPreamble(src); err != nil {
		return nil, err
	}
	if len(src) > limits.ModuleBytes && !reserved {
		return nil, &Error{
			Kind: ErrLimit, Function: -1,
			Reason: fmt.Sprintf("the module has %d bytes, more than the %d that edged allows", len(src), limits.ModuleBytes),
			Remedy: "strip debug information (-s, wasm-strip) or split the app",
		}
	}
	d := &decoder{
		reader: reader{src: src, pos: preambleBytes, end: len(src), function: -1},
		limits: limits, reserved: reserved, m: &module{}, counted: -1,
	}
	for rank := 0; d.pos < d.end; {
		rank = d.nextSection(rank)
	}
	d.section = ""
	if !d.failed() {
		d.checkWhole()
	}
	return d, d.err
}

// nextSection decodes one section, of which the previous had the given rank, and returns its own.
func (d *decoder) nextSection(previous int) int {
	start := d.pos
	d.section = ""
	id := sectionID(d.byte())
	trait, known := id.trait()
	if !known {
		d.malformed(start, "the file has a section of the unknown kind %d at byte 0x%x", id, start)
		return previous
	}
	d.section = trait.name
	outer := d.reader
	body := outer.sub(outer.u32(), "the section")
	d.reader = body
	if !d.failed() {
		switch {
		case id == sectionCustom:
			d.customSection()
			trait.rank = previous
		case trait.rank == previous:
			d.malformed(start, "occurs twice")
		case trait.rank < previous:
			d.malformed(start, "stands behind a section that must follow it")
		default:
			d.decodeSection(id)
		}
		d.finish("the section")
	}
	outer.adopt(&d.reader)
	d.reader = outer
	return trait.rank
}

func (d *decoder) decodeSection(id sectionID) {
	switch id {
	case sectionType:
		d.typeSection()
	case sectionImport:
		d.importSection()
	case sectionFunction:
		d.functionSection()
	case sectionTable:
		d.tableSection()
	case sectionMemory:
		d.memorySection()
	case sectionGlobal:
		d.globalSection()
	case sectionExport:
		d.exportSection()
	case sectionStart:
		d.startSection()
	case sectionElement:
		d.elementSection()
	case sectionDataCount:
		d.counted = int(d.u32())
	case sectionCode:
		d.codeSection()
	case sectionData:
		d.dataSection()
	case sectionTag:
		d.unsupported(d.pos, featureExceptions, "tag section")
	case sectionCustom:
		d.customSection()
	}
}

// checkWhole checks what no single section shows.
func (d *decoder) checkWhole() {
	m := d.m
	switch {
	case len(m.functions) != len(m.code.ends):
		d.malformed(d.end, "the function section declares %d functions and the code section has %d bodies",
			len(m.functions), len(m.code.ends))
	case d.counted >= 0 && d.counted != len(m.data):
		d.malformed(d.end, "the data count section says %d and there are %d data segments", d.counted, len(m.data))
	}
}

// customSection passes over a custom section. All of them are dropped: debug information and names are no use to the
// engine, and one named "wasmedge" would make it run native code. Of the name section the module's name is kept for logs.
func (d *decoder) customSection() {
	name := d.name
	title := d.reader.name(d.limits.ModuleBytes)
	if title == "name" && name == "" && !d.failed() {
		d.name = moduleName(d.src[d.pos:d.end])
	}
	d.pos = d.end
}

// moduleName returns the module's name from the content of a name section, or nothing: a damaged name section is no
// reason to refuse a module.
func moduleName(content []byte) string {
	const moduleSubsection = 0
	r := reader{src: content, end: len(content)}
	if r.byte() != moduleSubsection {
		return ""
	}
	part := r.sub(r.u32(), "the module name")
	text := part.bytes(part.u32(), "the module name")
	if r.failed() || part.failed() || !utf8.Valid(text) {
		return ""
	}
	return strings.ToValidUTF8(string(text[:min(len(text), shownBytes)]), "")
}

func (d *decoder) typeSection() {
	n := d.count("types", 2, d.limits.Types)
	d.m.types = slices.Grow(d.m.types, n)
	for range n {
		start := d.pos
		form := d.byte()
		if form != formFunction && !d.failed() {
			if f, refused := refusedForm(form); refused {
				d.unsupported(start, f, fmt.Sprintf("type form 0x%02x", form))
			} else {
				d.malformed(start, "unknown type form 0x%02x", form)
			}
		}
		t := wasmedge.FuncType{
			Params:  d.valTypes("parameters in one function type", d.limits.ParamsPerFunction),
			Results: d.valTypes("results in one function type", d.limits.ResultsPerFunction),
		}
		if d.failed() {
			return
		}
		d.m.types = append(d.m.types, t)
	}
}

func (d *decoder) valTypes(what string, limit int) []wasmedge.ValType {
	n := d.count(what, 1, limit)
	if n == 0 {
		return nil
	}
	types := make([]wasmedge.ValType, n)
	for i := range types {
		types[i] = d.valType()
	}
	return types
}

func (d *decoder) importSection() {
	n := d.count("imports", 4, d.limits.Imports)
	d.m.imports = slices.Grow(d.m.imports, n)
	for range n {
		from := importedFunction{module: d.reader.name(d.limits.NameBytes), name: d.reader.name(d.limits.NameBytes)}
		start := d.pos
		switch kind := Kind(d.byte()); kind {
		case KindFunction:
			from.typ = d.index(len(d.m.types), "type")
		case KindTable, KindMemory, KindGlobal:
			d.unsupported(start, featureImports, fmt.Sprintf("%s %s.%s", kind, shown(from.module), shown(from.name)))
		case kindTag:
			d.unsupported(start, featureExceptions, "import of a tag")
		default:
			d.malformed(start, "unknown kind of import 0x%02x", byte(kind))
		}
		if d.failed() {
			return
		}
		d.m.imports = append(d.m.imports, from)
	}
}

func (d *decoder) functionSection() {
	n := d.count("functions", 1, d.limits.Functions)
	if n == 0 {
		return
	}
	d.m.functions = make([]uint32, n)
	for i := range d.m.functions {
		d.m.functions[i] = d.index(len(d.m.types), "type")
	}
}

// bounds reads the limits of a memory or a table.
func (d *decoder) bounds() bounds {
	start := d.pos
	flags := d.byte()
	switch {
	case flags&limitsPageSize != 0 && flags < 2*limitsPageSize:
		d.unsupported(start, featurePageSizes, "")
	case flags&limits64 != 0 && flags < 2*limits64:
		d.unsupported(start, featureMemory64, "")
	case flags&limitsShared != 0 && flags < 2*limitsShared:
		d.unsupported(start, featureThreads, "a shared memory")
	case flags > limitsHasMax:
		d.malformed(start, "unknown limits 0x%02x", flags)
	}
	b := bounds{min: d.u32()}
	if flags&limitsHasMax != 0 {
		b.max, b.hasMax = d.u32(), true
	}
	if !d.failed() && b.hasMax && b.max < b.min {
		d.malformed(start, "has a maximum of %d below its minimum of %d", b.max, b.min)
	}
	return b
}

func (d *decoder) tableSection() {
	n := d.count("tables", 3, d.limits.Tables)
	d.m.tables = slices.Grow(d.m.tables, n)
	for range n {
		start := d.pos
		if d.pos < d.end && d.src[d.pos] == 0x40 { // a table with an initial value
			d.unsupported(start, featureFunctionRefs, "a table with an initial value")
			return
		}
		t := table{typ: d.refType()}
		t.bounds = d.bounds()
		if d.failed() {
			return
		}
		if t.min > d.limits.TableElements {
			d.over(start, "elements in one table", uint64(t.min), int(d.limits.TableElements))
			return
		}
		d.m.tables = append(d.m.tables, t)
	}
}

func (d *decoder) memorySection() {
	start := d.pos
	n := d.u32()
	if n > 1 {
		d.unsupported(start, featureMultiMemory, fmt.Sprintf("it has %d", n))
	}
	if n == 0 || d.failed() {
		return
	}
	b := d.bounds()
	switch {
	case d.failed():
	case b.min > maxPages || b.max > maxPages:
		d.malformed(start, "has a memory of more than 65536 pages (4 GiB)")
	case b.min > d.limits.MemoryPages:
		d.fail(ErrLimit, start, fmt.Sprintf("needs %d pages (%d KiB) of memory from the start, more than the app's limit of %d",
			b.min, uint64(b.min)*pageBytes>>10, d.limits.MemoryPages), "raise limits.memory in the manifest, or link with less")
	default:
		d.m.memory = &b
	}
}

func (d *decoder) globalSection() {
	n := d.count("globals", 5, d.limits.Globals)
	d.m.globals = slices.Grow(d.m.globals, n)
	for range n {
		g := global{typ: d.valType()}
		start := d.pos
		switch mutable := d.byte(); {
		case mutable <= 1:
			g.mutable = mutable == 1
		case mutable <= 3:
			d.unsupported(start, featureThreads, "a shared global")
		default:
			d.malformed(start, "unknown mutability 0x%02x", mutable)
		}
		g.init = d.constExpr(g.typ)
		if d.failed() {
			return
		}
		d.m.globals = append(d.m.globals, g)
	}
}

func (d *decoder) exportSection() {
	limits := d.limits
	if d.reserved { // addReservedExports adds the memory, the start function and the globals
		limits.Exports += 2 + len(d.m.globals)
		limits.NameBytes = max(limits.NameBytes, len(globalExport(limits.Globals)))
	}
	n := d.count("exports", 3, limits.Exports)
	d.m.exports = slices.Grow(d.m.exports, n)
	seen := make(map[string]struct{}, min(n, 64)) // grows with the names that are really there
	for range n {
		start := d.pos
		e := export{name: d.reader.name(limits.NameBytes)}
		if d.failed() {
			return
		}
		if _, twice := seen[e.name]; twice {
			d.malformed(start, "exports the name %s twice", shown(e.name))
		}
		if strings.HasPrefix(e.name, ReservedPrefix) && !d.reserved {
			d.fail(ErrReserved, start, fmt.Sprintf("exports the name %s, and edged keeps names that begin with %q for itself",
				shown(e.name), ReservedPrefix), "rename the export; a module that edged wrote is not to be deployed again")
		}
		e.kind, e.index = d.exported()
		if d.failed() {
			return
		}
		seen[e.name] = struct{}{}
		d.m.exports = append(d.m.exports, e)
	}
}

// exported reads what an export stands for.
func (d *decoder) exported() (Kind, uint32) {
	start := d.pos
	kind := Kind(d.byte())
	n := 0
	switch kind {
	case KindFunction:
		n = d.m.functionCount()
	case KindTable:
		n = len(d.m.tables)
	case KindMemory:
		if d.m.memory != nil {
			n = 1
		}
	case KindGlobal:
		n = len(d.m.globals)
	case kindTag:
		d.unsupported(start, featureExceptions, "export of a tag")
	default:
		d.malformed(start, "unknown kind of export 0x%02x", byte(kind))
	}
	return kind, d.index(n, kind.String())
}

func (d *decoder) startSection() {
	start := d.pos
	index := d.index(d.m.functionCount(), "function")
	if d.failed() {
		return
	}
	// The engine would check this, but it never sees a start section.
	if t := d.m.functionType(index); len(t.Params)+len(t.Results) > 0 {
		d.malformed(start, "start function %d has the type %s instead of () -> ()", index, typeText(t))
		return
	}
	d.m.start = &index
}
