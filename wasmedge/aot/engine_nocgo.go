//go:build !cgo

package aot

// engineVersion returns "": a build without cgo has no engine.
func engineVersion() string { return "" }

// compileModule always returns [ErrNotSupported]; see engine.go for the real one.
func compileModule([]byte, Level, string, func(stage string)) error { return ErrNotSupported }
