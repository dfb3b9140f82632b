//go:build !command

package main

import edged "edged.dev/edge/sdk/go"

//go:wasmexport hello
func hello() int32 { return edged.Run(greet) } //nolint:unused // called by the host

func main() {} // never called; the Go linker wants it
