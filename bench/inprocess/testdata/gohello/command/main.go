// Command command is the stock Go guest as a program: started for each request, which is its stdin.
package main

import (
	"io"
	"os"

	"edged.dev/edge/bench/inprocess/testdata/gohello/greet"
)

func main() {
	request, err := io.ReadAll(os.Stdin)
	if err != nil {
		os.Exit(1)
	}
	if _, err := io.WriteString(os.Stdout, greet.Answer(string(request))); err != nil {
		os.Exit(1)
	}
}
