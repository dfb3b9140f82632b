package hostfn

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"
)

// fakeCalls is an Invoker whose functions end at once: "echo" gives its input back, "fail" fails, "slow" never ends.
type fakeCalls struct {
	objects map[int64]Outcome
	calls   []Call
	left    int
}

func (f *fakeCalls) Enter(any) Caller { return f }

func (f *fakeCalls) Start(call *Call) (int64, error) {
	f.calls = append(f.calls, *call)
	id := int64(len(f.objects) + 1)
	switch call.Function {
	case "echo":
		f.objects[id] = Outcome{Status: 201, Size: len(call.Input), Body: call.Input}
	case "fail":
		f.objects[id] = Outcome{Status: 500, Err: &CallError{Internal, "it broke"}}
	case "slow":
		f.objects[id] = Outcome{}
	case "": // an entry of the same module
		f.objects[id] = Outcome{Status: 200}
	default:
		return 0, &CallError{NotFound, "no function " + call.Function}
	}
	return id, nil
}

func (f *fakeCalls) Put(_ context.Context, data []byte) (int64, error) {
	id := int64(len(f.objects) + 1)
	f.objects[id] = Outcome{Status: 200, Size: len(data), Body: data}
	return id, nil
}

func (f *fakeCalls) Wait(ctx context.Context, objects []int64, want int, timeout time.Duration, ready []byte) (int, error) {
	there := 0
	for i, id := range objects {
		out, found := f.objects[id]
		if !found {
			return 0, &CallError{NotFound, "no object"}
		}
		if ready[i] = 0; out.Status != 0 {
			ready[i] = 1
			there++
		}
	}
	if there < want && timeout != 0 {
		<-ctx.Done()
		return there, context.Cause(ctx)
	}
	return there, nil
}

func (f *fakeCalls) Result(object int64, most int) (Outcome, error) {
	out, found := f.objects[object]
	if !found {
		return out, &CallError{NotFound, "no object"}
	}
	if out.Size > most {
		out.Body = nil
	}
	return out, nil
}

func (f *fakeCalls) Cancel(object int64) error {
	f.objects[object] = Outcome{Status: 410, Err: &CallError{Cancelled, "cancelled"}}
	return nil
}

func (f *fakeCalls) Drop(object int64) error {
	delete(f.objects, object)
	return nil
}

func (f *fakeCalls) Leave() { f.left++ }

func (f *fakeCalls) Actor(class string, key []byte) (int64, error) {
	if class != "echo" {
		return 0, &CallError{Invalid, "no class"}
	}
	return int64(1000 + len(key)), nil
}

// origin is a request of an invocation that may start others.
type origin struct{ bodyRequest }

func (*origin) Origin() any { return 1 }

func callingGuest(t *testing.T) (*guest, *fakeCalls) {
	t.Helper()
	calls := &fakeCalls{objects: map[int64]Outcome{}}
	g := newGuest(t, AppOptions{Calls: calls})
	g.begin(new(origin))
	return g, calls
}

func (g *guest) wide(name string, args ...any) int64 {
	g.t.Helper()
	v, err := g.try("edged."+name, args...)
	if err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	return int64(v)
}

func TestCallGivesTheResult(t *testing.T) {
	g, calls := callingGuest(t)
	fn, fl := g.text("echo")
	in, il := g.text("hello")
	buf := g.room(8)
	wantEq(t, "call", g.edged("call", fn, fl, in, il, buf, 8), 5)
	wantEq(t, "result", g.get(buf, 5), "hello")
	g.guarded(buf, 5)
	wantEq(t, "call with a short buffer", g.edged("call", fn, fl, in, il, buf, 4), 5)
	rest := g.room(8)
	wantEq(t, "result_read", g.edged("result_read", 2, rest, 8), 3)
	wantEq(t, "rest", g.get(rest, 3), "llo")
	wantEq(t, "result_read at the end", g.edged("result_read", 5, rest, 8), 0)
	status, _ := g.env.lookUp("result:status")
	wantEq(t, "status", status, "201")
	wantEq(t, "objects kept", len(calls.objects), 0)
	g.mem[in] = 'j'
	wantEq(t, "the input that was given", string(calls.calls[0].Input), "hello")
	g.env.Finish(nil)
	wantEq(t, "sessions left", calls.left, 1)
}

func TestCallErrors(t *testing.T) {
	g, _ := callingGuest(t)
	for _, c := range []struct {
		fn   string
		want int32
		text string
	}{{"fail", -10, "it broke"}, {"none", -1, "no function none"}, {strings.Repeat("x", maxTarget+1), -1, ""}} {
		fn, fl := g.text(c.fn)
		wantEq(t, "call "+c.fn, g.edged("call", fn, fl, 0, 0, 0, 0), c.want)
		buf := g.room(32)
		if n := g.edged("result_read", 0, buf, 32); c.text != "" && g.get(buf, int(n)) != c.text {
			t.Errorf("text of %s: %q", c.fn, g.get(buf, int(n)))
		}
	}
}

