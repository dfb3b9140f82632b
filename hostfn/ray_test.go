package hostfn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"edged.dev/edge/wasmedge"
)

// warrior is a guest that can call, with a log.
func warrior(t *testing.T) (*guest, *fakeCalls, *sink) {
	t.Helper()
	calls, log := &fakeCalls{objects: map[int64]Outcome{}}, &sink{}
	g := newGuest(t, AppOptions{ABI: ABIWarrior, Calls: calls, Log: log})
	g.begin(new(origin))
	return g, calls, log
}

// war places a warbuffer with room for so many bytes.
func (g *guest) war(kind uint32, data string, room int) int {
	buf := g.room(room)
	copy(g.mem[buf:], data)
	w := warbuffer{warMagic, kind, 1 << 31, uint32(buf), uint32(len(data)), uint32(room), 0}
	return int(g.put(w.bytes()))
}

// area places variable arguments as a compiler does.
func (g *guest) area(values ...any) int {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case int:
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		case float64:
			for len(b)%8 != 0 {
				b = append(b, '?')
			}
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		case int64:
			for len(b)%8 != 0 {
				b = append(b, '?')
			}
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
	}
	return int(g.put(b))
}

// callee is the memory of a task's instance, in which things are placed one behind the other.
type callee struct{ mem []byte }

func (c *callee) place(data []byte) (uint32, error) {
	at := uint32(len(c.mem))
	c.mem = append(c.mem, data...)
	return at, nil
}

func types(letters string) []byte {
	codes := map[rune]wasmedge.ValType{'i': wasmedge.I32, 'I': wasmedge.I64, 'f': wasmedge.F32, 'F': wasmedge.F64}
	var list []byte
	for _, l := range letters {
		list = append(list, byte(codes[l]))
	}
	return list
}

func TestRayArguments(t *testing.T) {
	g, calls, _ := warrior(t)
	id := g.war(warObject, "", 32)
	f32 := func(v float32) uint64 { return uint64(math.Float32bits(v)) }
	for _, row := range []struct {
		params string
		values []any
		want   []uint64
	}{
		{"", nil, []uint64{}},
		{"iiffi", []any{97, 1, 2.0, 3.0, 4}, []uint64{97, 1, f32(2), f32(3), 4}},
		{"iF", []any{-3, 1.5}, []uint64{math.MaxUint32 - 2, math.Float64bits(1.5)}},
		{"iIiF", []any{1, int64(-1), 2, 0.25}, []uint64{1, math.MaxUint64, 2, math.Float64bits(0.25)}},
		{"Fi", []any{7.0, 9}, []uint64{math.Float64bits(7), 9}},
	} {
		g.top = (g.top + 15) &^ 15
		wantEq(t, row.params, g.foreign("ray.call", id, 5, g.area(row.values...)), 0)
		call := calls.calls[len(calls.calls)-1]
		wantEq(t, "function", call.Entry.Index, 5)
		args, err := call.Entry.Prepare(types(row.params), new(callee).place)
		if err != nil || fmt.Sprint(args) != fmt.Sprint(row.want) {
			t.Errorf("%s: %v %v, want %v", row.params, args, err, row.want)
		}
	}
	g.foreign("ray.call", id, 5, len(g.mem)-4)
	call := calls.calls[len(calls.calls)-1]
	if _, err := call.Entry.Prepare(types("ii"), new(callee).place); !errors.Is(err, errArguments) {
		t.Errorf("more parameters than there is memory: %v", err)
	}
	failed := errors.New("no room")
	g.foreign("ray.call", id, 5, g.area(g.war(warData, "x", 1)))
	call = calls.calls[len(calls.calls)-1]
	if _, err := call.Entry.Prepare(types("i"), func([]byte) (uint32, error) { return 0, failed }); !errors.Is(err, failed) {
		t.Errorf("a task without room: %v", err)
	}
}

func TestRayMemoryGoesAlong(t *testing.T) {
	g, calls, _ := warrior(t)
	id := g.war(warObject, "", 32)
	tracked := int(g.put([]byte("tracked memory")))
	plain := int(g.put([]byte("memory of its own")))
	data := g.war(warData, "struct", 8)
	object := g.war(warObject, "12345678", 32)
	wantEq(t, "track", g.foreign("ray.track_malloc", tracked, 14), 0)
	wantEq(t, "call", g.foreign("ray.call", id, 1, g.area(tracked, plain, data, object, tracked+1)), 0)
	g.mem[tracked] = 'T' // what the caller does now is its own affair
	call := calls.calls[0]
	to := &callee{mem: make([]byte, 64)}
	args, err := call.Entry.Prepare(types("iiiii"), to.place)
	if err != nil {
		t.Fatal(err)
	}
	wantEq(t, "tracked", string(to.mem[args[0]:args[0]+14]), "tracked memory")
	wantEq(t, "not tracked", args[1], uint64(plain))
	wantEq(t, "data", string(to.mem[args[2]:args[2]+6]), "struct")
	w, bytes, ok := readWarbuffer(to.mem, args[3])
	if !ok || string(bytes) != "12345678" || w[warAtType] != warObject {
		t.Errorf("the object's warbuffer: %v %v %q", w, ok, bytes)
	}
	wantEq(t, "the middle of tracked memory", args[4], uint64(tracked+1))
	wantEq(t, "untrack", g.foreign("ray.track_free", tracked), 0)
	wantEq(t, "untrack again", g.foreign("ray.track_free", tracked), -1)
	wantEq(t, "track outside", g.foreign("ray.track_malloc", len(g.mem)-1, 2), -2)
	wantEq(t, "track null", g.foreign("ray.track_malloc", 0, 2), -2)
}

