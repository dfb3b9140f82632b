package calls

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
)

// target is a function without an app.
type target struct {
	app invoke.AppName
	fn  invoke.FunctionName
}

func (t target) Name() (invoke.AppName, invoke.FunctionName) { return t.app, t.fn }

// body is what a function of the test does. ctx ends when its invocation is killed.
type body func(ctx context.Context, s *session, input []byte) ([]byte, error)

// world runs functions on goroutines, each as soon as it is submitted.
type world struct {
	*Calls
	t         testing.TB
	functions map[invoke.FunctionName]body
	declared  map[invoke.FunctionName]Function
	ids       atomic.Uint64
	ended     atomic.Int64
	live      sync.WaitGroup // invocations that have been submitted and have not ended
}

func newWorld(t testing.TB, options Options, functions map[invoke.FunctionName]body) *world {
	t.Helper()
	w := &world{t: t, functions: functions, declared: map[invoke.FunctionName]Function{}}
	options.Functions, options.Submit, options.IDs = w.find, w.submit, &w.ids
	options.Ended = func(*invoke.Invocation, int) { w.ended.Add(1) }
	if options.Dir == "" {
		options.Dir = t.TempDir() + "/objects"
	}
	calls, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	w.Calls = calls
	t.Cleanup(func() {
		if err := calls.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) find(app invoke.AppName, fn invoke.FunctionName) (Function, error) {
	if _, found := w.functions[fn]; !found {
		return Function{}, &invoke.Error{Kind: invoke.ErrNotFound, Detail: "no function " + string(fn)}
	}
	f := w.declared[fn]
	f.Target = target{app, fn}
	return f, nil
}

func (w *world) submit(inv *invoke.Invocation) error {
	if err := inv.Cause.Check(inv.App, inv.Function); err != nil {
		return err
	}
	w.live.Go(func() { w.run(inv) })
	return nil
}

func (w *world) run(inv *invoke.Invocation) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if inv.Control != nil {
		if err := inv.Control.Begin(func(why error) { cancel(why) }); err != nil {
			inv.Done(inv, invoke.Result{Err: err})
			return
		}
	}
	s := w.session(inv)
	out, err := w.functions[inv.Function](ctx, s, inv.Request.Body)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if inv.Control != nil {
		inv.Control.End()
	}
	s.Leave()
	inv.Done(inv, invoke.Result{Body: out, Err: err})
}

func (w *world) session(inv *invoke.Invocation) *session {
	return w.For(inv.App, nil).Enter(inv).(*session)
}

// root is an invocation from outside.
func (w *world) root() *session {
	return w.session(&invoke.Invocation{App: "app", Function: "root"})
}

// start starts a call and fails the test when it cannot.
func (w *world) start(s *session, fn string, input string) int64 {
	w.t.Helper()
	id, err := s.Start(&hostfn.Call{Function: fn, Input: []byte(input)})
	if err != nil {
		w.t.Fatalf("start %s: %v", fn, err)
	}
	return id
}

// get waits for an object and returns its bytes.
func get(ctx context.Context, s *session, id int64) ([]byte, error) {
	var ready [1]byte
	if _, err := s.Wait(ctx, []int64{id}, 1, -1, ready[:]); err != nil {
		return nil, err
	}
	out, err := s.Result(id, math.MaxInt)
	if err == nil && out.Err != nil {
		err = out.Err
	}
	return out.Body, err
}

// wantResult fails unless err is a refusal with that result.
func wantResult(t testing.TB, what string, err error, want hostfn.Result) {
	t.Helper()
	var refused *hostfn.CallError
	if !errors.As(err, &refused) || refused.Result != want {
		t.Errorf("%s: %v, want result %d", what, err, want)
	}
}

func echo(_ context.Context, _ *session, input []byte) ([]byte, error) { return input, nil }

// stuck runs until it is killed.
func stuck(ctx context.Context, _ *session, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}
