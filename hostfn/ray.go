package hostfn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"edged.dev/edge/wasmedge"
)

// rayFuncs are the functions that guests of Warrior import. A function runs as a task in a fresh instance of the same module, in
// which neither main nor constructors have run. Results are 0, or below 0 the numbers of module edged.
func rayFuncs() []native {
	return []native{
		{"init", " i", rayInit},
		{"call", "iii i", rayCall},
		{"get", "iii i", rayGet},
		{"put", "iii i", rayPut},
		{"track_malloc", "ii i", rayTrack},
		{"track_free", "i i", rayUntrack},
		{"memregion_validate", "ii i", rayValidate},
		{"log_write", "ii i", rayLog},
		{"sleep", "i", raySleep},
		{"shutdown", "", rayShutdown},
	}
}

// A warbuffer is seven words: magic, type, flags, where its bytes are, how many there are, how many fit, and the exclusive or of
// the others.
const (
	warWords   = 7
	warBytes   = 4 * warWords
	warMagic   = 0xc0de550a
	warObject  = 1 // its bytes are an object's number
	warData    = 2
	warIDBytes = 8
)

// The places of a warbuffer's words.
const (
	warAtMagic = iota
	warAtType
	warAtFlags
	warAtBuf
	warAtLen
	warAtCap
	warAtSum
)

// warArea bounds the variable arguments of a call: 16 values of 8 bytes, and as many gaps.
const warArea = 256

// maxTracked bounds the pieces of memory that an invocation tracks.
const maxTracked = 65536

// warAllocate is what a guest exports for the host to place what its tasks take.
const warAllocate = "__war_malloc"

// warbuffer is a warbuffer of a guest, as its words are.
type warbuffer [warWords]uint32

// readWarbuffer reads the warbuffer at ptr; false when there is none, or one whose bytes are not all in the memory.
func readWarbuffer(memory []byte, ptr uint64) (w warbuffer, data []byte, ok bool) {
	if ptr+warBytes > uint64(len(memory)) {
		return w, nil, false
	}
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(memory[ptr+uint64(4*i):])
	}
	from, n, most := uint64(w[warAtBuf]), uint64(w[warAtLen]), uint64(w[warAtCap])
	if w[warAtMagic] != warMagic || w.sum() != w[warAtSum] || n > most || from+most > uint64(len(memory)) {
		return w, nil, false
	}
	return w, memory[from : from+n : from+most], true
}

// sum returns what the last word has to be.
func (w *warbuffer) sum() uint32 {
	sum := uint32(0)
	for _, word := range w[:warAtSum] {
		sum ^= word
	}
	return sum
}

// bytes returns the warbuffer as it is in memory, with the right last word.
func (w *warbuffer) bytes() []byte {
	w[warAtSum] = w.sum()
	var b []byte
	for _, word := range w {
		b = binary.LittleEndian.AppendUint32(b, word)
	}
	return b
}

// rayInit has nothing to do.
//
// Parameters: none. Result: 0; Denied when no function can be started from here.
func rayInit(e *Env, _ []uint64) (Result, error) {
	if e.starter() == nil {
		return Denied, nil
	}
	return 0, nil
}

// warRegion is memory that goes with a call: what the guest has at ptr.
type warRegion struct {
	ptr    uint32
	object *warbuffer // not nil: a warbuffer of an object, whose bytes these are
	from   int        // in the call's input
	n      int
}

// rayCall starts a function as a task and does not wait for it. Arguments are where the compiler puts those of a variadic call,
// aligned and promoted as in C: 8-byte values at multiples of 8, what is shorter than an int as an int, a float as a double; the
// function's type says what is there. A pointer to memory that is tracked, the beginning of it, becomes one to a copy; one
// to a warbuffer of data becomes one to a copy of its bytes, and one to a warbuffer of an object to a copy of it.
//
// Parameters: id, a warbuffer for the number of the result; function pointer; where the arguments are.
// Result: 0; Invalid when id is none; TooLarge when what goes with it is above 32 MiB; Limit; Denied. It does not block.
func rayCall(e *Env, p []uint64) (Result, error) {
	if _, _, ok := readWarbuffer(e.mem, p[0]); !ok {
		return Invalid, nil
	}
	starter := e.starter()
	if starter == nil {
		return Denied, nil
	}
	at := min(p[2], uint64(len(e.mem)))
	area := bytes.Clone(e.mem[at:min(at+warArea, uint64(len(e.mem)))])
	input, regions, ok := e.warRegions(area)
	if !ok {
		return TooLarge, nil
	}
	task := &warTask{base: at, area: area, input: input, regions: regions}
	object, err := starter.Start(&Call{
		Input: input,
		Entry: &Entry{Index: uint32(p[1]), Prepare: task.prepare, Allocate: warAllocate, Answer: warAnswer},
	})
	if err != nil {
		return e.warFailed(err), nil
	}
	return e.warName(p[0], object), nil
}

