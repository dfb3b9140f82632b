// Package greet is what the stock Go guest does, however it is spoken to: it counts the words of the request in a map and says
// what it found with fmt.
package greet

import (
	"fmt"
	"strings"
)

// calls counts the calls of this instance: a guest that is fresh for every request is always at its first.
var calls int

// Answer returns the answer to a request.
func Answer(request string) string {
	calls++
	words := make(map[string]int)
	for word := range strings.FieldsSeq(request) {
		words[word]++
	}
	return fmt.Sprintf("call %d: hello, %d words, %d different, %d times edge\n", calls, strings.Count(request, " ")+1, len(words), words["edge"])
}
