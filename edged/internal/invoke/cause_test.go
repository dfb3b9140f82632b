package invoke

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTrailKeepsTheLast(t *testing.T) {
	inv := &Invocation{App: "a", Function: "f0"}
	for n := range 40 {
		inv = &Invocation{App: "a", Function: FunctionName(fmt.Sprintf("f%d", n+1)), Cause: inv.Next()}
	}
	if inv.Cause.Depth != 40 || len(inv.Cause.Trail) != MaxTrail {
		t.Fatalf("depth %d, trail %q", inv.Cause.Depth, inv.Cause.Trail)
	}
	if first, last := inv.Cause.Trail[0], inv.Cause.Trail[MaxTrail-1]; first != "a/f24" || last != "a/f39" {
		t.Errorf("trail from %s to %s, want a/f24 to a/f39", first, last)
	}
}

// TestTrailsAreApart has two invocations continue the same trail: neither may write over the other's.
func TestTrailsAreApart(t *testing.T) {
	parent := &Invocation{App: "a", Function: "f"}
	one := &Invocation{App: "a", Function: "one", Cause: parent.Next()}
	two := &Invocation{App: "a", Function: "two", Cause: parent.Next()}
	first := one.Next()
	second := two.Next()
	if !slices.Equal(first.Trail, []string{"a/f", "a/one"}) || !slices.Equal(second.Trail, []string{"a/f", "a/two"}) {
		t.Errorf("trails %q and %q", first.Trail, second.Trail)
	}
}

func TestGraph(t *testing.T) {
	g := NewGraph()
	g.Add()
	g.End(nil)
	select {
	case <-g.Over():
		t.Fatal("over while a part is pending")
	default:
	}
	cause := errors.New("broken")
	g.End(cause)
	<-g.Over()
	if !errors.Is(g.Err(), cause) {
		t.Errorf("error %v, want %v", g.Err(), cause)
	}
	var nobody *Graph
	nobody.Add()
	nobody.End(cause)
}

func TestDepth(t *testing.T) {
	for _, c := range []struct {
		depth, base int
		says        string // "": allowed
	}{
		{0, 0, ""},
		{MaxDepth, 0, ""},
		{MaxDepth + 1, 0, "have called each other"},
		{MaxDepth + 1, 1, ""},
		{MaxEventDepth, MaxEventDepth, ""},
		{MaxEventDepth + 1, MaxEventDepth + 1, "have started each other"},
	} {
		cause := Cause{Depth: c.depth, Base: c.base, Trail: []string{"a/x", "a/f", "a/g"}}
		err := cause.Check("a", "f")
		if (err == nil) != (c.says == "") {
			t.Errorf("depth %d, base %d: %v", c.depth, c.base, err)
			continue
		}
		if err != nil && (!errors.Is(err, ErrDepth) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "a/f -> a/g -> a/f;")) {
			t.Errorf("depth %d, base %d: %v", c.depth, c.base, err)
		}
	}
	cause := Cause{Depth: MaxDepth + 1, Trail: []string{"a/x"}}
	if err := cause.Check("a", "f"); err == nil || !strings.Contains(err.Error(), "a/x -> a/f; split") {
		t.Errorf("without a cycle: %v", err)
	}
}
