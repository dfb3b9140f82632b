// Package edged is what a Go function running on edged sees of its host: the request, the response, settings, the log
// and the key-value store.
//
// A function is an exported Go function without parameters that returns an int32, 0 for success:
//
//	package main
//
//	import (
//		"fmt"
//
//		edged "edged.dev/edge/sdk/go"
//	)
//
//	//go:wasmexport hello
//	func hello() int32 { return edged.Run(greet) }
//
//	func greet() error {
//		_, err := fmt.Fprintln(edged.Output(), "hello,", edged.Request().Query("name"))
//		return err
//	}
//
//	func main() {} // never called; the Go linker wants it
//
// It is built with stock Go, as a reactor:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -o app.wasm .
//
// # State
//
// Every call sees the program as it was after its package initialisation: what a call leaves in global variables is gone
// for the next one. Keep state in [KV]. Work that is the same for every call (parsing a template, building a table) belongs
// into package variables or init functions; it is done once.
//
// The other side of this: what initialisation drew at random is the same in every call, and that includes the seed of
// math/rand and math/rand/v2's global functions. Use [Rand], which is seeded anew for each call, or crypto/rand, which
// always asks the host. A time.Now kept at initialisation is likewise the time of the deploy or of the last start.
//
// # Goroutines
//
// They work, on one thread. When the entry returns, the ones still running are gone; wait for them.
//
// # Tests
//
// On other systems the package compiles too, and every function answers [ErrUnsupported] until package edgedtest plays
// the host, with an in-memory store; so `go vet` and `go test` need no Wasm.
//
// Nothing here is safe for use by several goroutines at once unless it says so.
package edged
