package router_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/router"
)

// target is a deployed function that has only its name.
type target struct{ app, function string }

func (t target) Name() (invoke.AppName, invoke.FunctionName) {
	return invoke.AppName(t.app), invoke.FunctionName(t.function)
}

// entry is shop/cart with path and methods.
func entry(name, path string, methods ...string) router.Entry {
	app, function, _ := strings.Cut(name, "/")
	return router.Entry{
		App: invoke.AppName(app), Function: invoke.FunctionName(function), Path: path, Methods: methods,
		Target: target{app, function},
	}
}

func build(tb testing.TB, entries ...router.Entry) *router.Router {
	tb.Helper()
	table, err := router.Build(entries)
	if err != nil {
		tb.Fatalf("build: %v", err)
	}
	r := new(router.Router)
	r.Swap(table)
	return r
}

func shop(tb testing.TB) *router.Router {
	tb.Helper()
	return build(tb,
		entry("shop", ""),
		entry("shop/cart", ""),
		entry("shop/list", "/shop/list", "GET"),
		entry("shop/order", "/shop/orders/{id}", "GET", "POST"),
		entry("shop/cancel", "/shop/orders/{id}", "DELETE"),
		entry("shop/recent", "/shop/orders/recent"),
		entry("shop/items", "/shop/orders/{order}/items/{item}/*"),
		entry("hello/hello", ""),
	)
}

func TestRoute(t *testing.T) {
	r := shop(t)
	cases := []struct {
		name, method, path string
		want               string // function's name, or error
		route, info        string
		params             map[string]string
	}{
		{"function", "GET", "/shop/cart", "cart", "/shop/cart", "", nil},
		{"function, any method", "PURGE", "/shop/cart", "cart", "/shop/cart", "", nil},
		{"function below", "POST", "/shop/cart/a/b", "cart", "/shop/cart", "/a/b", nil},
		{"function, slash", "GET", "/shop/cart/", "cart", "/shop/cart", "/", nil},
		{"function, empty segments", "GET", "/shop/cart//x//", "cart", "/shop/cart", "//x//", nil},
		{"command app", "GET", "/shop", "", "/shop", "", nil},
		{"command app, slash", "GET", "/shop/", "", "/shop", "/", nil},
		{"command app below", "GET", "/shop/cartoon", "", "/shop", "/cartoon", nil},
		{"empty segment is no function", "GET", "/shop//cart", "", "/shop", "//cart", nil},
		{"exact", "GET", "/shop/list", "list", "/shop/list", "", nil},
		{"exact does not go below", "GET", "/shop/list/x", "", "/shop", "/list/x", nil},
		{"exact does not take a slash", "GET", "/shop/list/", "", "/shop", "/list/", nil},
		{"head where get is", "HEAD", "/shop/list", "list", "/shop/list", "", nil},
		{"part", "GET", "/shop/orders/17", "order", "/shop/orders/{id}", "", map[string]string{"id": "17"}},
		{"part, other method, other function", "DELETE", "/shop/orders/17", "cancel", "/shop/orders/{id}", "", map[string]string{"id": "17"}},
		{"literal before part", "GET", "/shop/orders/recent", "recent", "/shop/orders/recent", "", nil},
		{"back from literal to part", "GET", "/shop/orders/recent/items/9", "items", "/shop/orders/{order}/items/{item}", "", map[string]string{"order": "recent", "item": "9"}},
		{"parts and rest", "GET", "/shop/orders/1/items/2/x/y", "items", "/shop/orders/{order}/items/{item}", "/x/y", map[string]string{"order": "1", "item": "2"}},
		{"empty part is none", "GET", "/shop/orders/", "", "/shop", "/orders/", nil},
		{"encoded letters", "GET", "/sh%6fp/c%61rt/%41", "cart", "/shop/cart", "/%41", nil},
		{"encoded slash in a part", "GET", "/shop/orders/a%2Fb", "order", "/shop/orders/{id}", "", map[string]string{"id": "a/b"}},
		{"encoded slash makes no segment", "GET", "/shop%2Fcart", "404", "", "", nil},
		{"encoded slash before a function", "GET", "/shop/cart%2fx", "", "/shop", "/cart%2fx", nil},
		{"upper case is another app", "GET", "/Shop/cart", "404", "", "", nil},
		{"405", "POST", "/shop/list", "405 GET, HEAD", "", "", nil},
		{"405 lists all functions of the pattern", "PUT", "/shop/orders/1", "405 DELETE, GET, HEAD, POST", "", "", nil},
		{"no app", "GET", "/other", "404", "", "", nil},
		{"root", "GET", "/", "404", "", "", nil},
		{"app without command", "GET", "/hello", "404", "", "", nil},
		{"function with the app's name", "GET", "/hello/hello", "hello", "/hello/hello", "", nil},
		{"star", "OPTIONS", "*", "404", "", "", nil},
		{"empty", "GET", "", "404", "", "", nil},
		{"system", "GET", "/_edged/livez", "404", "", "", nil},
		{"system, encoded", "GET", "/%5fedged/livez", "404", "", "", nil},
		{"double slash first", "GET", "//shop/cart", "404", "", "", nil},
		{"dot segments", "GET", "/shop/../hello/hello", "404", "", "", nil},
		{"dot segments in the rest", "GET", "/shop/cart/../../hello/hello", "404", "", "", nil},
		{"dot segments at the end", "GET", "/shop/cart/..", "404", "", "", nil},
		{"single dot", "GET", "/shop/./cart", "404", "", "", nil},
		{"encoded dots", "GET", "/shop/%2e%2e/hello/hello", "404", "", "", nil},
		{"half encoded dots", "GET", "/shop/.%2E/hello/hello", "404", "", "", nil},
		{"encoded single dot", "GET", "/shop/cart/%2e/x", "404", "", "", nil},
		{"dots in a name", "GET", "/shop/cart/...", "cart", "/shop/cart", "/...", nil},
		{"twice encoded dots are a name", "GET", "/shop/cart/%252e%252e/x", "cart", "/shop/cart", "/%252e%252e/x", nil},
		{"backslash stays itself", "GET", `/shop/cart/..\..\x`, "cart", "/shop/cart", `/..\..\x`, nil},
		{"bad encoding", "GET", "/shop/cart/%zz", "404", "", "", nil},
		{"cut encoding", "GET", "/shop/cart/%4", "404", "", "", nil},
		{"encoded nul", "GET", "/shop/cart/a%00b", "404", "", "", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inv := &invoke.Invocation{Request: invoke.Request{Method: c.method, Path: c.path}}
			allow, err := r.Route(inv)
			got := string(inv.Function)
			switch {
			case errors.Is(err, invoke.ErrNotFound):
				got = "404"
			case errors.Is(err, invoke.ErrMethodNotAllowed):
				got = "405 " + strings.Join(allow, ", ")
			case err != nil:
				t.Fatal(err)
			}
			if got != c.want {
				t.Fatalf("got %q (%v), want %q", got, err, c.want)
			}
			if err != nil {
				var e *invoke.Error
				if !errors.As(err, &e) || e.Detail == "" || inv.Target != nil {
					t.Fatalf("error %#v, target %v", err, inv.Target)
				}
				return
			}
			if app, function := inv.Target.Name(); app != inv.App || function != inv.Function {
				t.Errorf("target is %s/%s", app, function)
			}
			req := inv.Request
			if req.Route != c.route || req.PathInfo != c.info || !maps.Equal(req.Params, c.params) {
				t.Errorf("route %q info %q params %v, want %q %q %v", req.Route, req.PathInfo, req.Params, c.route, c.info, c.params)
			}
		})
	}
}