// warName writes an object's number into a warbuffer.
func (e *Env) warName(ptr uint64, object int64) Result {
	w, data, ok := readWarbuffer(e.mem, ptr)
	if !ok || cap(data) < warIDBytes {
		return Invalid
	}
	binary.LittleEndian.PutUint64(data[:warIDBytes], uint64(object))
	w[warAtLen] = warIDBytes
	copy(e.mem[ptr:], w.bytes())
	return 0
}

// warFailed logs why something was refused, for the number alone says little.
func (e *Env) warFailed(err error) Result {
	result := e.refused(err)
	e.logText(LevelWarn, []byte(e.fn+": "+err.Error()))
	return result
}

// warRegions copies what goes with a call; false when it is too much. Which words are pointers is not known yet, so
// everything that looks like one is.
func (e *Env) warRegions(area []byte) (input []byte, regions []warRegion, ok bool) {
	seen := make(map[uint32]bool)
	for ; len(area) >= 4; area = area[4:] {
		ptr := binary.LittleEndian.Uint32(area)
		if seen[ptr] {
			continue
		}
		seen[ptr] = true
		region := warRegion{ptr: ptr, from: len(input)}
		var data []byte
		if size, tracked := e.others().tracked[ptr]; tracked && uint64(ptr)+uint64(size) <= uint64(len(e.mem)) {
			data = e.mem[ptr : uint64(ptr)+uint64(size)]
		} else if w, bytes, is := readWarbuffer(e.mem, uint64(ptr)); is {
			if data = bytes; w[warAtType] == warObject {
				region.object = &w
			}
		} else {
			continue
		}
		if len(input)+len(data) > maxObject {
			return nil, nil, false
		}
		region.n, input = len(data), append(input, data...)
		regions = append(regions, region)
	}
	return input, regions, true
}

// warTask is a call on its way to its instance.
type warTask struct {
	base    uint64 // where area was in the caller's memory, for alignment
	area    []byte
	input   []byte
	regions []warRegion
}

// errArguments is the error of a call with fewer arguments than its function has.
var errArguments = errors.New("the function has more parameters than there is room for arguments")

// prepare reads the arguments for a function of these parameters.
func (t *warTask) prepare(params []byte, place func(data []byte) (uint32, error)) ([]uint64, error) {
	args := make([]uint64, 0, len(params))
	at := 0
	next := func(size int) ([]byte, error) {
		at += int(-(t.base + uint64(at)) & uint64(size-1))
		if at+size > len(t.area) {
			return nil, errArguments
		}
		b := t.area[at : at+size]
		at += size
		return b, nil
	}
	for _, param := range params {
		size := 8
		if wasmedge.ValType(param) == wasmedge.I32 {
			size = 4
		}
		b, err := next(size)
		if err != nil {
			return nil, err
		}
		switch wasmedge.ValType(param) {
		case wasmedge.I32:
			v, err := t.move(binary.LittleEndian.Uint32(b), place)
			if err != nil {
				return nil, err
			}
			args = append(args, uint64(v))
		case wasmedge.F32:
			v := math.Float64frombits(binary.LittleEndian.Uint64(b))
			args = append(args, uint64(math.Float32bits(float32(v))))
		case wasmedge.I64, wasmedge.F64:
			args = append(args, binary.LittleEndian.Uint64(b))
		}
	}
	return args, nil
}

// move returns what stands for a value in the task: where the copy is, for a pointer to what goes with the call.
func (t *warTask) move(v uint32, place func(data []byte) (uint32, error)) (uint32, error) {
	for _, r := range t.regions {
		if r.ptr != v {
			continue
		}
		data := t.input[r.from : r.from+r.n]
		if r.n == 0 {
			data = []byte{0} // an allocation of nothing may be none
		}
		ptr, err := place(data)
		if err != nil || r.object == nil {
			return ptr, err
		}
		w := *r.object
		w[warAtFlags], w[warAtBuf], w[warAtCap] = 0, ptr, w[warAtLen]
		return place(w.bytes())
	}
	return v, nil
}

// warAnswer makes a result of what a task returned: the bytes of its value, or those of the warbuffer that it points to.
func warAnswer(results []byte, values []uint64, memory []byte) []byte {
	var out []byte
	for i, v := range values {
		switch wasmedge.ValType(results[i]) {
		case wasmedge.I32:
			if _, data, ok := readWarbuffer(memory, v&math.MaxUint32); ok {
				return data
			}
			out = binary.LittleEndian.AppendUint32(out, uint32(v))
		case wasmedge.F32:
			out = binary.LittleEndian.AppendUint32(out, uint32(v))
		case wasmedge.I64, wasmedge.F64:
			out = binary.LittleEndian.AppendUint64(out, v)
		}
	}
	return out
}

