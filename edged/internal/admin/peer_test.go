package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
)

func TestAllowed(t *testing.T) {
	cases := []struct {
		name string
		uid  int64
		own  int
		want bool
	}{
		{"root", 0, 1000, true},
		{"the daemon's own user", 1000, 1000, true},
		{"another user", 1001, 1000, false},
		{"another user, daemon of root", 1001, 0, false},
		{"unknown peer", nobody, 1000, false},
		{"unknown peer, own user unknown", nobody, -1, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := allowed(tc.uid, tc.own); got != tc.want {
				t.Errorf("allowed(%d, %d) = %t", tc.uid, tc.own, got)
			}
		})
	}
}

// FuzzReadEvents feeds streams of any content: they end in exactly one last event or an error of a known kind.
func FuzzReadEvents(f *testing.F) {
	for _, seed := range []string{"", "{}\n", `{"end":true}`, `{"progress":{"stage":"x"}}` + "\n" + `{"result":{"app":"a"}}`, `{"error":{"kind":"denied"}}`, "null\n[]", "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		last := 0
		err := readEvents(t.Context(), bytes.NewReader(data), func(e event) (bool, error) {
			if e.Result != nil || e.End {
				last++
				return true, nil
			}
			return false, nil
		})
		if (err == nil) != (last == 1) {
			t.Fatalf("%d last events and error %v", last, err)
		}
		var known *Error
		if err != nil && !errors.As(err, &known) {
			t.Fatalf("error %T %v", err, err)
		}
	})
}

// FuzzProblem decodes any problem document: it becomes an error with a kind of this package.
func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"kind":"invalid","detail":"x","remedy":"y"}`))
	f.Add([]byte(`{"kind":"from-the-future"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p problem
		if json.Unmarshal(data, &p) != nil {
			return
		}
		var e *Error
		if err := p.asError(); !errors.As(err, &e) || e.Kind == nil || e.Error() == "" {
			t.Fatalf("problem %q became %v", data, err)
		}
	})
}
