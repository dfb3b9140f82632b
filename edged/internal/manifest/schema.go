package manifest

import (
	"bytes"
	_ "embed" // the schema is a file of its own, so that editors can use it from a checkout too
)

//go:embed schema.json
var schemaText []byte

// Schema returns the JSON Schema (draft 2020-12) of a manifest, for editors and for edged schema. It accepts what
// [Parse] accepts, but for what JSON Schema cannot say: the app's path at the begin of http.path, uniqueness of guests'
// folders and the like. The caller owns the slice.
func Schema() []byte { return bytes.Clone(schemaText) }
