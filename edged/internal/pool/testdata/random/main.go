// Command random answers with random numbers of the sources that the Go SDK offers.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	edged "edged.dev/edge/sdk/go"
)

func main() {}

// sequence answers with a line a number, from the generator of the SDK and from crypto/rand.
//
//go:wasmexport sequence
func sequence() int32 {
	return edged.Run(func() error {
		for range 8 {
			var drawn [8]byte
			if _, err := rand.Read(drawn[:]); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(edged.Output(), "%s\n%016x\n", hex.EncodeToString(drawn[:]), edged.Rand().Uint64()); err != nil {
				return err
			}
		}
		return nil
	})
}
