package edged

import (
	"time"

	"edged.dev/edge/sdk/go/internal/abi"
)

// Forever is a timeout that ends with the call's own deadline.
const Forever time.Duration = -1

// firstResult is the room for a result at first; most fit.
const firstResult = 1 << 10

// Invoke runs another function, "function" of this app or "app/function", with an input, waits for it, and returns its response
// body, whatever its status (see [ResultStatus]). Others run meanwhile.
//
// [ErrNotFound]: there is no such function; [ErrDenied]: the manifests of the two apps do not agree on it (grants.calls, callers);
// [ErrInternal]: it failed; [ErrTimeout], [ErrCancelled], [ErrTooLarge]; [ErrLimit]: functions call each other too deep, or too many
// wait; [ErrConflict]: it would wait for itself. The error's text has what the callee said.
func Invoke(function string, input []byte) ([]byte, error) {
	buf := make([]byte, firstResult)
	return result(abi.Call(function, input, buf), buf, "call", function)
}

// Object is the result of a call that was started, or bytes that were put. It is a number that means the same to every
// function of the app, so it can be passed on in inputs and keys: as [Object.Handle], and back as Object(handle). It does not
// change, and does not survive a restart of the daemon.
type Object int64

// Start starts a call, as [Invoke] would, and does not wait for it. The call runs on when this one ends. Errors as of [Invoke],
// but for those that the callee ends with: [Object.Get] has them.
func Start(function string, input []byte) (Object, error) {
	h := abi.RCall(function, input)
	return Object(max(h, 0)), withText(check(h, "start", function))
}

// Put makes an object of bytes, at most 32 MiB: [ErrTooLarge]. [ErrLimit] when the app has too many.
func Put(data []byte) (Object, error) {
	h := abi.RPut(data)
	return Object(max(h, 0)), check(h, "put", "")
}

// Handle returns the object's number.
func (o Object) Handle() int64 { return int64(o) }

// Get waits until the object is there, for at most the call's own deadline, and returns its bytes or the error that its call
// ended with, as [Invoke] does. [ErrNotFound] when it is gone; [ErrConflict] when its call waits for this one.
func (o Object) Get() ([]byte, error) { return o.Within(Forever) }

// Within is Get with a timeout: [ErrTimeout]. 0 does not wait.
func (o Object) Within(timeout time.Duration) ([]byte, error) {
	buf := make([]byte, firstResult)
	return result(abi.RGet(int64(o), buf, millis(timeout)), buf, "get", "")
}

// Len returns the object's length in bytes; [ErrTimeout] while its call runs, else errors as of [Object.Get].
func (o Object) Len() (int, error) {
	n := abi.RLen(int64(o))
	return int(max(n, 0)), check(int64(n), "length", "")
}

// Cancel ends the object's call wherever it is; Get gives [ErrCancelled] then. It does nothing when the call has ended.
func (o Object) Cancel() error { return check(int64(abi.RCancel(int64(o))), "cancel", "") }

// Drop gives the object up before this call ends. What no call holds is freed. A call that runs goes on.
func (o Object) Drop() error { return check(int64(abi.RDrop(int64(o))), "drop", "") }

// Wait waits until want of the objects are there, or timeout has passed, and returns which are: fewer than want then. A call
// that has failed is there. [ErrInvalid] when want is above their number, [ErrLimit] above 65,536 objects, else as [Object.Get].
func Wait(objects []Object, want int, timeout time.Duration) (ready []bool, err error) {
	handles := make([]int64, len(objects))
	for i, o := range objects {
		handles[i] = int64(o)
	}
	flags := make([]byte, len(objects))
	if err := check(int64(abi.RWait(handles, int32(want), millis(timeout), flags)), "wait", ""); err != nil {
		return nil, withText(err)
	}
	ready = make([]bool, len(objects))
	for i, flag := range flags {
		ready[i] = flag != 0
	}
	return ready, nil
}

// ResultStatus returns the HTTP status of the result that [Invoke] or [Object.Get] gave last; "" when none did.
func ResultStatus() string { return Meta("result:status") }

// millis is a timeout as the host takes it. What is shorter than a millisecond waits for one.
func millis(timeout time.Duration) int32 {
	if timeout < 0 {
		return -1
	}
	return int32(min((timeout+time.Millisecond-1)/time.Millisecond, maxTTL))
}

// result returns a result of n bytes, of which those that fit are in buf.
func result(n int32, buf []byte, op, key string) ([]byte, error) {
	if err := check(int64(n), op, key); err != nil {
		return nil, withText(err)
	}
	if int(n) <= len(buf) {
		return buf[:n], nil
	}
	whole := make([]byte, n)
	for have := 0; have < len(whole); {
		got := abi.ResultRead(int32(have), whole[have:])
		if got <= 0 {
			return nil, &OpError{Op: op, Key: key, Err: ErrNotFound} // dropped meanwhile
		}
		have += int(got)
	}
	return whole, nil
}

// maxText bounds what is read of an error's text.
const maxText = 4 << 10

// withText adds what the host or the callee said to an error of a call.
func withText(err error) error {
	failed, ok := err.(*OpError) //nolint:errorlint // made by check, not wrapped
	if !ok {
		return err
	}
	buf := make([]byte, maxText)
	if n := abi.ResultRead(0, buf); n > 0 {
		failed.Text = string(buf[:n])
	}
	return failed
}
