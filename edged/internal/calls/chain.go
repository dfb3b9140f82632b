package calls

import (
	"errors"
	"fmt"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Follow has the result of an invocation that is about to be submitted go through further functions of its app, in order: each gets
// the body that the one before has answered with, and the answer of the last is the answer. A failure ends the chain and names the step.
// The responses of all are kept whole.
func (c *Calls) Follow(inv *invoke.Invocation, steps []invoke.FunctionName) {
	chain := &chain{calls: c, first: inv, done: inv.Done, steps: steps}
	inv.Done, inv.Stream = chain.ended, nil
}

// chain is an invocation with functions that follow on it. Its steps run one after the other.
type chain struct {
	calls *Calls
	first *invoke.Invocation
	done  func(*invoke.Invocation, invoke.Result)
	steps []invoke.FunctionName // still to come
}

// ended is the Done of every step.
func (f *chain) ended(inv *invoke.Invocation, result invoke.Result) {
	if inv != f.first {
		inv.Stamps.Sent = time.Now()
		f.calls.options.Ended(inv, statusOf(result))
	}
	if result.Err != nil {
		result.Err = stepError(inv.Function, result.Err)
	}
	if result.Err != nil || len(f.steps) == 0 {
		f.first.Stamps.Ended = inv.Stamps.Ended
		f.done(f.first, result)
		return
	}
	name := f.steps[0]
	f.steps = f.steps[1:]
	if err := f.start(inv, name, result.Body); err != nil {
		f.done(f.first, invoke.Result{Err: stepError(name, err), More: result.More})
	}
}

// start submits the next step.
func (f *chain) start(before *invoke.Invocation, name invoke.FunctionName, input []byte) error {
	fn, err := f.calls.options.Functions(f.first.App, name)
	if err != nil {
		return err
	}
	inv := f.calls.invocation(fn, input, before.Next(), f.first.Deadline)
	inv.Done = f.ended
	return f.calls.admit(inv)
}

// stepError names the step of a chain that has failed, and keeps what kind of failure it is.
func stepError(name invoke.FunctionName, err error) error {
	var known *invoke.Error
	if !errors.As(err, &known) {
		return fmt.Errorf("step %s of the chain: %w", name, err)
	}
	detail := known.Detail
	if detail == "" {
		detail = known.Kind.Error()
	}
	return &invoke.Error{
		Kind: known.Kind, Detail: fmt.Sprintf("step %s of the chain: %s", name, detail), Cause: known.Cause, RetryAfter: known.RetryAfter,
	}
}

// statusOf returns the HTTP status of a result.
func statusOf(result invoke.Result) int {
	switch {
	case result.Err != nil:
		return invoke.Status(result.Err)
	case result.Status == 0:
		return 200
	}
	return result.Status
}
