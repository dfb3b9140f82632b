package engines

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"edged.dev/edge/bench/inprocess/contest"
	"edged.dev/edge/wasmedge"
)

// edgedKernels runs the kernels on a guest thread, stopped every slice when the setup names one.
func edgedKernels(setup Setup, serve func(contest.Perform) error) error {
	e, err := openEdged(setup, nil)
	if err != nil {
		return err
	}
	t, players, err := newTurns(e, 1, setup.CPUs)
	if err != nil {
		return err
	}
	slice, how := time.Duration(setup.Slice)*time.Microsecond, never
	if slice > 0 {
		how = byItself
	}
	call := func(export string, result bool) (value uint64, err error) {
		err = t.run(players, how, slice, func(p *player) (err error) {
			value, err = p.call(export, result)
			return err
		})
		return value, err
	}
	return serve(kernels(call, t.switches.Load))
}

// edgedTurns runs a kernel in two guests on one core. A job is the kernel, how the guests are stopped and the slice in
// microseconds, as in "lu/turns/1000".
func edgedTurns(setup Setup, serve func(contest.Perform) error) error {
	e, err := openEdged(setup, nil)
	if err != nil {
		return err
	}
	t, players, err := newTurns(e, 2, setup.CPUs)
	if err != nil {
		return err
	}
	return serve(func(job string, count int) (contest.Round, error) {
		kernel, how, slice, err := turnsJob(job)
		if err != nil {
			return contest.Round{}, err
		}
		return t.measure(players, kernel, how, slice, count)
	})
}

// turnsJob takes the name of a job of edgedTurns apart.
func turnsJob(job string) (kernel string, how stopping, slice time.Duration, err error) {
	fields := strings.Split(job, "/")
	modes := map[string]stopping{"none": never, "turns": inTurns, "self": byItself, "signal": bySignal}
	if len(fields) != 3 {
		return "", 0, 0, fmt.Errorf("%w job %q", ErrUnknown, job)
	}
	how, known := modes[fields[1]]
	microseconds, err := strconv.Atoi(fields[2])
	if !known || err != nil {
		return "", 0, 0, fmt.Errorf("%w job %q", ErrUnknown, job)
	}
	return fields[0], how, time.Duration(microseconds) * time.Microsecond, nil
}

// measure runs a kernel count times in every guest and takes the time of all together.
func (t *turns) measure(players []*player, kernel string, how stopping, slice time.Duration, count int) (contest.Round, error) {
	round := contest.Round{Ops: count}
	for range count {
		if err := t.run(players, never, 0, func(p *player) error { _, err := p.call(kernel+"_init", false); return err }); err != nil {
			return round, err
		}
		switches, clock := t.switches.Load(), t.clockCPU.Load()
		cpu, err := contest.CPUTime()
		if err != nil {
			return round, err
		}
		begun := time.Now()
		if err := t.run(players, how, slice, func(p *player) error { _, err := p.call(kernel+"_run", false); return err }); err != nil {
			return round, err
		}
		round.Wall += int64(time.Since(begun))
		after, err := contest.CPUTime()
		if err != nil {
			return round, err
		}
		round.CPU += after - cpu
		round.Switches += t.switches.Load() - switches
		round.Clock += t.clockCPU.Load() - clock
		if round.Check, err = t.sameCheck(players, kernel); err != nil {
			return round, err
		}
	}
	return round, nil
}

// sameCheck returns the hash of the results, which must be the same in every guest.
func (t *turns) sameCheck(players []*player, kernel string) (string, error) {
	checks := make(map[uint64]int)
	err := t.run(players, never, 0, func(p *player) error {
		check, err := p.call(kernel+"_check", true)
		checks[check]++ // one player runs at a time
		return err
	})
	if err != nil {
		return "", err
	}
	if len(checks) != 1 {
		return "", fmt.Errorf("%w: the guests computed different things: %x", errWrongAnswer, checks)
	}
	for check := range checks {
		return fmt.Sprintf("%016x", check), nil
	}
	return "", errWrongAnswer
}

// fibArgument is what the workers of edgedScale compute, and fibResult what must come out.
const (
	fibArgument = 27
	fibResult   = 196418
)

// edgedScale computes on as many threads as the job says, each on a core of its own with an instance of its own that is put
// back to its template after every call.
func edgedScale(setup Setup, serve func(contest.Perform) error) error {
	e, err := openEdged(setup, exchangeFuncs())
	if err != nil {
		return err
	}
	var template *wasmedge.Template
	if err := e.on(func(t *wasmedge.Thread) (err error) {
		template, err = e.template(t, noStartUp)
		return err
	}); err != nil {
		return err
	}
	workers := make([]*scaleWorker, len(setup.CPUs))
	for i, cpu := range setup.CPUs {
		w := &scaleWorker{done: make(chan error, 1)}
		if err := start(e, func(thread *wasmedge.Thread) (err error) {
			w.thread = thread
			if err := thread.Pin(cpu); err != nil {
				return err
			}
			w.instance, err = thread.InstantiateFrom(template)
			return err
		}, w.loop); err != nil {
			return err
		}
		workers[i] = w
	}
	return serve(func(job string, count int) (contest.Round, error) {
		n, err := strconv.Atoi(job)
		if err != nil || n < 1 || n > len(workers) {
			return contest.Round{}, fmt.Errorf("%w job %q: %d workers", ErrUnknown, job, len(workers))
		}
		return measureScale(workers[:n], count)
	})
}

// scaleWorker is a thread that computes when it is woken.
type scaleWorker struct {
	thread   *wasmedge.Thread
	instance *wasmedge.Instance
	count    int        // calls to make; set before the thread is woken
	done     chan error // one message each time it was woken
}

func (w *scaleWorker) loop() {
	for {
		w.thread.Wait()
		w.done <- w.compute()
	}
}

func (w *scaleWorker) compute() error {
	i32 := []wasmedge.ValType{wasmedge.I32}
	fib, err := w.instance.Func("fib", wasmedge.FuncType{Params: i32, Results: i32})
	if err != nil {
		return err
	}
	for range w.count {
		stack := [1]uint64{fibArgument}
		if err := w.thread.Call(w.instance, fib, nil, stack[:]); err != nil {
			return err
		}
		if uint32(stack[0]) != fibResult {
			return fmt.Errorf("%w: fib(%d) = %d", errWrongAnswer, fibArgument, stack[0])
		}
		if err := w.instance.Reset(); err != nil {
			return err
		}
	}
	return nil
}

// measureScale lets every worker make count calls at once.
func measureScale(workers []*scaleWorker, count int) (contest.Round, error) {
	cpu, err := contest.CPUTime()
	if err != nil {
		return contest.Round{}, err
	}
	begun := time.Now()
	for _, w := range workers {
		w.count = count
		w.thread.Wake()
	}
	var errs []error
	for _, w := range workers {
		errs = append(errs, <-w.done)
	}
	wall := time.Since(begun)
	after, err := contest.CPUTime()
	return contest.Round{Ops: count * len(workers), Wall: int64(wall), CPU: after - cpu}, errors.Join(append(errs, err)...)
}
