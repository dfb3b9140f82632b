package asynccall

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// record is a call as it is kept, but for its body. Which of the fields are set depends on whether it has been answered.
type record struct {
	App      invoke.AppName      `json:"app"`
	Function invoke.FunctionName `json:"function"`
	Source   invoke.Source       `json:"source"`
	Created  time.Time           `json:"created"`
	Attempt  int                 `json:"attempt"` // of the run that is under way or was the last

	Method   string          `json:"method,omitempty"`
	Path     string          `json:"path,omitempty"`
	RawQuery string          `json:"query,omitempty"`
	Proto    string          `json:"proto,omitempty"`
	Host     string          `json:"host,omitempty"`
	Remote   string          `json:"remote,omitempty"`
	Headers  []invoke.Header `json:"headers,omitempty"` // of the request, or of the answer

	Finished time.Time `json:"finished,omitzero"`
	Status   int       `json:"status,omitempty"` // of the answer
	Failure  string    `json:"failure,omitempty"`
	Failed   bool      `json:"failed,omitempty"`
}

// errRecord is what a value that is no record is refused with.
var errRecord = errors.New("not a call as this version keeps it")

// encode makes the value of a record: a length of four bytes, little-endian, so much JSON, and the body.
func encode(r *record, body []byte) ([]byte, error) {
	head, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode call: %w", err)
	}
	value := make([]byte, 4, 4+len(head)+len(body))
	binary.LittleEndian.PutUint32(value, uint32(len(head)))
	return append(append(value, head...), body...), nil
}

// decode is the reverse. The body aliases the value.
func decode(value []byte) (*record, []byte, error) {
	if len(value) < 4 {
		return nil, nil, errRecord
	}
	n := uint64(binary.LittleEndian.Uint32(value))
	if n > uint64(len(value)-4) {
		return nil, nil, errRecord
	}
	r := new(record)
	if err := json.Unmarshal(value[4:4+n], r); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	return r, value[4+n:], nil
}
