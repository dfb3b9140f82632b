package hostfn

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// clockFuncs are the functions about time, and waiting.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
func clockFuncs() []preview1 {
	return []preview1{
		{"clock_res_get", "ii i", clockResGet},
		{"clock_time_get", "iIi i", clockTimeGet},
		{"poll_oneoff", "iiii i", pollOneoff},
	}
}

// The clocks (preview1, "clockid").
const (
	clockRealtime = iota
	clockMonotonic
	clockProcess
	clockThread
	clockCount
)

// clockResGet says how finely a clock ticks: 1 ns, all of them.
//
// Parameters: id u32, 0 real time, 1 monotonic, 2 processor time of the process, 3 of the thread; ptr, where the resolution
// in ns goes as u64. Result: success, einval for another clock.
func clockResGet(e *Env, p []uint64) (errno, error) {
	if _, err := e.bytes("ptr", p[1], 8); err != nil {
		return 0, err
	}
	if p[0] >= clockCount {
		return eInval, nil
	}
	return success, e.put64("ptr", p[1], 1)
}

// clockTimeGet reads a clock. Real time counts from 1970. Both processor clocks count what the guest's thread has used
// since it first asked in this invocation; a guest has one thread and nothing of the daemon is counted.
//
// Parameters: id u32 as clock_res_get; precision u64, not looked at; ptr, where the time in ns goes as u64.
// Result: success, einval for another clock.
func clockTimeGet(e *Env, p []uint64) (errno, error) {
	if _, err := e.bytes("ptr", p[2], 8); err != nil {
		return 0, err
	}
	if p[0] >= clockCount {
		return eInval, nil
	}
	now, err := e.clock(p[0])
	if err != nil {
		return errnoOf(err), nil
	}
	return success, e.put64("ptr", p[2], uint64(now))
}

// clock reads a clock in ns. The monotonic one is the system's own, the one that a C implementation of this function
// would read.
func (e *Env) clock(id uint64) (int64, error) {
	system := [...]int32{unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_THREAD_CPUTIME_ID, unix.CLOCK_THREAD_CPUTIME_ID}
	var ts unix.Timespec
	if err := unix.ClockGettime(system[id], &ts); err != nil {
		return 0, err
	}
	if id < clockProcess {
		return ts.Nano(), nil
	}
	if e.process.cpuBase == 0 {
		e.process.cpuBase = ts.Nano()
	}
	return ts.Nano() - e.process.cpuBase, nil
}

// Sizes and kinds of what poll_oneoff takes and gives (preview1, "subscription", "event", "eventtype").
const (
	sizeSubscription = maxRecord
	sizeEvent        = 32

	eventClock = 0
	eventRead  = 1
	eventWrite = 2

	clockAbsolute = 1

	// maxSubscriptions bounds one call; more than a guest has descriptors and timers for.
	maxSubscriptions = 4096
)

// pollOneoff waits until one of several things happens. Descriptors are always ready: stdin is in memory, output and files
// never wait. With none of them it sleeps, until the deadline at most, which ends the guest.
//
// Parameters: in, an array of subscriptions; out, where events go, room for as many; nsubscriptions u32; nevents, where the
// count goes as u32.
//
//	subscription, 48 bytes: 0 userdata u64 | 8 kind u8, 0 clock, 1 read, 2 write
//	  clock:        16 id u32 | 24 timeout u64 ns | 32 precision u64 | 40 flags u16, 1 absolute
//	  read, write:  16 fd u32
//	event, 32 bytes: 0 userdata u64 | 8 errno u16 | 10 kind u8 | 16 bytes ready u64 | 24 flags u16
//
// Result: success; einval for no subscriptions, too many, or an unknown kind. A bad clock or descriptor is an event with
// an errno.
func pollOneoff(e *Env, p []uint64) (errno, error) {
	if _, err := e.bytes("nevents", p[3], 4); err != nil {
		return 0, err
	}
	in, err := e.bytes("in", p[0], p[2]*sizeSubscription)
	if err != nil {
		return 0, err
	}
	if _, err = e.bytes("out", p[1], p[2]*sizeEvent); err != nil {
		return 0, err
	}
	if p[2] == 0 || p[2] > maxSubscriptions {
		return eInval, nil
	}
	// Events may be written over the subscriptions: copy those first.
	e.scratch = append(e.scratch[:0], in...)
	out := e.mem[p[1]:]
	n, wait, code := e.pollNow(e.scratch, out)
	if code != success {
		return code, nil
	}
	if n == 0 {
		if err := e.sleep(wait); err != nil {
			return 0, err
		}
		n = pollTimers(e.scratch, out, wait)
	}
	return success, e.put32("nevents", p[3], uint32(n))
}

