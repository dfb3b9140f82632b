package pool

import (
	"context"
	"sync"
	"time"
)

// life is the context of the invocations that a worker runs, one after another: it ends when the invocation is to end. Hardly
// any invocation waits for that, so the channel is made when it is first asked for. A life whose channel somebody has is
// not used for another invocation.
type life struct {
	mu     sync.Mutex
	cause  error                   // guarded by mu: why it has ended; nil while it goes on
	inner  context.Context         //nolint:containedctx // guarded by mu: what the channel belongs to; nil until asked for
	cancel context.CancelCauseFunc // guarded by mu: of inner
}

var _ context.Context = (*life)(nil)

// Deadline implements context.Context. There is none to rely on: the invocation may be ended earlier.
func (l *life) Deadline() (time.Time, bool) { return time.Time{}, false }

// Err implements context.Context.
func (l *life) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		return nil
	}
	return context.Canceled
}

// Done implements context.Context.
func (l *life) Done() <-chan struct{} { return l.context().Done() }

// Value implements context.Context; context.Cause looks here for the cause.
func (l *life) Value(key any) any { return l.context().Value(key) }

// context returns the context behind it.
func (l *life) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner == nil {
		l.inner, l.cancel = context.WithCancelCause(context.Background())
		if l.cause != nil {
			l.cancel(l.cause)
		}
	}
	return l.inner
}

// end ends it for that cause; the first one counts.
func (l *life) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return
	}
	l.cause = cause
	if l.cancel != nil {
		l.cancel(cause)
	}
}

// over is called when the invocation has ended. It reports whether the life can be used for the next one, for which it is
// ready then; if not, it has ended for good.
func (l *life) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner == nil {
		l.cause = nil
		return true
	}
	l.cancel(nil)
	if l.cause == nil {
		l.cause = context.Canceled
	}
	return false
}
