// Command hello-go greets the caller.
package main

import (
	"fmt"

	edged "edged.dev/edge/sdk/go"
)

//go:wasmexport hello
func hello() int32 { return edged.Run(greet) }

func greet() error {
	request := edged.Request()
	name := request.Query("name")
	if name == "" {
		name = "world"
	}
	if err := edged.Header("Content-Type", "text/plain; charset=utf-8"); err != nil {
		return err
	}
	_, err := fmt.Fprintf(edged.Output(), "hello, %s, from Go\n", name)
	return err
}

func main() {} // never called; the Go linker wants it
