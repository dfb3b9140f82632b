package hostfn

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"time"
)

// callFuncs are the functions with which a guest starts others. All of them answer Denied where there is no invocation to start
// them from: in start-up.
func callFuncs() []native {
	return []native{
		{"call", "iiiiii i", call},
		{"result_read", "iii i", resultRead},
		{"rcall", "iiii I", rcall},
		{"rput", "ii I", rput},
		{"rget", "Iiii i", rget},
		{"rlen", "I i", rlen},
		{"rwait", "iiiii i", rwait},
		{"rcancel", "I i", rcancel},
		{"rdrop", "I i", rdrop},
		{"actor_new", "iiii I", actorNew},
		{"actor_call", "Iiiii I", actorCall},
	}
}

const (
	// maxTarget bounds the name of a function with its app.
	maxTarget = 128
	// maxObject bounds what a guest gives to a call or puts, as much as a response may have by default.
	maxObject = 32 << 20
	// maxWait bounds the objects that one rwait names.
	maxWait = 65536
)

// calling is what an invocation has started.
type calling struct {
	caller Caller // nil until it is needed
	status int    // of the result that came last
	last   []byte // its body, or the text of its error, for result_read
	object int64  // whose body result_read is to fetch; 0: last has it
}

// leave gives everything up.
func (c *calling) leave() {
	if c.caller != nil {
		c.caller.Leave()
		*c = calling{}
	}
}

// starter returns what the invocation starts others with; nil when it cannot.
func (e *Env) starter() Caller {
	if e.calling.caller == nil && e.app.Calls != nil && e.req != nil {
		if origin := e.req.Origin(); origin != nil {
			e.calling.caller = e.app.Calls.Enter(origin)
		}
	}
	return e.calling.caller
}

// refused turns an error of a Caller into a result, and keeps its text for result_read.
func (e *Env) refused(err error) Result {
	var refused *CallError
	if !errors.As(err, &refused) {
		return e.result(err)
	}
	e.calling.last, e.calling.object, e.calling.status = []byte(refused.Text), 0, 0
	return refused.Result
}

// start starts a call with a copy of the input, for the guest may change its own while the callee reads it.
func (e *Env) start(c Call, name, input []byte) (int64, Result) {
	starter := e.starter()
	switch {
	case starter == nil:
		return 0, Denied
	case len(name) > maxTarget:
		return 0, NotFound
	case len(input) > maxObject:
		return 0, TooLarge
	}
	c.Function = string(name)
	if len(input) > 0 {
		c.Input = append([]byte(nil), input...)
	}
	object, err := starter.Start(&c)
	if err != nil {
		return 0, e.refused(err)
	}
	return object, 0
}

// call runs another function with an input, waits for it, without the core, and gives back its result.
//
// Parameters: fn, fl, "function" or "app/function"; in, il, its input; buf, cap, where its result goes.
// Result: the result's full length, copied when it fits, else to be read with result_read. NotFound: no such function; Denied: not
// granted; TooLarge: the input is above 32 MiB; Limit: functions call each other too deep, or too many wait; TimedOut, Cancelled;
// Internal: the callee failed. After an error result_read has its text. It blocks until the callee has ended, and ends it when
// the invocation ends.
func call(e *Env, p []uint64) (Result, error) {
	name, err := e.bytes("fn", p[0], p[1])
	if err != nil {
		return 0, err
	}
	input, err := e.bytes("in", p[2], p[3])
	if err != nil {
		return 0, err
	}
	if _, err := e.bytes("buf", p[4], p[5]); err != nil {
		return 0, err
	}
	object, result := e.start(Call{Awaited: true}, name, input)
	if result < 0 {
		return result, nil
	}
	starter := e.calling.caller
	if result := e.await(object, -1); result < 0 {
		_ = starter.Cancel(object) // nobody else knows of it
		_ = starter.Drop(object)
		return result, nil
	}
	defer func() { _ = starter.Drop(object) }()
	out, err := starter.Result(object, math.MaxInt)
	if err != nil {
		return e.refused(err), nil
	}
	return e.take(&out, object, p[4], p[5])
}