func TestFutures(t *testing.T) {
	g, _ := callingGuest(t)
	fn, fl := g.text("echo")
	in, il := g.text("hello")
	buf := g.room(8)
	done := g.wide("rcall", fn, fl, in, il)
	put := g.wide("rput", in, il)
	slow, sl := g.text("slow")
	never := g.wide("rcall", slow, sl, 0, 0)
	wantEq(t, "rlen", g.edged("rlen", done), 5)
	wantEq(t, "rlen of what runs", g.edged("rlen", never), -6)
	wantEq(t, "rget", g.edged("rget", put, buf, 8, -1&math.MaxUint32), 5)
	wantEq(t, "rget with a short buffer", g.edged("rget", done, buf, 2, 0), 5)
	wantEq(t, "the rest of it", g.edged("result_read", 1, buf, 8), 4)
	wantEq(t, "rget of what runs", g.edged("rget", never, buf, 8, 0), -6)
	var list []byte
	for _, h := range []int64{never, done, put} {
		for i := range 8 {
			list = append(list, byte(h>>(8*i)))
		}
	}
	handles, ready := int(g.put(list)), g.room(3)
	wantEq(t, "rwait for two", g.edged("rwait", handles, 3, 2, 0, ready), 2)
	wantEq(t, "which", g.get(ready, 3), "\x00\x01\x01")
	g.guarded(ready, 3)
	wantEq(t, "rwait for more than there are", g.edged("rwait", handles, 3, 4, 0, ready), -2)
	wantEq(t, "rwait for too many", g.edged("rwait", handles, maxWait+1, 1, 0, ready), -8)
	wantEq(t, "rcancel", g.edged("rcancel", never), 0)
	wantEq(t, "rget of what was cancelled", g.edged("rget", never, buf, 8, 0), -11)
	wantEq(t, "rdrop", g.edged("rdrop", done), 0)
	wantEq(t, "rget of what was dropped", g.edged("rget", done, buf, 8, 0), -1)
}

// TestCallEndsWithTheInvocation has a call outlast the invocation that waits for it: it is cancelled.
func TestCallEndsWithTheInvocation(t *testing.T) {
	g, calls := callingGuest(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	g.env.Begin(ctx, new(origin))
	core := g.onCore()
	cancel(context.DeadlineExceeded)
	fn, fl := g.text("slow")
	wantLeft(t, "call", core, 1, func() { wantEq(t, "call", g.edged("call", fn, fl, 0, 0, 0, 0), -6) })
	wantEq(t, "objects kept", len(calls.objects), 0)
}

func TestActorFunctions(t *testing.T) {
	g, calls := callingGuest(t)
	fn, fl := g.text("echo")
	key, kl := g.text("abc")
	none, nl := g.text("none")
	wantEq(t, "actor_new", g.wide("actor_new", fn, fl, key, kl), 1003)
	wantEq(t, "actor_new of no class", g.wide("actor_new", none, nl, key, kl), -2)
	answer := g.wide("actor_call", 1003, fn, fl, key, kl)
	buf := g.room(8)
	wantEq(t, "rget", g.edged("rget", answer, buf, 8, 0), 3)
	wantEq(t, "the answer", g.get(buf, 3), "abc")
	wantEq(t, "the actor that was sent to", calls.calls[0].Actor, 1003)
	wantEq(t, "actor_call of no actor", g.wide("actor_call", 0, fn, fl, key, kl), -1)
}

func TestCallsDeniedInStartUp(t *testing.T) {
	g, _ := callingGuest(t)
	g.begin(nil)
	fn, fl := g.text("echo")
	wantEq(t, "call", g.edged("call", fn, fl, 0, 0, 0, 0), -3)
	for name, got := range map[string]int64{
		"rcall": g.wide("rcall", fn, fl, 0, 0), "rput": g.wide("rput", 0, 0), "rget": int64(g.edged("rget", 1, 0, 0, 0)),
		"rlen": int64(g.edged("rlen", 1)), "rwait": int64(g.edged("rwait", 0, 0, 0, 0, 0)),
		"actor_new": g.wide("actor_new", fn, fl, fn, fl), "actor_call": g.wide("actor_call", 1, fn, fl, 0, 0),
		"rcancel": int64(g.edged("rcancel", 1)), "rdrop": int64(g.edged("rdrop", 1)),
	} {
		wantEq(t, name, got, -3)
	}
}
