// Package sdk holds the guest libraries as files, so that `edged init` can put them into a project without a network.
// The libraries themselves are in a folder for each language.
package sdk

import "embed"

//go:embed go c/edge.h rust/edged.rs assemblyscript/edged.ts
var files embed.FS

// Files returns the sources, tests included, under a folder for each language. It is read-only and may be used from any goroutine.
func Files() embed.FS { return files }