func TestRouteDeadline(t *testing.T) {
	e := entry("a/f", "")
	e.Deadline = time.Minute
	r := build(t, e, entry("a/g", ""))
	arrived := time.Unix(1000, 0)
	inv := &invoke.Invocation{Request: invoke.Request{Method: "GET", Path: "/a/f"}}
	inv.Stamps.Arrived = arrived
	if _, err := r.Route(inv); err != nil || !inv.Deadline.Equal(arrived.Add(time.Minute)) {
		t.Errorf("deadline %v, %v", inv.Deadline, err)
	}
	inv = &invoke.Invocation{Request: invoke.Request{Method: "GET", Path: "/a/g"}}
	if _, err := r.Route(inv); err != nil || !inv.Deadline.IsZero() {
		t.Errorf("deadline %v, %v; want none", inv.Deadline, err)
	}
}

func TestRouteWithoutTable(t *testing.T) {
	var r router.Router
	if _, err := r.Route(&invoke.Invocation{Request: invoke.Request{Method: "GET", Path: "/a"}}); !errors.Is(err, invoke.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestBuildRefuses(t *testing.T) {
	cases := []struct {
		name    string
		entries []router.Entry
		want    error
		says    []string
	}{
		{"same function twice", []router.Entry{entry("a/f", ""), entry("a/f", "")}, router.ErrConflict, []string{"a/f and a/f"}},
		{"same path", []router.Entry{entry("a/f", "/a/x"), entry("a/g", "/a/x")}, router.ErrConflict, []string{"a/f", "a/g", "/a/x", "every method"}},
		{"same shape", []router.Entry{entry("a/f", "/a/{x}", "GET"), entry("a/g", "/a/{y}", "GET", "PUT")}, router.ErrConflict, []string{"a/f", "a/g", "GET, HEAD"}},
		{"get brings head", []router.Entry{entry("a/f", "/a/x", "GET"), entry("a/g", "/a/x", "HEAD")}, router.ErrConflict, []string{"HEAD"}},
		{"any and one", []router.Entry{entry("a/f", "/a/x"), entry("a/g", "/a/x", "PUT")}, router.ErrConflict, []string{"PUT"}},
		{"system name", []router.Entry{entry("_edged/livez", "")}, router.ErrEntry, []string{"_edged"}},
		{"upper case app", []router.Entry{entry("App/f", "")}, router.ErrEntry, nil},
		{"no app", []router.Entry{entry("", "")}, router.ErrEntry, nil},
		{"long app", []router.Entry{entry(strings.Repeat("a", 64), "")}, router.ErrEntry, nil},
		{"bad function", []router.Entry{entry("a/f.g", "")}, router.ErrEntry, nil},
		{"no target", []router.Entry{{App: "a", Function: "f"}}, router.ErrEntry, []string{"target"}},
		{"outside the app", []router.Entry{entry("a/f", "/b/f")}, router.ErrEntry, []string{"outside /a"}},
		{"outside by prefix", []router.Entry{entry("a/f", "/ab")}, router.ErrEntry, []string{"outside /a"}},
		{"outside by dots", []router.Entry{entry("a/f", "/a/../b")}, router.ErrEntry, nil},
		{"part as app", []router.Entry{entry("a/f", "/{x}/f")}, router.ErrEntry, nil},
		{"everything", []router.Entry{entry("a/f", "/*")}, router.ErrEntry, nil},
		{"relative", []router.Entry{entry("a/f", "a/f")}, router.ErrEntry, nil},
		{"empty segment", []router.Entry{entry("a/f", "/a//f")}, router.ErrEntry, nil},
		{"slash at the end", []router.Entry{entry("a/f", "/a/f/")}, router.ErrEntry, nil},
		{"star inside", []router.Entry{entry("a/f", "/a/*/f")}, router.ErrEntry, nil},
		{"encoding", []router.Entry{entry("a/f", "/a/%66")}, router.ErrEntry, nil},
		{"query", []router.Entry{entry("a/f", "/a/f?x")}, router.ErrEntry, nil},
		{"half a segment in braces", []router.Entry{entry("a/f", "/a/x{y}")}, router.ErrEntry, nil},
		{"open brace", []router.Entry{entry("a/f", "/a/{y")}, router.ErrEntry, nil},
		{"no name in braces", []router.Entry{entry("a/f", "/a/{}")}, router.ErrEntry, nil},
		{"a name twice", []router.Entry{entry("a/f", "/a/{x}/{x}")}, router.ErrEntry, []string{"twice"}},
		{"method in lower case", []router.Entry{entry("a/f", "", "get")}, router.ErrEntry, []string{"get"}},
		{"too deep", []router.Entry{entry("a/f", "/a"+strings.Repeat("/x", 40))}, router.ErrEntry, nil},
		{"all are reported", []router.Entry{entry("a/f", "/b"), entry("c/g", "/d")}, router.ErrEntry, []string{"a/f", "c/g"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			table, err := router.Build(c.entries)
			if !errors.Is(err, c.want) || table != nil {
				t.Fatalf("got %v, %v; want %v", table, err, c.want)
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
		})
	}
}

func TestRoutesAreListedInOrder(t *testing.T) {
	got := shop(t).Table().Routes()
	if !slices.IsSorted(got) || !slices.Contains(got, "/shop/cart/*") || len(got) != 8 {
		t.Errorf("got %q", got)
	}
}

// slow is the specification of matching, written without a tree: of all patterns that match, the one that is first in
// the order of precedence, segment by segment.
func slow(patterns []string, path string) (string, bool) {
	best, bestRank := "", ""
	for _, p := range patterns {
		prefix, below := strings.CutSuffix(p, "/*")
		want, have := strings.Split(prefix[1:], "/"), strings.Split(path[1:], "/")
		if len(have) < len(want) || len(have) > len(want) && !below {
			continue
		}
		rank, ok := "", true
		for i, w := range want {
			segment, err := url.PathUnescape(have[i])
			switch {
			case err != nil:
				ok = false
			case w[0] == '{' && have[i] != "":
				rank += "1"
			case w == segment:
				rank += "2"
			default:
				ok = false
			}
		}
		if !below {
			rank += "3" // ends here: before everything of the same length
		}
		if ok && (best == "" || rank > bestRank) {
			best, bestRank = p, rank
		}
	}
	return best, best != ""
}

// TestRouteModel compares random tables and paths with the specification.
func TestRouteModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	parts := []string{"x", "y", "z", "{p}"}
	segments := []string{"x", "y", "z", "w", "%78", "", "a"}
	for range 2000 {
		var entries []router.Entry
		var patterns []string
		for range 1 + rnd.IntN(8) {
			pattern := []string{"/a"}
			for i := range rnd.IntN(4) {
				s := parts[rnd.IntN(len(parts))]
				if s == "{p}" {
					s = fmt.Sprintf("{p%d}", i)
				}
				pattern = append(pattern, s)
			}
			if rnd.IntN(2) == 0 {
				pattern = append(pattern, "*")
			}
			p := strings.Join(pattern, "/")
			if !slices.Contains(patterns, p) {
				patterns = append(patterns, p)
				entries = append(entries, entry(fmt.Sprintf("a/f%d", len(entries)), p))
			}
		}
		r := build(t, entries...)
		for range 20 {
			walk := []string{"/a"}
			for range rnd.IntN(6) {
				walk = append(walk, segments[rnd.IntN(len(segments))])
			}
			path := strings.Join(walk, "/")
			want, ok := slow(patterns, path)
			inv := &invoke.Invocation{Request: invoke.Request{Method: "GET", Path: path}}
			_, err := r.Route(inv)
			if (err == nil) != ok {
				t.Fatalf("patterns %q, path %s: %v, want %q", patterns, path, err, want)
			}
			if err == nil && inv.Request.Route != strings.TrimSuffix(want, "/*") {
				t.Fatalf("patterns %q, path %s: route %s, want %s", patterns, path, inv.Request.Route, want)
			}
		}
	}
}

// TestSwapHammer swaps tables while others route: every answer is from one table or the other, whole.
func TestSwapHammer(t *testing.T) {
	tables := make([]*router.Table, 2)
	for i := range tables {
		table, err := router.Build([]router.Entry{entry(fmt.Sprintf("a/f%d", i), "/a/x/{p}")})
		if err != nil {
			t.Fatal(err)
		}
		tables[i] = table
	}
	var r router.Router
	r.Swap(tables[0])
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5000 {
				inv := &invoke.Invocation{Request: invoke.Request{Method: "GET", Path: "/a/x/1"}}
				if _, err := r.Route(inv); err != nil {
					t.Error(err)
					return
				}
				if _, function := inv.Target.Name(); function != inv.Function {
					t.Errorf("target %s of function %s", function, inv.Function)
					return
				}
			}
		})
	}
	for i := range 5000 {
		if was := r.Swap(tables[(i+1)%2]); was != tables[i%2] {
			t.Error("Swap returned another table")
		}
	}
	wg.Wait()
}