func TestRayLimits(t *testing.T) {
	g, _, _ := warrior(t)
	g.mem = append(g.mem, make([]byte, maxObject+64)...)
	id := g.war(warObject, "", 32)
	wantEq(t, "track much", g.foreign("ray.track_malloc", 1<<17, maxObject+1), 0)
	wantEq(t, "more than fits", g.foreign("ray.call", id, 1, g.area(1<<17)), -4)
	wantEq(t, "put more than fits", g.foreign("ray.put", id, 1<<17, maxObject+1), -4)
	for i := range maxTracked - 1 {
		if g.foreign("ray.track_malloc", i+1, 1) != 0 {
			t.Fatal("not tracked")
		}
	}
	wantEq(t, "track too many", g.foreign("ray.track_malloc", maxTracked+9, 1), -8)
}

func TestRayObjects(t *testing.T) {
	g, calls, log := warrior(t)
	wantEq(t, "init", g.foreign("ray.init"), 0)
	id, length := g.war(warObject, "", 32), g.room(4)
	text, n := g.text("hello")
	buf := g.room(8)
	get := func(room uint32) int32 {
		binary.LittleEndian.PutUint32(g.mem[length:], room)
		return g.foreign("ray.get", id, buf, length)
	}
	wantEq(t, "get of none", get(8), -2)
	wantEq(t, "put", g.foreign("ray.put", id, text, n), 0)
	if _, number, ok := readWarbuffer(g.mem, uint64(id)); !ok || binary.LittleEndian.Uint64(number) != 1 {
		t.Errorf("the number: %v %v", ok, number)
	}
	wantEq(t, "get", get(8), 0)
	wantEq(t, "length", g.u32(length), 5)
	wantEq(t, "object", g.get(buf, 8), "hello???")
	wantEq(t, "get into too little", get(4), -4)
	wantEq(t, "length of what does not fit", g.u32(length), 5)
	g.guarded(length, 4)
	calls.objects[1] = Outcome{Status: 500, Err: &CallError{Internal, "the task broke"}}
	wantEq(t, "get of a failure", get(8), -10)
	if texts := strings.Join(log.texts(), "|"); !strings.Contains(texts, "ray.get: the task broke") {
		t.Errorf("log: %q", texts)
	}
	delete(calls.objects, 1)
	wantEq(t, "get of what is gone", get(8), -1)

	for name, spoil := range map[string]int{"magic": 0, "sum": 24, "length": 16} {
		bad := g.war(warObject, "12345678", 32)
		g.mem[bad+spoil+2] ^= 1
		wantEq(t, "put, bad "+name, g.foreign("ray.put", bad, text, n), -2)
		wantEq(t, "call, bad "+name, g.foreign("ray.call", bad, 1, 0), -2)
		wantEq(t, "get, bad "+name, g.foreign("ray.get", bad, buf, length), -2)
	}
	wantEq(t, "put into too little", g.foreign("ray.put", g.war(warObject, "", 7), text, n), -2)
	wantEq(t, "put outside", g.foreign("ray.put", len(g.mem)-8, text, n), -2)

	wantEq(t, "valid", g.foreign("ray.memregion_validate", buf, 8), 0)
	wantEq(t, "not valid", g.foreign("ray.memregion_validate", len(g.mem)-7, 8), -2)
	line, _ := g.text("a line\x00and more")
	wantEq(t, "log", g.foreign("ray.log_write", line, 12), 0)
	g.foreign("ray.shutdown")
	g.foreign("ray.sleep", 0)
	if texts := log.texts(); texts[len(texts)-1] != "a line" {
		t.Errorf("log: %q", texts)
	}
}

func TestRayWithoutCalls(t *testing.T) {
	g := newGuest(t, AppOptions{ABI: ABIWarrior})
	id := g.war(warObject, "12345678", 32)
	length := g.room(4)
	binary.LittleEndian.PutUint32(g.mem[length:], 4)
	wantEq(t, "init", g.foreign("ray.init"), -3)
	wantEq(t, "call", g.foreign("ray.call", id, 1, 0), -3)
	wantEq(t, "put", g.foreign("ray.put", id, 64, 1), -3)
	wantEq(t, "get", g.foreign("ray.get", id, 64, length), -3)
}

