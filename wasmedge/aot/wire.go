package aot

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// What daemon and child say to each other. The daemon writes one line of JSON, a [header], to the child's standard
// input, and the module's bytes after it. The child answers on its standard output with lines of JSON, each an [event]:
// any number of stages, then one result. Standard error is free text for people.

const (
	wireVersion    = 1
	maxHeaderBytes = 16 << 10  // a header is a path and a few numbers
	maxEventBytes  = 64 << 10  // an event is at most the engine's words on a broken module
	maxModuleBytes = 512 << 20 // far above what the loader gate lets through
)

// header tells the child what to do.
type header struct {
	Version int    `json:"version"`
	Engine  string `json:"engine"` // the daemon's libwasmedge; the child must have the same
	Size    int64  `json:"size"`   // bytes of the module that follow
	Level   string `json:"level"`
	Out     string `json:"out"` // absolute path of the shared object to write
	Idle    bool   `json:"idle,omitempty"`

	MemoryBytes uint64 `json:"memory_bytes"`
	CPUSeconds  uint64 `json:"cpu_seconds"`
	OutputBytes uint64 `json:"output_bytes"`
}

// event is one line of the child's answer: a stage that begins, or the result.
type event struct {
	Stage string `json:"stage,omitempty"`

	Done   bool   `json:"done,omitempty"`   // the result: the shared object is written
	Reason Reason `json:"reason,omitempty"` // the result: there is none
	Detail string `json:"detail,omitempty"`
}

// readHeader reads and checks the header line; the module follows in r.
func readHeader(r *bufio.Reader) (header, error) {
	var h header
	line, err := readLine(r, maxHeaderBytes)
	if err != nil {
		return h, fmt.Errorf("read the header: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&h); err != nil {
		return h, fmt.Errorf("parse the header: %w", err)
	}
	if decoder.More() {
		return h, errors.New("parse the header: more than one value on its line")
	}
	return h, h.check()
}

// check refuses what a daemon of this version would not send.
func (h header) check() error {
	switch {
	case h.Version != wireVersion:
		return fmt.Errorf("check the header: version %d, want %d", h.Version, wireVersion)
	case h.Size <= 0 || h.Size > maxModuleBytes:
		return fmt.Errorf("check the header: module of %d bytes, want 1 to %d", h.Size, int64(maxModuleBytes))
	case !filepath.IsAbs(h.Out) || filepath.Clean(h.Out) != h.Out:
		return fmt.Errorf("check the header: %q is no clean absolute path", h.Out)
	case h.MemoryBytes == 0 || h.CPUSeconds == 0 || h.OutputBytes == 0:
		return errors.New("check the header: a limit is missing")
	}
	if _, err := parseLevel(h.Level); err != nil {
		return fmt.Errorf("check the header: %w", err)
	}
	return nil
}

// readLine reads up to the next newline, which it drops, and refuses a line above limit without keeping it.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, fmt.Errorf("line longer than %d bytes", limit)
		}
		line = append(line, part...)
		if err == nil {
			return line[:len(line)-1], nil
		}
		if errors.Is(err, io.EOF) && len(line) > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// readEvents reads events until the result, giving each stage to stage. Without a result it returns nil and what
// ended the stream, io.EOF for a child that went away.
func readEvents(r io.Reader, stage func(string)) (*event, error) {
	buffered := bufio.NewReader(r)
	for {
		line, err := readLine(buffered, maxEventBytes)
		if err != nil {
			return nil, err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("parse an event: %w", err)
		}
		if e.Done || e.Reason != "" {
			return &e, nil
		}
		stage(e.Stage)
	}
}

// seconds rounds a CPU limit up to what the kernel counts in.
func seconds(d time.Duration) uint64 {
	return uint64(max((d+time.Second-1)/time.Second, 1))
}