// pollNow writes the events that have happened already; without any, wait is when the first timer ends.
func (e *Env) pollNow(subs, out []byte) (n int, wait time.Duration, code errno) {
	wait = math.MaxInt64
	for ; len(subs) > 0; subs = subs[sizeSubscription:] {
		switch subs[8] {
		case eventClock:
			left, code := e.left(subs)
			if code != success || left <= 0 {
				n += putEvent(out[n*sizeEvent:], subs, code, 0)
			}
			wait = min(wait, left)
			// From here on every timer is a relative one, so that all are measured from the same moment.
			binary.LittleEndian.PutUint64(subs[24:], uint64(max(left, 0)))
			binary.LittleEndian.PutUint16(subs[40:], 0)
		case eventRead, eventWrite:
			bytes, code := e.ready(uint64(binary.LittleEndian.Uint32(subs[16:])), subs[8])
			n += putEvent(out[n*sizeEvent:], subs, code, bytes)
		default:
			return 0, 0, eInval
		}
	}
	return n, wait, success
}

// pollTimers writes the events of the timers that have ended after wait; all are clocks and relative by now.
func pollTimers(subs, out []byte, wait time.Duration) int {
	n := 0
	for ; len(subs) > 0; subs = subs[sizeSubscription:] {
		if binary.LittleEndian.Uint64(subs[24:]) <= uint64(wait) {
			n += putEvent(out[n*sizeEvent:], subs, success, 0)
		}
	}
	return n
}

// left returns how long a timer has to run.
func (e *Env) left(sub []byte) (time.Duration, errno) {
	id := uint64(binary.LittleEndian.Uint32(sub[16:]))
	timeout := int64(min(binary.LittleEndian.Uint64(sub[24:]), math.MaxInt64))
	flags := binary.LittleEndian.Uint16(sub[40:])
	if id > clockMonotonic || flags > clockAbsolute {
		return 0, eInval
	}
	if flags&clockAbsolute == 0 {
		return time.Duration(timeout), success
	}
	now, err := e.clock(id)
	if err != nil {
		return 0, errnoOf(err)
	}
	return time.Duration(timeout - now), success
}

// ready says how many bytes a descriptor has for an event.
func (e *Env) ready(fd uint64, event byte) (uint64, errno) {
	d, code := e.files.at(fd, 0)
	need := rightFDRead
	if event == eventWrite {
		need = rightFDWrite
	}
	switch {
	case code != success:
		return 0, code
	case d.kind == kindDir || d.base&need == 0:
		return 0, eBadf
	case d.kind == kindStdin:
		return uint64(len(e.input) - e.inputAt), success
	case d.kind != kindFile || event == eventWrite:
		return 0, success
	}
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return 0, errnoOf(err)
	}
	at, err := unix.Seek(d.fd, 0, unix.SEEK_CUR)
	if err != nil {
		return 0, errnoOf(err)
	}
	return uint64(max(st.Size-at, 0)), success
}

func putEvent(out, sub []byte, code errno, bytes uint64) int {
	clear(out[:sizeEvent])
	copy(out, sub[:8])
	binary.LittleEndian.PutUint16(out[8:], uint16(code))
	out[10] = sub[8]
	binary.LittleEndian.PutUint64(out[16:], bytes)
	return 1
}

// sleep waits without the core, and returns the cause when the invocation is over first.
func (e *Env) sleep(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	var over error
	e.away(func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-e.ctx.Done():
			over = context.Cause(e.ctx)
		}
	})
	return over
}
