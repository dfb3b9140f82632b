package hostfn

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"edged.dev/edge/wasmedge"
)

func TestClocks(t *testing.T) {
	g := newGuest(t, AppOptions{})
	out := g.room(8)
	before := uint64(time.Now().UnixNano())
	wantEq(t, "real time", g.wasi("clock_time_get", 0, 1, out), success)
	if now := g.u64(out); now < before || now > before+uint64(time.Minute) {
		t.Errorf("real time %d, is %d", now, before)
	}
	g.guarded(out, 8)
	for id := range 4 {
		wantEq(t, "resolution", g.wasi("clock_res_get", id, out), success)
		if res := g.u64(out); res == 0 || res > uint64(time.Second) {
			t.Errorf("resolution of %d is %d", id, res)
		}
		last := uint64(0)
		for range 100 {
			wantEq(t, "time", g.wasi("clock_time_get", id, 0, out), success)
			if g.u64(out) < last {
				t.Errorf("clock %d went back", id)
			}
			last = g.u64(out)
		}
	}
	wantEq(t, "no such clock", g.wasi("clock_time_get", 4, 0, out), eInval)
	wantEq(t, "no such clock", g.wasi("clock_res_get", 4, out), eInval)
}

func TestRandom(t *testing.T) {
	g := newGuest(t, AppOptions{})
	a, b := g.room(1000), g.room(1000)
	wantEq(t, "random", g.wasi("random_get", a, 1000), success)
	wantEq(t, "random", g.wasi("random_get", b, 1000), success)
	g.guarded(a, 1000)
	if bytes.Equal(g.mem[a:a+1000], g.mem[b:b+1000]) {
		t.Error("twice the same")
	}
	wantEq(t, "nothing", g.wasi("random_get", 1<<17, 0), success)
}

