// Package sdk holds the guest libraries as files, so that `edged init` can put them into a project without a network.
// The libraries themselves are in go/ and c/.
package sdk

import "embed"

//go:embed go c/edge.h
var files embed.FS

// Files returns the sources, tests included, under go/ and c/. It is read-only and may be used from any goroutine.
func Files() embed.FS { return files }
