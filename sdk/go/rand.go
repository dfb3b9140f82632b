package edged

import (
	"math/rand/v2"

	"edged.dev/edge/sdk/go/internal/abi"
)

// generator is made at the first use in a call and dropped by restored, so that no two calls share it.
var generator *rand.Rand

// Rand returns a generator seeded from the host for this call. The global functions of math/rand and math/rand/v2 are
// seeded before the state that all calls start from is taken, so they give every call the same numbers; this one does not.
// It is not for secrets: use crypto/rand, which asks the host each time.
func Rand() *rand.Rand {
	if generator == nil {
		var seed [32]byte
		if abi.Random(seed[:]) != 0 {
			// Without the host's random numbers there is no seed worth using, and a constant one would go unnoticed.
			panic("edged: the host gives no random numbers; outside of edged use package edgedtest")
		}
		generator = rand.New(rand.NewChaCha8(seed)) //nolint:gosec // says that it is not for secrets
	}
	return generator
}

// restored is called by the host after an instance has been put back to its first state: it drops what initialisation
// may have drawn.
//
//go:wasmexport edged_restore
func restored() { generator = nil }
