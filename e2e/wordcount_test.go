package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// aText makes a text of some ten million bytes, always the same: words of a vocabulary whose members are as unequally frequent as those of a
// language, in all kinds of cases, between all kinds of punctuation, letters that are not ASCII, and ends of lines of both kinds.
func aText() []byte {
	r := rand.New(rand.NewPCG(10, 4))
	vocabulary := make([]string, 20_000)
	for i := range vocabulary {
		word := make([]byte, 1+r.IntN(12))
		for j := range word {
			word[j] = 'a' + byte(r.IntN(26))
		}
		vocabulary[i] = string(word)
	}
	gaps := []string{
		" ", " ", " ", " ", " ", ", ", ". ", "; ", "\n", "\r\n", " \u2014 ", "'", "-", "_", "7", "\u00e9", "\u00df ", "\u4e2d\u6587", "\t", "\u00a0", "...", "\r\n\r\n",
	}
	zipf := rand.NewZipf(r, 1.1, 8, uint64(len(vocabulary)-1))
	var text bytes.Buffer
	text.WriteString("\ufeff\u201c")
	for text.Len() < 10_000_000 {
		word := vocabulary[zipf.Uint64()]
		switch r.IntN(12) {
		case 0:
			word = strings.ToUpper(word)
		case 1:
			word = strings.ToUpper(word[:1]) + word[1:]
		}
		text.WriteString(word)
		text.WriteString(gaps[r.IntN(len(gaps))])
	}
	return text.Bytes()
}

// countedByTools counts with the tools that the example's README names.
func countedByTools(t *testing.T, text []byte) string {
	t.Helper()
	for _, tool := range []string{"sh", "tr", "grep", "sort", "uniq", "awk"} {
		testutil.RequireCommand(t, tool)
	}
	command := exec.CommandContext(t.Context(), "sh", "-c",
		`export LC_ALL=C; tr -cs 'A-Za-z' '\n' | tr A-Z a-z | grep . | sort | uniq -c | awk '{print $2, $1}'`)
	command.Stdin = bytes.NewReader(text)
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestWordCountThroughKills counts the words of ten million bytes while the daemon is killed ten times.
func TestWordCountThroughKills(t *testing.T) {
	text := aText()
	want := countedByTools(t, text)
	h := newHome(t, "")
	d := h.start(t)
	example := filepath.Join("..", "examples", "word_count")
	manifest := testutil.Read(t, filepath.Join(example, "edged.yaml"))
	d.must(t, "deploy", wordCountApp(t, string(manifest), testutil.BuildGo(t, example, true)))
	stored := false
	for kill := range 10 {
		if !stored {
			stored = splitFile(t, d, text, kill < 3)
		} else {
			counted(t, d, kill)
		}
		d.kill()
		d = h.start(t)
	}
	for !stored {
		stored = splitFile(t, d, text, false)
	}
	var got reply
	eventually(t, "all slices are counted", func() error {
		got = d.http().must(t, http.MethodGet, "/word_count/result", nil)
		if got.status != 200 {
			return fmt.Errorf("status %d: %.200s", got.status, got.body)
		}
		return nil
	})
	if string(got.body) != want {
		t.Errorf("counted %d lines, the tools %d; the first difference: %s", bytes.Count(got.body, []byte("\n")), strings.Count(want, "\n"),
			firstDifference(string(got.body), want))
	}
}

// wordCountApp writes the example's manifest beside a module of another path.
func wordCountApp(t *testing.T, manifest, module string) string {
	t.Helper()
	var settings []string
	for line := range strings.SplitSeq(manifest, "\n") {
		if !strings.HasPrefix(line, "version:") && !strings.HasPrefix(line, "app:") && !strings.HasPrefix(line, "module:") {
			settings = append(settings, line)
		}
	}
	return app(t, "word_count", module, settings...)
}

// splitFile posts the text, and reports whether it was answered. cut says that the request is given up amid its work, to be killed there.
func splitFile(t *testing.T, d *daemon, text []byte, cut bool) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if cut {
		go func() { // as soon as a part is stored
			defer cancel()
			for ctx.Err() == nil {
				if len(d.keys(t, "word_count")) > 1 {
					return
				}
			}
		}()
	}
	got, err := d.http().call(ctx, http.MethodPost, "/word_count/split_file", text)
	if err == nil && got.status != 200 {
		t.Fatalf("split_file: status %d %s", got.status, got.body)
	}
	return err == nil
}

// counted waits until some slices are counted: as many as kills there were.
func counted(t *testing.T, d *daemon, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d slices are counted", n), func() error {
		got := 0
		for _, key := range d.keys(t, "word_count") {
			if strings.HasPrefix(key, "wordcount_count_") {
				got++
			}
		}
		if got < n {
			return fmt.Errorf("%d are", got)
		}
		return nil
	})
}

// firstDifference returns the first line that two texts do not share.
func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("%q, not %q", as[i], bs[i])
		}
	}
	return "one ends before the other"
}
