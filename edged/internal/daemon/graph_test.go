package daemon

import "testing"

func TestGraphParam(t *testing.T) {
	for query, want := range map[string]struct {
		rest  string
		asked bool
	}{
		"":                    {"", false},
		"wait=graph":          {"", true},
		"a=1&wait=graph&b=2":  {"a=1&b=2", true},
		"a=wait=graph":        {"a=wait=graph", false},
		"wait=graphs":         {"wait=graphs", false},
		"await=graph&x":       {"await=graph&x", false},
		"wait=graph&&a":       {"&a", true},
		"wait=graph&wait=foo": {"wait=foo", true},
	} {
		if rest, asked := withoutGraphParam(query); rest != want.rest || asked != want.asked {
			t.Errorf("%q: %q, %v; want %q, %v", query, rest, asked, want.rest, want.asked)
		}
	}
}
