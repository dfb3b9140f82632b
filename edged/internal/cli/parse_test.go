package cli

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cases := []struct {
		in   string
		want time.Time
	}{
		{"90s", now.Add(-90 * time.Second)},
		{"1h30m", now.Add(-90 * time.Minute)},
		{"3d", now.AddDate(0, 0, -3)},
		{"0s", now},
		{"2026-02-28", time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC)},
		{"2026-02-28T10:00:00+02:00", time.Date(2026, 2, 28, 8, 0, 0, 0, time.UTC)},
		{"2026-02-28T10:00:00.5Z", time.Date(2026, 2, 28, 10, 0, 0, 5e8, time.UTC)},
	}
	for _, tc := range cases {
		if got, err := parseSince(tc.in, now); err != nil || !got.Equal(tc.want) {
			t.Errorf("parseSince(%q) = %v, %v, want %v", tc.in, got, err, tc.want)
		}
	}
	for _, bad := range []string{"", "tomorrow", "-5m", "5", "d", "-1d", "99999d", "2026-13-01", "1.5d"} {
		if got, err := parseSince(bad, now); !errors.Is(err, ErrUsage) {
			t.Errorf("parseSince(%q) = %v, %v", bad, got, err)
		}
	}
}

func FuzzParseSince(f *testing.F) {
	for _, seed := range []string{"90s", "3d", "2026-02-28", "2026-02-28T10:00:00Z", "-1h", "9223372036854775807ns"} {
		f.Add(seed)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseSince(text, now)
		if err != nil {
			if !errors.Is(err, ErrUsage) {
				t.Fatalf("%q: error %v is no usage error", text, err)
			}
			return
		}
		if _, notTime := time.Parse("2006", text[:min(4, len(text))]); notTime != nil && got.After(now) {
			t.Fatalf("%q is %v, after now", text, got)
		}
	})
}

func TestParseHeader(t *testing.T) {
	for in, want := range map[string][2]string{
		"A:b":             {"A", "b"},
		"A:  b c \t":      {"A", "b c"},
		"A:":              {"A", ""},
		"Host: x:80":      {"Host", "x:80"},
		"X-Ünï: no":       {},
		"A: \u00fc":       {"A", "ü"},
		": x":             {},
		"A B: x":          {},
		"A: x\r\nEvil: y": {},
		"A: x\x00":        {},
		"no colon":        {},
		"":                {},
	} {
		got, err := parseHeader(in)
		if want[0] == "" {
			if !errors.Is(err, ErrUsage) {
				t.Errorf("parseHeader(%q) = %+v, %v", in, got, err)
			}
			continue
		}
		if err != nil || got.Name != want[0] || got.Value != want[1] {
			t.Errorf("parseHeader(%q) = %+v, %v, want %q", in, got, err, want)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, seed := range []string{"A:b", "A: x\r\nB: y", ":", "X-Y:\tz", "A:\x7f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHeader(text)
		if err != nil {
			return
		}
		if h.Name == "" || strings.ContainsAny(h.Name, " :\r\n\t") || strings.ContainsAny(h.Value, "\r\n\x00") || strings.TrimSpace(text) == "" {
			t.Fatalf("%q became %q", text, h)
		}
		again, err := parseHeader(h.Name + ":" + h.Value)
		if err != nil || again != h {
			t.Fatalf("%q became %q, and that %q (%v)", text, h, again, err)
		}
	})
}

// FuzzOrder gives any arguments: nothing is lost behind "--", and nothing panics.
func FuzzOrder(f *testing.F) {
	for _, seed := range []string{"ls --json", "kv set s k -- -v", "deploy . --name", "--admin", "-", "--", "kv --help", "--=x ls", "logs -f=true a"} {
		f.Add(seed)
	}
	commands := (&program{}).app().Commands
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		got, err := order(commands, args)
		if err != nil {
			if !errors.Is(err, ErrUsage) {
				t.Fatalf("%q: %v is no usage error", args, err)
			}
			return
		}
		if got[len(got)-1] != "--help" && len(got) > len(args)+1 {
			t.Fatalf("%q grew to %q", args, got)
		}
	})
}

func TestDistance(t *testing.T) {
	cases := []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"ls", "lss", 1}, {"stauts", "status", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}}
	for _, tc := range cases {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n": "plain\ttext\n",
		"größe 日本":      "größe 日本",
		"\x1b[31mred":   `\x1b[31mred`,
		"bell\a back\b": `bell\a back\b`,
		"\xff bad":      `\xff bad`,
		"\u202e hidden": `\u202e hidden`,
		"over\rwritten": `over\rwritten`,
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("\x1b[2J\xff\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		got := visible(text)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\a\b\r\x00\x7f\u009b") || visible(got) != got {
			t.Fatalf("visible(%q) = %q", text, got)
		}
	})
}

func TestSizesAndAges(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 64 << 20: "64.0 MiB", 1 << 62: "4.0 EiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("sizeText(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", 25 * time.Hour: "25h0m", 50 * time.Hour: "2d2h"} {
		if got := ageText(d); got != want {
			t.Errorf("ageText(%v) = %q, want %q", d, got, want)
		}
	}
}

// TestCompletionScripts lets each shell that is there check its script, and bash complete with it.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range shells {
		t.Run(shell.name, func(t *testing.T) {
			r := run(t, Deps{}, "completion", shell.name)
			if r.code != 0 || !strings.Contains(r.out, "rollback") || !strings.Contains(r.out, "prefix") {
				t.Fatalf("%+v", r)
			}
			path, err := exec.LookPath(shell.name)
			if err != nil {
				t.Skipf("no %s to check the syntax with", shell.name)
			}
			command := exec.CommandContext(t.Context(), path, "-n")
			command.Stdin = strings.NewReader(r.out)
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	// A shell function stands in for the program on the path.
	script := run(t, Deps{}, "completion", "bash").out + `
edged() { case "$2" in apps) echo shop; echo hello ;; functions) echo shop/cart; echo shop/pay ;; spaces) echo photos ;; esac; }
`
	cases := []struct{ words, want string }{
		{"edged ro", "rollback"},
		{"edged kv ex", "export"},
		{"edged kv ls s --pre", "--prefix"},
		{"edged --json st", "status"},
		{"edged inspect he", "hello"},
		{"edged invoke shop/p", "shop/pay"},
		{"edged kv get ph", "photos"},
		{"edged logs -f sh", "shop"},
		{"edged inspect --js", "--json"},
	}
	for _, tc := range cases {
		t.Run(tc.words, func(t *testing.T) {
			var out bytes.Buffer
			command := exec.CommandContext(t.Context(), bash, "--norc")
			command.Stdin = strings.NewReader(script + "\nCOMP_WORDS=(" + tc.words + ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_edged\necho \"${COMPREPLY[*]}\"\n")
			command.Stdout, command.Stderr = &out, &out
			if err := command.Run(); err != nil || strings.TrimSpace(out.String()) != tc.want {
				t.Errorf("%v: %q, want %q", err, out.String(), tc.want)
			}
		})
	}
}