// FuzzRoute checks that no path leaves the app it names, decoded or not.
func FuzzRoute(f *testing.F) {
	for _, p := range []string{"/shop/cart", "/shop/../hello/hello", "/shop/%2e%2e/x", "/shop/orders/%2f", "//", "/%", "/shop/%00"} {
		f.Add(p)
	}
	r := shop(f)
	f.Fuzz(func(t *testing.T, path string) {
		inv := &invoke.Invocation{Request: invoke.Request{Method: "GET", Path: path}}
		if _, err := r.Route(inv); err != nil {
			return
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			t.Fatalf("%q was routed and is no path", path)
		}
		if !strings.HasPrefix(decoded, "/"+string(inv.App)) {
			t.Fatalf("%q went to %s", path, inv.App)
		}
		if !strings.HasSuffix(path, inv.Request.PathInfo) {
			t.Fatalf("%q has the rest %q", path, inv.Request.PathInfo)
		}
		for s := range strings.SplitSeq(path, "/") {
			if s, _ = url.PathUnescape(s); s == ".." || s == "." {
				t.Fatalf("%q was routed with a dot segment", path)
			}
		}
	})
}

func TestRouteStaticDoesNotAllocate(t *testing.T) {
	r := shop(t)
	inv := &invoke.Invocation{Request: invoke.Request{Method: "POST", Path: "/shop/cart/a/b"}}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Route(inv); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRoute(b *testing.B) {
	for _, path := range []string{"/shop/cart", "/shop/orders/17", "/nothing/here"} {
		b.Run(path[1:], func(b *testing.B) {
			r := shop(b)
			inv := &invoke.Invocation{Request: invoke.Request{Method: "GET", Path: path}}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = r.Route(inv)
			}
		})
	}
}

func ExampleRouter() {
	table, err := router.Build([]router.Entry{
		{App: "shop", Function: "order", Path: "/shop/orders/{id}", Methods: []string{"GET"}, Target: target{"shop", "order"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var r router.Router
	r.Swap(table)
	inv := &invoke.Invocation{Request: invoke.Request{Method: "GET", Path: "/shop/orders/17"}}
	if _, err := r.Route(inv); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(inv.Function, inv.Request.Params["id"])
	// Output: order 17
}
