package aot

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
)

// maxRecordBytes is far above any record; a longer file is none.
const maxRecordBytes = 16 << 10

// errForeign: a record without this daemon's authentication code, or not a record at all.
var errForeign = errors.New("not made by this daemon")

// record describes one artifact, or one failure to make it. On disk it is a line of JSON and a line with the
// HMAC-SHA-256 of the first in hexadecimal; the code is checked before the JSON is looked at.
type record struct {
	Format int    `json:"format"`
	Kind   string `json:"kind"` // kindArtifact or kindFailure: one can never pass for the other
	Key    string `json:"key"`
	Level  string `json:"level"`
	Engine string `json:"engine"`
	Arch   string `json:"arch"`
	CPU    string `json:"cpu"`
	Made   int64  `json:"made"` // Unix seconds, for people

	File   string `json:"file,omitempty"`   // artifact: its name in the directory
	Size   int64  `json:"size,omitempty"`   // artifact: its length in bytes
	SHA256 string `json:"sha256,omitempty"` // artifact: its content

	Reason Reason `json:"reason,omitempty"` // failure: why
	Detail string `json:"detail,omitempty"` // failure: the words at the time
	Limits string `json:"limits,omitempty"` // failure: the limits it holds for
}

const (
	kindArtifact = "artifact"
	kindFailure  = "failure"
)

// seal returns the record as it is written to disk.
func (r record) seal(secret []byte) ([]byte, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the record: %w", err)
	}
	return fmt.Appendf(nil, "%s\n%x\n", line, authenticate(secret, line)), nil
}

func authenticate(secret, line []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(line)
	return mac.Sum(nil)
}

// openRecord is the reverse of seal; a record that does not carry the secret's code is errForeign.
func openRecord(sealed, secret []byte) (record, error) {
	var r record
	line, rest, found := bytes.Cut(sealed, []byte("\n"))
	if !found || len(sealed) > maxRecordBytes {
		return r, errForeign
	}
	if !hmac.Equal(rest, fmt.Appendf(nil, "%x\n", authenticate(secret, line))) {
		return r, errForeign
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return r, fmt.Errorf("parse the record: %w", err)
	}
	return r, nil
}

// check refuses an authentic record that is about something else than it is looked up for: a swapped one.
func (r record) check(kind string, key Key, level Level, on target) error {
	switch {
	case r.Format != formatVersion:
		return fmt.Errorf("format %d, want %d", r.Format, formatVersion)
	case r.Kind != kind:
		return fmt.Errorf("a record of kind %q, want %q", r.Kind, kind)
	case r.Key != key.String() || r.Level != level.String():
		return fmt.Errorf("the record of another artifact, %.16s at %s", r.Key, r.Level)
	case r.Engine != on.engine || r.Arch != on.arch || r.CPU != on.cpu:
		return fmt.Errorf("made for engine %s on %s", r.Engine, r.CPU)
	case kind == kindArtifact && (r.Size <= 0 || r.File == "" || r.File != filepath.Base(r.File)):
		return fmt.Errorf("names the file %q of %d bytes", r.File, r.Size)
	}
	return nil
}
