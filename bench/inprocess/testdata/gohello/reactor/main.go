// Command reactor is the stock Go guest as a reactor of edged: started once, called once a request.
package main

import (
	"io"

	"edged.dev/edge/bench/inprocess/testdata/gohello/greet"
	edged "edged.dev/edge/sdk/go"
)

//go:wasmexport hello
func hello() int32 { return edged.Run(answer) }

func answer() error {
	_, err := io.WriteString(edged.Output(), greet.Answer(string(edged.Request().Body())))
	return err
}

func main() {} // never called; the Go linker wants it
