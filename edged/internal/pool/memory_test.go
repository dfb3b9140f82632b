//go:build cgo

package pool_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/scheduler"
)

// pageBytes is the size of a page of linear memory.
const pageBytes = 64 << 10

// crew runs invocations on threads of a pool of its own, each to its end and without a queue.
type crew struct {
	t    *testing.T
	pool *pool.Pool
}

func newCrew(t *testing.T, memoryBytes int64) *crew {
	t.Helper()
	return &crew{t, pool.Open(world.engine, pool.Options{Logger: slog.New(slog.DiscardHandler), MemoryBytes: memoryBytes})}
}

// begin starts an invocation; the channel receives its result when its instance has been given back.
func (c *crew) begin(app *pool.App, fn invoke.FunctionName) <-chan invoke.Result {
	c.t.Helper()
	ended := make(chan invoke.Result, 1)
	target := app.Function(fn)
	if err := target.Acquire(); err != nil {
		c.t.Fatal(err)
	}
	inv := &invoke.Invocation{App: "app", Function: fn, Target: target, Stamps: invoke.Stamps{Arrived: time.Now()}}
	if err := c.pool.Go(func(r scheduler.Runner) {
		result := r.Run(inv, nil)
		r.Recycle()
		target.Release()
		ended <- result
	}); err != nil {
		c.t.Fatal(err)
	}
	return ended
}

// call runs an invocation to its end.
func (c *crew) call(app *pool.App, fn invoke.FunctionName) invoke.Result {
	c.t.Helper()
	return receive(c.t, c.begin(app, fn))
}

// keeping makes apps that keep their instances.
func keeping(t *testing.T, n int) []*pool.App {
	t.Helper()
	load := build(t, 1)
	apps := make([]*pool.App, n)
	for i := range apps {
		apps[i] = newApp(t, func(s *pool.Spec) { s.Load, s.Reuse = load, true })
	}
	return apps
}

// instanceBytes returns how much the account has for one instance of the tests' guest.
func instanceBytes(t *testing.T) int64 {
	t.Helper()
	c, app := newCrew(t, 1<<40), keeping(t, 1)[0]
	want(t, c.call(app, "version"), "1", nil)
	used, _ := c.pool.MemoryBytes()
	if used < pageBytes || used%pageBytes != 0 {
		t.Fatalf("one instance counts %d bytes, want some pages of %d", used, pageBytes)
	}
	app.Retire()
	if left, _ := c.pool.MemoryBytes(); left != 0 {
		t.Fatalf("%d bytes are counted without any instance", left)
	}
	return used
}

// TestIdleMakesRoom: the instance that was used longest ago is closed, of whatever app, when the memory is used up.
func TestIdleMakesRoom(t *testing.T) {
	c, apps := newCrew(t, 2*instanceBytes(t)), keeping(t, 3)
	for _, step := range []struct{ call, gone int }{{0, -1}, {1, -1}, {0, -1}, {2, 1}, {1, 0}, {1, -1}, {0, 2}} {
		want(t, c.call(apps[step.call], "version"), "1", nil)
		if step.gone >= 0 && apps[step.gone].Instances() != 0 {
			t.Fatalf("after a call of app %d: app %d has an instance, which was used longest ago", step.call, step.gone)
		}
		if used, limit := c.pool.MemoryBytes(); used > limit {
			t.Fatalf("%d bytes of %d are in use", used, limit)
		}
	}
}

// TestRunningDoNotMakeRoom: what runs stays, and who finds no room is told when to come again.
func TestRunningDoNotMakeRoom(t *testing.T) {
	c, apps := newCrew(t, instanceBytes(t)), keeping(t, 2)
	held := c.begin(apps[0], "held")
	receive(t, world.entered)
	got := c.call(apps[1], "version")
	want(t, got, "", invoke.ErrQueueFull)
	var full *invoke.Error
	if !errors.As(got.Err, &full) || full.RetryAfter <= 0 || !strings.Contains(full.Detail, "limits.memory") {
		t.Errorf("the refusal is %+v", got.Err)
	}
	world.release <- struct{}{}
	want(t, receive(t, held), "1", nil)
	want(t, c.call(apps[1], "version"), "1", nil)
	if n := apps[0].Instances(); n != 0 {
		t.Errorf("%d instances of the other app are left beside one, which is all there is room for", n)
	}
}

// TestMemoriesAreShared: there are more apps than the engine has linear memories. As long as they lie idle they make room for
// each other; what runs does not.
func TestMemoriesAreShared(t *testing.T) {
	c, apps := newCrew(t, 1<<40), keeping(t, memories+4)
	for range 2 {
		for _, app := range apps {
			want(t, c.call(app, "version"), "1", nil)
		}
	}
	if n := world.engine.LiveMemories(); n != memories {
		t.Errorf("%d linear memories live, want all of %d", n, memories)
	}
	var held []<-chan invoke.Result
	for _, app := range apps[:memories] {
		held = append(held, c.begin(app, "held"))
		receive(t, world.entered)
	}
	got := c.call(apps[memories], "version")
	want(t, got, "", invoke.ErrQueueFull)
	if got.Err != nil && !strings.Contains(got.Err.Error(), "every linear memory of this node is in use") {
		t.Errorf("the refusal is %v", got.Err)
	}
	for range held {
		world.release <- struct{}{}
	}
	for _, results := range held {
		want(t, receive(t, results), "1", nil)
	}
	want(t, c.call(apps[memories], "version"), "1", nil)
}

// TestGrowthIsCounted: an instance that is kept counts with what it has grown to.
func TestGrowthIsCounted(t *testing.T) {
	c, app := newCrew(t, 1<<40), keeping(t, 1)[0]
	want(t, c.call(app, "version"), "1", nil)
	before, _ := c.pool.MemoryBytes()
	want(t, c.call(app, "grow"), "1", nil)
	after, _ := c.pool.MemoryBytes()
	if after != before+pageBytes {
		t.Errorf("%d bytes are counted after the guest has grown by a page, %d before", after, before)
	}
}

// TestIdleShrinks: what nobody asks for goes, half of it at a time, and all of it in the end.
func TestIdleShrinks(t *testing.T) {
	c, app := newCrew(t, 1<<40), keeping(t, 1)[0]
	const held = 7
	var all []<-chan invoke.Result
	for range held {
		all = append(all, c.begin(app, "held"))
		receive(t, world.entered)
	}
	for range held {
		world.release <- struct{}{}
	}
	for _, results := range all {
		want(t, receive(t, results), "1", nil)
	}
	for _, left := range []int{held, 3, 1, 0, 0} { // they have been used since the janitor came last
		app.Clean()
		if n := app.Instances(); n != left {
			t.Fatalf("%d instances are left, want %d", n, left)
		}
	}
	if used, _ := c.pool.MemoryBytes(); used != 0 {
		t.Errorf("%d bytes are counted without any instance", used)
	}
	want(t, c.call(app, "version"), "1", nil)
}
