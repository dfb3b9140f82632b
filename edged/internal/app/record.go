package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
)

// recordFormat begins the first line of a record, followed by the SHA-256 of all that comes after that line.
const recordFormat = "edged-app-1 "

// VersionID names a version of one app: "v3-1f0c22ab", the number and the first digits of a hash over module and manifest.
// A number is never used twice while the app is deployed.
type VersionID string

// record is everything about one app, in one file, so that replacing the file is the atomic switch. It is immutable once
// it is in the registry.
type record struct {
	App      invoke.AppName `json:"app"`
	Active   VersionID      `json:"active,omitempty"`   // empty until the first activation
	Previous VersionID      `json:"previous,omitempty"` // what was active before
	Next     int            `json:"next"`               // number of the next version
	Versions []entry        `json:"versions"`           // by number
}

// entry is one version in a record.
type entry struct {
	ID       VersionID `json:"id"`
	Number   int       `json:"number"`
	Module   Hash      `json:"module"`
	Manifest Hash      `json:"manifest"` // of the manifest with its defaults
	Source   Hash      `json:"source"`   // of the file that the user wrote; of nothing when there was none
	Staged   time.Time `json:"staged"`
}

// encode returns the file of a record.
func (r *record) encode() ([]byte, error) {
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode record of %s: %w", r.App, err)
	}
	return append([]byte(recordFormat+string(hashOf(body))+"\n"), body...), nil
}

// decodeRecord returns the record in a file; the error wraps ErrDamaged.
func decodeRecord(content []byte) (*record, error) {
	line, body, _ := bytes.Cut(content, []byte("\n"))
	sum, known := bytes.CutPrefix(line, []byte(recordFormat))
	if !known {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrDamaged, recordFormat)
	}
	if hashOf(body) != Hash(sum) {
		return nil, fmt.Errorf("%w: its content does not match its checksum", ErrDamaged)
	}
	var r record
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &r, nil
}

// check judges what a checksum does not: a file that was made by hand or by another version.
func (r *record) check() error {
	if !manifest.ValidName(string(r.App)) {
		return fmt.Errorf("%q is not the name of an app", r.App)
	}
	last := 0
	for _, e := range r.Versions {
		if !e.Module.valid() || !e.Manifest.valid() || !e.Source.valid() {
			return fmt.Errorf("version %s has no valid hashes", e.ID)
		}
		if e.Number <= last || e.Number >= r.Next {
			return fmt.Errorf("version %s is out of order", e.ID)
		}
		last = e.Number
	}
	if _, ok := r.find(r.Active); r.Active != "" && !ok {
		return fmt.Errorf("its active version %s is not listed", r.Active)
	}
	return nil
}

func (r *record) find(id VersionID) (entry, bool) {
	i := slices.IndexFunc(r.Versions, func(e entry) bool { return e.ID == id })
	if i < 0 {
		return entry{}, false
	}
	return r.Versions[i], true
}

// with returns a copy with one more version, the oldest ones left out until at most keep are listed. The active version
// and the one before it stay in any case, and so does the new one.
func (r *record) with(e entry, keep int) *record {
	next := *r
	next.Next = e.Number + 1
	next.Versions = append(slices.Clone(r.Versions), e)
	for i := 0; len(next.Versions) > keep && i < len(next.Versions)-1; {
		if id := next.Versions[i].ID; id == r.Active || id == r.Previous {
			i++
			continue
		}
		next.Versions = slices.Delete(next.Versions, i, i+1)
	}
	return &next
}

// activated returns a copy in which id is the active version.
func (r *record) activated(id VersionID) *record {
	next := *r
	if r.Active != id {
		next.Active, next.Previous = id, r.Active
	}
	return &next
}
