package keypattern_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"edged.dev/edge/kvstore/keypattern"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, key string
		want         map[string]string // nil: no match
	}{
		{"a", "a", map[string]string{}},
		{"a", "ab", nil},
		{"a", "", nil},
		{"slice_{}", "slice_17", map[string]string{"0": "17"}},
		{"slice_{}", "slice_", nil},
		{"slice_{}", "slice_1_2", nil},
		{"slice_{}", "slice_ä", nil},
		{"{user}/{}/cart", "Ann/7/cart", map[string]string{"user": "Ann", "1": "7"}},
		{"{user}/{}/cart", "Ann//cart", nil},
		{"log/*", "log/", map[string]string{"*": ""}},
		{"log/*", "log/a/b", map[string]string{"*": "a/b"}},
		{"log/*", "log", nil},
		{"*", "anything\x00at all", map[string]string{"*": "anything\x00at all"}},
		{"{}*", "ab-c", map[string]string{"0": "ab", "*": "-c"}},
		{"{}", "x\x00", nil},
	} {
		p, err := keypattern.Parse(c.pattern)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.pattern, err)
			continue
		}
		got, ok := p.Bind(c.key)
		if ok != (c.want != nil) || !maps.Equal(got, c.want) {
			t.Errorf("%q with %q: %q, %v; want %q", c.pattern, c.key, got, ok, c.want)
		}
		if p.Match([]byte(c.key)) != ok || p.MatchString(c.key) != ok {
			t.Errorf("%q with %q: Match and Bind differ", c.pattern, c.key)
		}
		if ok && !strings.HasPrefix(c.key, p.Prefix()) {
			t.Errorf("%q: prefix %q is not one of %q", c.pattern, p.Prefix(), c.key)
		}
	}
}

func TestRefused(t *testing.T) {
	for pattern, says := range map[string]string{
		"": "1 to 1024", strings.Repeat("k", 1025): "1 to 1024", "a*b": "at the end only", "a}": "does not belong", "{": "without a }",
		"{}{}": "where {} ends", "{a}b": "where {a} ends", "{a b}": "no good name", "{a}_{a}": "twice", "{0}": "no good name", "**": "at the end only",
		strings.Repeat("{}_", 17): "more than 16",
	} {
		_, err := keypattern.Parse(pattern)
		if !errors.Is(err, keypattern.ErrPattern) || !strings.Contains(err.Error(), says) {
			t.Errorf("Parse(%.30q): %v, want a word of %q", pattern, err, says)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	p, err := keypattern.Parse("wordcount_slice_{}")
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("wordcount_slice_000017")
	if n := testing.AllocsPerRun(100, func() { p.Match(key) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPattern compares every pattern that is read with a regular expression that means the same.
func FuzzPattern(f *testing.F) {
	f.Add("slice_{}", "slice_1")
	f.Add("{user}/{}/c*", "a/b/cd")
	f.Add("{}*", "a b")
	segment := regexp.MustCompile(`\\\{[A-Za-z0-9_]*\\\}`)
	f.Fuzz(func(t *testing.T, pattern, key string) {
		p, err := keypattern.Parse(pattern)
		if err != nil {
			return
		}
		text := segment.ReplaceAllString(regexp.QuoteMeta(pattern), "[a-zA-Z0-9]+")
		if head, open := strings.CutSuffix(text, `\*`); open {
			text = head + "(?s:.*)"
		}
		re, err := regexp.Compile(`\A(?:` + text + `)\z`)
		if err != nil {
			return // text that is not UTF-8
		}
		want := re.MatchString(key)
		if got := p.MatchString(key); got != want {
			t.Errorf("%q with %q: %v, the expression %s says %v", pattern, key, got, re, want)
		}
	})
}

func ExamplePattern() {
	p, _ := keypattern.Parse("cart/{user}/*")
	segments, ok := p.Bind("cart/ann/items/7")
	fmt.Println(segments["user"], segments[keypattern.Rest], ok)
	// Output: ann items/7 true
}
