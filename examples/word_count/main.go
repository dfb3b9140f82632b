// Command word_count counts the words of a text in parts: split_file stores it in slices, each slice that is written starts count, and
// result adds what count has found. Every step can be done again without harm, so nothing is counted twice whatever is killed on the way.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	edged "edged.dev/edge/sdk/go"
)

// sliceBytes is the longest slice, which is also the longest word.
const sliceBytes = 1_000_000

// jobKey holds a job: what the slices of the text are.
const jobKey = "wordcount_job"

// job is the sums of the slices, in order. A count belongs to the text only if it is of a slice with that sum.
type job struct{ Sums []uint64 }

// counted is what count has found in a slice.
type counted struct {
	Sum   uint64
	Words map[string]int
}

//go:wasmexport split_file
func splitFile() int32 { return edged.Run(split) }

//go:wasmexport count
func count() int32 { return edged.Run(countSlice) }

//go:wasmexport result
func result() int32 { return edged.Run(add) }

// split stores the text in slices and then, at last, what they are: until then result knows the text before.
func split() error {
	parts, err := cut(edged.Input())
	if err != nil {
		return reject(422, err)
	}
	before, err := readJob()
	if err != nil {
		return err
	}
	var now job
	for n, part := range parts {
		if err := edged.KV.Set(numbered("slice", n), part); err != nil {
			return err
		}
		now.Sums = append(now.Sums, sum(part))
	}
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if err := edged.KV.Set(jobKey, text); err != nil {
		return err
	}
	for n := len(parts); n < len(before.Sums); n++ { // of a longer text before
		for _, what := range []string{"slice", "count"} {
			if _, err := edged.KV.Delete(numbered(what, n)); err != nil {
				return err
			}
		}
	}
	_, err = fmt.Fprintf(edged.Output(), "%d slices\n", len(parts))
	return err
}

func numbered(what string, n int) string { return "wordcount_" + what + "_" + strconv.Itoa(n) }

// cut cuts a text into slices between words.
func cut(text []byte) ([][]byte, error) {
	var parts [][]byte
	for len(text) > sliceBytes {
		at := sliceBytes
		for at > 0 && letter(text[at]) && letter(text[at-1]) {
			at--
		}
		if at == 0 {
			return nil, fmt.Errorf("a word has more than %d letters", sliceBytes)
		}
		parts, text = append(parts, text[:at]), text[at:]
	}
	return append(parts, text), nil
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func sum(text []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(text) // a hash takes everything
	return h.Sum64()
}

// countSlice counts the words of the slice whose change has started it. It counts what the slice holds now: when it was written again
// meanwhile there is another event for that.
func countSlice() error {
	part, err := edged.KV.Get(edged.Request().EventKey())
	if errors.Is(err, edged.ErrNotFound) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(edged.Request().Param("n"))
	if err != nil {
		return err
	}
	text, err := json.Marshal(counted{sum(part), words(part)})
	if err != nil {
		return err
	}
	return edged.KV.Set(numbered("count", n), text)
}

// words counts runs of letters, all in lower case.
func words(text []byte) map[string]int {
	found := make(map[string]int)
	word := make([]byte, 0, 64)
	for _, c := range text {
		switch {
		case c >= 'A' && c <= 'Z':
			word = append(word, c+'a'-'A')
		case c >= 'a' && c <= 'z':
			word = append(word, c)
		case len(word) > 0:
			found[string(word)]++
			word = word[:0]
		}
	}
	if len(word) > 0 {
		found[string(word)]++
	}
	return found
}

func readJob() (job, error) {
	var known job
	text, err := edged.KV.Get(jobKey)
	if errors.Is(err, edged.ErrNotFound) {
		return known, nil
	}
	if err != nil {
		return known, err
	}
	return known, json.Unmarshal(text, &known)
}

// add answers with one word and its count a line, or with 503 while slices are still to be counted.
func add() error {
	known, err := readJob()
	if err != nil {
		return err
	}
	total, missing := make(map[string]int), 0
	for n, want := range known.Sums {
		text, err := edged.KV.Get(numbered("count", n))
		if err != nil && !errors.Is(err, edged.ErrNotFound) {
			return err
		}
		var part counted
		if err == nil {
			if err := json.Unmarshal(text, &part); err != nil {
				return err
			}
		}
		if part.Words == nil || part.Sum != want {
			missing++
			continue
		}
		for word, n := range part.Words {
			total[word] += n
		}
	}
	if missing > 0 {
		return reject(503, fmt.Errorf("%d of %d slices are still to be counted", missing, len(known.Sums)))
	}
	var out []byte
	for _, word := range slices.Sorted(maps.Keys(total)) {
		out = fmt.Appendf(out, "%s %d\n", word, total[word])
	}
	_, err = edged.Output().Write(out)
	return err
}

// reject answers with a status and the reason.
func reject(status int, reason error) error {
	if err := edged.Status(status); err != nil {
		return err
	}
	_, err := fmt.Fprintln(edged.Output(), reason)
	return err
}

func main() {} // never called; the Go linker wants it
