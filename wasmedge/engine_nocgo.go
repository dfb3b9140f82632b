//go:build !cgo

package wasmedge

import "fmt"

// Options, Engine and the rest need cgo; without it the package offers its types and errors only.
var errNoCgo = fmt.Errorf("built without cgo: %w; build with CGO_ENABLED=1 and gcc installed", ErrNotSupported)

// Unsupported returns the error that says why this build has no engine.
func Unsupported() error { return errNoCgo }