// await waits for one object: 0 when it is there.
func (e *Env) await(object int64, timeout time.Duration) Result {
	var ready [1]byte
	ctx := e.patient()
	defer ctx.back()
	n, err := e.calling.caller.Wait(ctx, []int64{object}, 1, timeout, ready[:])
	switch {
	case err != nil:
		return e.refused(err)
	case n == 0:
		return TimedOut
	}
	return 0
}

// take gives a guest the result of a call and remembers it for result_read.
func (e *Env) take(out *Outcome, object int64, buf, size uint64) (Result, error) {
	c := &e.calling
	c.status, c.last, c.object = out.Status, out.Body, 0
	if out.Err != nil {
		c.last = []byte(out.Err.Text)
		return out.Err.Result, nil //nolint:nilerr // the guest gets it as its result
	}
	if out.Body == nil && out.Size > 0 {
		c.object = object
		return Result(out.Size), nil
	}
	return e.give(buf, size, out.Body)
}

// resultRead copies a part of the result that call or rget gave last, or of the text of the error that the last of these
// functions failed with.
//
// Parameters: off u32, where to begin; buf, cap, where to and how much at most.
// Result: bytes copied, 0 at or beyond the end; NotFound when the result was dropped meanwhile. It may wait for the disk.
func resultRead(e *Env, p []uint64) (Result, error) {
	buf, err := e.bytes("buf", p[1], p[2])
	if err != nil {
		return 0, err
	}
	c := &e.calling
	if c.object != 0 {
		var out Outcome
		var failed error
		e.away(func() { out, failed = c.caller.Result(c.object, math.MaxInt) })
		if failed != nil {
			return e.refused(failed), nil //nolint:nilerr // the guest gets it as its result
		}
		c.last, c.object = out.Body, 0
	}
	if p[0] >= uint64(len(c.last)) {
		return 0, nil
	}
	return Result(copy(buf, c.last[p[0]:])), nil
}

// rcall starts another function and does not wait for it. It runs on when the invocation ends, unless it is cancelled.
//
// Parameters: fn, fl and in, il as call's.
// Result: the number of its result, above 0; errors as call's, and Limit when the app has too many objects. It does not block.
func rcall(e *Env, p []uint64) (Result, error) {
	name, err := e.bytes("fn", p[0], p[1])
	if err != nil {
		return 0, err
	}
	input, err := e.bytes("in", p[2], p[3])
	if err != nil {
		return 0, err
	}
	object, result := e.start(Call{}, name, input)
	if result < 0 {
		return result, nil
	}
	return Result(object), nil
}

// rput makes an object of bytes, as if a call had them as its result.
//
// Parameters: ptr, len. Result: its number, above 0; TooLarge above 32 MiB; Limit. It may wait for the disk.
func rput(e *Env, p []uint64) (Result, error) {
	data, err := e.bytes("ptr", p[0], p[1])
	if err != nil {
		return 0, err
	}
	starter := e.starter()
	switch {
	case starter == nil:
		return Denied, nil
	case len(data) > maxObject:
		return TooLarge, nil
	}
	ctx := e.patient()
	defer ctx.back()
	object, err := starter.Put(ctx, append([]byte(nil), data...))
	if err != nil {
		return e.refused(err), nil
	}
	return Result(object), nil
}

// timeout reads a time in milliseconds: 0 asks without waiting, below zero waits as long as the invocation may.
func timeout(ms uint64) time.Duration {
	if n := int32(uint32(ms)); n >= 0 {
		return time.Duration(n) * time.Millisecond
	}
	return -1
}