// rayGet waits for an object, without the core, and copies it.
//
// Parameters: id, its warbuffer; buf; where the length is: how much fits before, how long the object is afterwards.
// Result: 0; Invalid when id is none; TooLarge when it does not fit: nothing is copied then; NotFound; Conflict when this wait would
// never end; the error of a task that failed, whose cause is logged.
func rayGet(e *Env, p []uint64) (Result, error) {
	length, err := e.bytes("len", p[2], 4)
	if err != nil {
		return 0, err
	}
	room := binary.LittleEndian.Uint32(length)
	buf, err := e.bytes("buf", p[1], uint64(room))
	if err != nil {
		return 0, err
	}
	_, id, ok := readWarbuffer(e.mem, p[0])
	starter := e.starter()
	switch {
	case !ok || len(id) < warIDBytes:
		return Invalid, nil
	case starter == nil:
		return Denied, nil
	}
	object := int64(binary.LittleEndian.Uint64(id))
	if result := e.await(object, -1); result < 0 {
		return result, e.over()
	}
	out, err := starter.Result(object, len(buf))
	switch {
	case err != nil:
		return e.warFailed(err), nil
	case out.Err != nil:
		return e.warFailed(out.Err), nil //nolint:nilerr // the guest is told
	}
	binary.LittleEndian.PutUint32(length, uint32(out.Size))
	if out.Size > len(buf) {
		return TooLarge, nil
	}
	copy(buf, out.Body)
	return 0, nil
}

// rayPut makes an object of bytes.
//
// Parameters: id, a warbuffer for its number; buf, len. Result: 0; Invalid when id is none; TooLarge above 32 MiB; Limit; Denied.
func rayPut(e *Env, p []uint64) (Result, error) {
	data, err := e.bytes("buf", p[1], p[2])
	if err != nil {
		return 0, err
	}
	_, _, ok := readWarbuffer(e.mem, p[0])
	starter := e.starter()
	switch {
	case !ok:
		return Invalid, nil
	case starter == nil:
		return Denied, nil
	case len(data) > maxObject:
		return TooLarge, nil
	}
	ctx := e.patient()
	defer ctx.back()
	object, err := starter.Put(ctx, bytes.Clone(data))
	if err != nil {
		return e.warFailed(err), nil
	}
	return e.warName(p[0], object), nil
}

// rayTrack says that a piece of memory goes with calls that are given a pointer to its beginning.
//
// Parameters: ptr, size. Result: 0; Invalid when it is not in the memory; Limit above 65,536 pieces.
func rayTrack(e *Env, p []uint64) (Result, error) {
	f := e.others()
	switch {
	case p[0] == 0 || p[0]+p[1] > uint64(len(e.mem)):
		return Invalid, nil
	case len(f.tracked) >= maxTracked:
		return Limit, nil
	case f.tracked == nil:
		f.tracked = make(map[uint32]uint32)
	}
	f.tracked[uint32(p[0])] = uint32(p[1])
	return 0, nil
}

// rayUntrack takes rayTrack back.
//
// Parameters: ptr. Result: 0; NotFound.
func rayUntrack(e *Env, p []uint64) (Result, error) {
	f := e.others()
	if _, tracked := f.tracked[uint32(p[0])]; !tracked {
		return NotFound, nil
	}
	delete(f.tracked, uint32(p[0]))
	return 0, nil
}

// rayValidate says whether a piece of memory is there.
//
// Parameters: ptr, len. Result: 0; Invalid.
func rayValidate(e *Env, p []uint64) (Result, error) {
	if p[0] == 0 || p[0]+p[1] > uint64(len(e.mem)) {
		return Invalid, nil
	}
	return 0, nil
}

// rayLog logs a text, up to its NUL if it has one.
//
// Parameters: ptr, len. Result: 0.
func rayLog(e *Env, p []uint64) (Result, error) {
	text, err := e.bytes("ptr", p[0], p[1])
	if err != nil {
		return 0, err
	}
	text, _, _ = bytes.Cut(text, []byte{0})
	e.logText(LevelInfo, text)
	return 0, nil
}

// raySleep waits, without the core.
//
// Parameters: seconds; below 1 does not wait. No result. It ends the guest when its time is over.
func raySleep(e *Env, p []uint64) (Result, error) {
	seconds := int32(uint32(p[0]))
	if seconds < 1 {
		return 0, e.over()
	}
	timer := time.NewTimer(time.Duration(seconds) * time.Second)
	defer timer.Stop()
	ctx := e.patient()
	defer ctx.back()
	select {
	case <-timer.C:
		return 0, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s: %w", e.fn, e.over())
	}
}

// rayShutdown has nothing to do: what an invocation holds is given up when it ends.
//
// Parameters: none. No result.
func rayShutdown(*Env, []uint64) (Result, error) { return 0, nil }