func TestRayAnswer(t *testing.T) {
	g, _, _ := warrior(t)
	data := g.war(warData, "answer", 8)
	for _, row := range []struct {
		results string
		value   uint64
		want    string
	}{
		{"", 0, ""},
		{"i", 0x04030201, "\x01\x02\x03\x04"},
		{"i", uint64(data), "answer"},
		{"i", uint64(data + 1), string(binary.LittleEndian.AppendUint32(nil, uint32(data+1)))},
		{"f", uint64(math.Float32bits(103)), "\x00\x00\xceB"},
		{"F", 0x0807060504030201, "\x01\x02\x03\x04\x05\x06\x07\x08"},
		{"I", 1, "\x01\x00\x00\x00\x00\x00\x00\x00"},
	} {
		values := []uint64{row.value}[:len(row.results)]
		if got := string(warAnswer(types(row.results), values, g.mem)); got != row.want {
			t.Errorf("%s %#x: %q, want %q", row.results, row.value, got, row.want)
		}
	}
}

func FuzzWarrior(f *testing.F) {
	f.Add([]byte("??????"), "iFfI", uint32(64))
	f.Fuzz(func(_ *testing.T, content []byte, params string, at uint32) {
		mem := append(make([]byte, 64), content...)
		_, _, _ = readWarbuffer(mem, uint64(at))
		task := &warTask{base: uint64(at), area: content, input: content, regions: []warRegion{{ptr: at, n: len(content)}}}
		_, _ = task.prepare(types(params), new(callee).place)
		_ = warAnswer(types("i"), []uint64{uint64(at)}, mem)
	})
}

func TestFaasmChaining(t *testing.T) {
	calls, log := &fakeCalls{objects: map[int64]Outcome{}}, &sink{}
	g := newGuest(t, AppOptions{ABI: ABIFaasm, Calls: calls, Log: log})
	in, n := g.text("input")
	g.ends("env.__faasm_chain_ptr", []any{3, in, n}, "no function can be started")
	g.begin(new(origin))
	wantEq(t, "by name", g.foreign("env.__faasm_chain_name", g.cstr("echo"), in, n), 1)
	wantEq(t, "await", g.foreign("env.__faasm_await_call", 1), 0)
	wantEq(t, "the input", string(calls.calls[0].Input), "input")
	wantEq(t, "that fails", g.foreign("env.__faasm_chain_name", g.cstr("fail"), in, 0), 2)
	wantEq(t, "await that", g.foreign("env.__faasm_await_call", 2), 1)
	if texts := strings.Join(log.texts(), "|"); !strings.Contains(texts, "it broke") {
		t.Errorf("log: %q", texts)
	}
	// Output comes in memory that is added for it, so the call needs the same caller before and after.
	out, length := g.room(4), g.room(4)
	c := wasmedge.NewCaller(g.mem, g.env)
	for i, want := range []int{1 << 17, 1<<17 + 16} {
		stack := []uint64{1, uint64(out), uint64(length)}
		if err := g.funcs["env.__faasm_await_call_output"].Call(c, stack); err != nil || stack[0] != 0 {
			t.Fatalf("output: %d, %v", stack[0], err)
		}
		g.mem = c.Memory()
		wantEq(t, "where", g.u32(out), uint32(want))
		wantEq(t, "length", g.u32(length), 5)
		wantEq(t, "output", g.get(want, 5), "input")
		wantEq(t, "memory after call "+string(rune('0'+i)), len(g.mem), 1<<17+1<<16)
	}
	wantEq(t, "output of a failure", g.foreign("env.__faasm_await_call_output", 2, out, length), 1)
	wantEq(t, "where", g.u32(out), 0)
	wantEq(t, "length", g.u32(length), 0)
	calls.calls = nil
	g.ends("env.__faasm_chain_name", []any{g.cstr("none"), in, n}, "no function none/main")
	wantEq(t, "names tried", len(calls.calls), 2)
	wantEq(t, "by pointer", g.foreign("env.__faasm_chain_ptr", 3, in, n), 3)
	wantEq(t, "pointer", calls.calls[2].Entry.Index, 3)
	calls.objects[1] = Outcome{Status: 200, Values: []byte{0xfe, 0xff, 0xff, 0xff}}
	wantEq(t, "what a function returned", g.foreign("env.__faasm_await_call", 1), -2)
	for _, id := range []any{0, 4, uint32(math.MaxUint32)} {
		g.ends("env.__faasm_await_call", []any{id}, "there is no call", "3 have been started")
	}
	delete(calls.objects, 1)
	g.ends("env.__faasm_await_call", []any{1}, "-1")
}