func TestExitAndRaise(t *testing.T) {
	g := newGuest(t, AppOptions{})
	for name, row := range map[string]struct {
		call string
		arg  int
		want uint32
	}{"exit 0": {"proc_exit", 0, 0}, "exit 7": {"proc_exit", 7, 7}, "abort": {"proc_raise", 6, 134}} {
		_, err := g.try(moduleWASI+"."+row.call, row.arg)
		var exited *wasmedge.ExitError
		if !errors.As(err, &exited) || exited.Code != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantEq(t, "signal 0", g.wasi("proc_raise", 0), success)
	wantEq(t, "ignored", g.wasi("proc_raise", signalChild), success)
	wantEq(t, "no signal", g.wasi("proc_raise", 31), eInval)
	wantEq(t, "yield", g.wasi("sched_yield"), success)
}

// clockSub and fdSub are subscriptions of poll_oneoff.
func clockSub(user uint64, id uint32, timeout uint64, flags uint16) []byte {
	b := make([]byte, sizeSubscription)
	binary.LittleEndian.PutUint64(b, user)
	binary.LittleEndian.PutUint32(b[16:], id)
	binary.LittleEndian.PutUint64(b[24:], timeout)
	binary.LittleEndian.PutUint16(b[40:], flags)
	return b
}

func fdSub(user uint64, kind byte, fd uint32) []byte {
	b := make([]byte, sizeSubscription)
	binary.LittleEndian.PutUint64(b, user)
	b[8] = kind
	binary.LittleEndian.PutUint32(b[16:], fd)
	return b
}

type event struct {
	user  uint64
	code  errno
	kind  byte
	bytes uint64
}

func (g *guest) poll(subs ...[]byte) ([]event, errno) {
	in := int(g.put(bytes.Join(subs, nil)))
	out, n := g.room(sizeEvent*len(subs)), g.room(4)
	code := g.wasi("poll_oneoff", in, out, len(subs), n)
	g.guarded(out, sizeEvent*len(subs))
	if code != success {
		return nil, code
	}
	var events []event
	for at := out; at < out+sizeEvent*int(g.u32(n)); at += sizeEvent {
		events = append(events, event{g.u64(at), errno(binary.LittleEndian.Uint16(g.mem[at+8:])), g.mem[at+10], g.u64(at + 16)})
	}
	return events, code
}

func TestPoll(t *testing.T) {
	g, _ := fsGuest(t)
	g.begin(request{body: "12345"})
	file := g.openRW("f", openCreate, 0)
	g.write(file, "content")
	g.seek(file, 3, 0)
	const long = uint64(time.Hour)
	rows := []struct {
		name string
		subs [][]byte
		want []event
	}{
		{"stdin", [][]byte{clockSub(1, 1, long, 0), fdSub(2, eventRead, 0)}, []event{{2, success, eventRead, 5}}},
		{"stdout and stderr", [][]byte{fdSub(1, eventWrite, 1), fdSub(2, eventWrite, 2)}, []event{{1, success, eventWrite, 0}, {2, success, eventWrite, 0}}},
		{"a file", [][]byte{fdSub(1, eventRead, uint32(file)), fdSub(2, eventWrite, uint32(file))}, []event{{1, success, eventRead, 4}, {2, success, eventWrite, 0}}},
		{"bad descriptors", [][]byte{fdSub(1, eventRead, 77), fdSub(2, eventRead, 1), fdSub(3, eventRead, 3)}, []event{{1, eBadf, eventRead, 0}, {2, eBadf, eventRead, 0}, {3, eBadf, eventRead, 0}}},
		{"bad clock", [][]byte{clockSub(1, 2, 0, 0), clockSub(2, 0, 0, 2)}, []event{{1, eInval, eventClock, 0}, {2, eInval, eventClock, 0}}},
		{"no time", [][]byte{clockSub(1, 0, 0, 0), clockSub(2, 1, long, 0)}, []event{{1, success, eventClock, 0}}},
		{"the past", [][]byte{clockSub(1, 0, 1, clockAbsolute), clockSub(2, 1, 1, clockAbsolute)}, []event{{1, success, eventClock, 0}, {2, success, eventClock, 0}}},
		{"a sleep", [][]byte{clockSub(1, 1, 1000, 0), clockSub(2, 1, long, 0), clockSub(3, 0, 500, 0)}, []event{{3, success, eventClock, 0}}},
		{"until a moment", [][]byte{clockSub(1, 0, uint64(time.Now().Add(20*time.Millisecond).UnixNano()), clockAbsolute), clockSub(2, 0, 1<<62, clockAbsolute)}, []event{{1, success, eventClock, 0}}},
	}
	for _, row := range rows {
		got, code := g.poll(row.subs...)
		wantEq(t, row.name, code, success)
		if row.name == "a sleep" && len(got) == 1 && got[0].user == 3 {
			continue
		}
		if len(got) != len(row.want) {
			t.Errorf("%s: %v", row.name, got)
			continue
		}
		for i := range got {
			wantEq(t, row.name, got[i], row.want[i])
		}
	}
	if _, code := g.poll(); code != eInval {
		t.Errorf("no subscriptions: %d", code)
	}
	if _, code := g.poll(fdSub(1, 3, 0)); code != eInval {
		t.Errorf("unknown kind: %d", code)
	}
	// Events over the subscriptions.
	in := int(g.put(append(fdSub(9, eventWrite, 1), fdSub(8, eventWrite, 2)...)))
	n := g.room(4)
	wantEq(t, "in place", g.wasi("poll_oneoff", in, in, 2, n), success)
	wantEq(t, "first", g.u64(in), 9)
	wantEq(t, "second", g.u64(in+sizeEvent), 8)
}

func TestSleepEndsWithTheInvocation(t *testing.T) {
	g := newGuest(t, AppOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	g.env.Begin(ctx, nil)
	in := int(g.put(clockSub(1, 1, uint64(time.Hour), 0)))
	_, err := g.try(moduleWASI+".poll_oneoff", in, g.room(32), 1, g.room(4))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if _, err := g.try(moduleWASI + ".sched_yield"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("yield: %v", err)
	}
}

func TestStdStreams(t *testing.T) {
	g := newGuest(t, AppOptions{})
	g.begin(request{body: "x"})
	out := g.room(64)
	for fd := range 3 {
		wantEq(t, "fdstat", g.wasi("fd_fdstat_get", fd, out), success)
		wantEq(t, "type", g.mem[out], typeUnknown)
		wantEq(t, "no seek", rights(g.u64(out+8))&(rightFDSeek|rightFDTell), 0)
		wantEq(t, "filestat", g.wasi("fd_filestat_get", fd, out), success)
		wantEq(t, "seek", g.wasi("fd_seek", fd, 0, 0, out), eSpipe)
		wantEq(t, "tell", g.wasi("fd_tell", fd, out), eSpipe)
		wantEq(t, "nonblock", g.wasi("fd_fdstat_set_flags", fd, int(flagNonblock)), success)
		wantEq(t, "sync", g.wasi("fd_sync", fd), eInval)
		wantEq(t, "advise", g.wasi("fd_advise", fd, 0, 0, 0), eSpipe)
	}
	iovs, n := g.iovs([2]int{out, 1})
	wantEq(t, "pread", g.wasi("fd_pread", 0, iovs, n, 0, g.room(4)), eSpipe)
}

func TestDetect(t *testing.T) {
	for name, row := range map[string]struct {
		exports []string
		abi     ABI
		start   []string
		err     error
	}{
		"command":         {[]string{"memory", "_start"}, ABICGI, nil, nil},
		"reactor":         {[]string{"_initialize", "hello"}, ABIEdged, []string{"_initialize"}, nil},
		"old reactor":     {[]string{"__wasm_call_ctors", "hello"}, ABIEdged, []string{"__wasm_call_ctors"}, nil},
		"both":            {[]string{"f", "__wasm_call_ctors", "_initialize"}, ABIEdged, []string{"_initialize"}, nil},
		"plain":           {[]string{"hello"}, ABIEdged, nil, nil},
		"start-up only":   {[]string{"_initialize"}, 0, nil, ErrNoEntry},
		"nothing":         {nil, 0, nil, ErrNoEntry},
		"command with it": {[]string{"_start", "_initialize"}, ABICGI, nil, nil},
	} {
		abi, err := Detect(row.exports)
		if abi != row.abi || !errors.Is(err, row.err) {
			t.Errorf("%s: %v, %v", name, abi, err)
		}
		if start := StartUp(row.exports, abi); err == nil && len(start) != len(row.start) || len(start) == 1 && err == nil && start[0] != row.start[0] {
			t.Errorf("%s: start-up %q", name, start)
		}
	}
}