// rget waits for an object, without the core, and gives its bytes.
//
// Parameters: h; buf, cap; timeout_ms, 0: do not wait, -1: until the deadline.
// Result: the full length, copied when it fits; TimedOut when it is not there in time; NotFound; Conflict when this wait would never
// end, because what it waits for waits for this invocation; Limit when too many wait; the error of a call that failed.
func rget(e *Env, p []uint64) (Result, error) {
	if _, err := e.bytes("buf", p[1], p[2]); err != nil {
		return 0, err
	}
	starter, object := e.starter(), int64(p[0])
	if starter == nil {
		return Denied, nil
	}
	if result := e.await(object, timeout(p[3])); result < 0 {
		return result, nil
	}
	var out Outcome
	var err error
	if out, err = starter.Result(object, int(p[2])); err != nil {
		return e.refused(err), nil
	}
	return e.take(&out, object, p[1], p[2])
}

// rlen returns the length of an object.
//
// Parameters: h. Result: bytes; TimedOut while its call runs; NotFound; the error of a call that failed. It does not block.
func rlen(e *Env, p []uint64) (Result, error) {
	starter, object := e.starter(), int64(p[0])
	if starter == nil {
		return Denied, nil
	}
	if result := e.await(object, 0); result < 0 {
		return result, nil
	}
	out, err := starter.Result(object, 0)
	if err != nil {
		return e.refused(err), nil
	}
	if out.Err != nil {
		return e.refused(out.Err), nil //nolint:nilerr // the guest gets it as its result
	}
	return Result(out.Size), nil
}

// rwait waits for some of a list of objects, without the core.
//
// Parameters: handles_ptr, n, an array of i64, 65,536 at most; want, how many to wait for, at most n; timeout_ms as rget's;
// ready_ptr, n bytes, set to 1 for each object that is there and to 0 for the others.
// Result: how many are there, fewer than want when the time passed; Invalid: want is above n; NotFound, Conflict, Limit as rget. A call
// that failed is there.
func rwait(e *Env, p []uint64) (Result, error) {
	n := p[1]
	if n > maxWait {
		return Limit, nil
	}
	handles, err := e.bytes("handles_ptr", p[0], 8*n)
	if err != nil {
		return 0, err
	}
	ready, err := e.bytes("ready_ptr", p[4], n)
	if err != nil {
		return 0, err
	}
	starter := e.starter()
	switch {
	case starter == nil:
		return Denied, nil
	case p[2] > n:
		return Invalid, nil
	}
	objects := make([]int64, n)
	for i := range objects {
		objects[i] = int64(binary.LittleEndian.Uint64(handles[8*i:]))
	}
	ctx := e.patient()
	defer ctx.back()
	there, err := starter.Wait(ctx, objects, int(p[2]), timeout(p[3]), ready)
	if err != nil {
		return e.refused(err), nil
	}
	return Result(there), nil
}

// rcancel ends a call that has not ended, whether its guest runs or not; its result is the error Cancelled then.
//
// Parameters: h. Result: 0, also for one that has ended; NotFound. It does not block.
func rcancel(e *Env, p []uint64) (Result, error) {
	starter := e.starter()
	if starter == nil {
		return Denied, nil
	}
	if err := starter.Cancel(int64(p[0])); err != nil {
		return e.refused(err), nil
	}
	return 0, nil
}

// rdrop gives up an object: it is freed when no other invocation holds it. A call that runs goes on.
//
// Parameters: h. Result: 0; NotFound. It does not block.
func rdrop(e *Env, p []uint64) (Result, error) {
	starter := e.starter()
	if starter == nil {
		return Denied, nil
	}
	if err := starter.Drop(int64(p[0])); err != nil {
		return e.refused(err), nil
	}
	return 0, nil
}

// resultMeta answers "result:status", the status of the result that call or rget gave last.
func (e *Env) resultMeta(key string) (string, bool) {
	if key != "result:status" || e.calling.status == 0 {
		return "", false
	}
	return strconv.Itoa(e.calling.status), true
}
