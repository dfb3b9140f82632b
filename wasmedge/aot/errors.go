package aot

import (
	"context"
	"errors"
	"strings"
)

// These errors are returned by [Open].
var (
	// ErrUnsafeDir: the artifact directory, or a file in it, could be changed by somebody else; the text says how to fix it.
	ErrUnsafeDir = errors.New("unsafe artifact directory")
	// ErrLocked: another daemon uses the artifact directory.
	ErrLocked = errors.New("the artifact directory is in use by another daemon")
	// ErrNotSupported: this build or this machine cannot compile; the text says what is missing.
	ErrNotSupported = errors.New("not supported here")
)

// These errors are returned by [Cache.Get].
var (
	// ErrClosed: the cache has been closed.
	ErrClosed = errors.New("closed")
	// ErrBusy: too many different modules are waiting to be compiled.
	ErrBusy = errors.New("too many compilations are waiting; try again later")
	// ErrEmpty: there is no code to compile.
	ErrEmpty = errors.New("empty module")
)

// Each [Reason] has a sentinel that a [*CompileError] matches with errors.Is.
var (
	ErrInvalid = errors.New("invalid module")
	ErrMemory  = errors.New("compiler out of memory")
	ErrCPU     = errors.New("compiler CPU time limit reached")
	ErrWall    = errors.New("compiler time limit reached")
	ErrOutput  = errors.New("compiled code too large")
	ErrDisk    = errors.New("no space for compiled code")
	ErrCrash   = errors.New("compiler crashed")
	ErrKilled  = errors.New("compiler killed from outside")
	ErrLibrary = errors.New("compiler library unusable")
	ErrStart   = errors.New("compiler cannot be started")
)

// Reason is why a compilation gave no artifact.
type Reason string

// The reasons. Each names one thing that an operator or the author of the module can act on.
const (
	ReasonInvalid Reason = "invalid" // the engine refuses the module
	ReasonMemory  Reason = "memory"  // the compiler's memory limit
	ReasonCPU     Reason = "cpu"     // its CPU time limit
	ReasonWall    Reason = "wall"    // its wall time limit
	ReasonOutput  Reason = "output"  // its file size limit
	ReasonDisk    Reason = "disk"    // no space left
	ReasonCrash   Reason = "crash"   // it ended without a result
	ReasonKilled  Reason = "killed"  // somebody else killed it
	ReasonLibrary Reason = "library" // libwasmedge is missing or has been replaced
	ReasonStart   Reason = "start"   // the child process could not be started
)

// sentinel returns the error that a reason matches; nil for a reason that does not exist.
func (r Reason) sentinel() error {
	switch r {
	case ReasonInvalid:
		return ErrInvalid
	case ReasonMemory:
		return ErrMemory
	case ReasonCPU:
		return ErrCPU
	case ReasonWall:
		return ErrWall
	case ReasonOutput:
		return ErrOutput
	case ReasonDisk:
		return ErrDisk
	case ReasonCrash:
		return ErrCrash
	case ReasonKilled:
		return ErrKilled
	case ReasonLibrary:
		return ErrLibrary
	case ReasonStart:
		return ErrStart
	default:
		return nil
	}
}

// remedy says what to do about a reason.
func (r Reason) remedy() string {
	switch r {
	case ReasonInvalid:
		return "rebuild the module; of the proposals only bulk memory, reference types, multi-value, sign extension, saturating conversions and SIMD are on"
	case ReasonMemory:
		return "raise the compiler's memory limit, or build a smaller module (strip it, split its largest functions)"
	case ReasonCPU:
		return "raise the compiler's CPU limit, or build a smaller module"
	case ReasonWall:
		return "deploy again when the machine is less busy, or raise the compiler's time limit"
	case ReasonOutput:
		return "raise the compiler's output limit, or build a smaller module"
	case ReasonDisk:
		return "free space on the file system of the data directory"
	case ReasonCrash:
		return "build the module with another optimisation level of its own compiler, and report the module as a bug"
	case ReasonKilled:
		return "look into the kernel log for its out-of-memory killer; give the machine more memory, or lower the compiler's memory limit"
	case ReasonLibrary:
		return "install libwasmedge with scripts/install-wasmedge.sh, then restart the daemon"
	case ReasonStart:
		return "check that the daemon's own binary can be executed and that the process limit is not reached"
	default:
		return ""
	}
}

// lasting reports whether trying the same again with the same limits would fail again. Time is not: it depends on what
// else the machine does.
func (r Reason) lasting() bool {
	switch r {
	case ReasonInvalid, ReasonMemory, ReasonCPU, ReasonOutput, ReasonCrash, ReasonKilled:
		return true
	case ReasonWall, ReasonDisk, ReasonLibrary, ReasonStart:
		return false
	default:
		return false
	}
}

// lighter reports whether a lower optimisation level may succeed where a higher one failed for this reason.
func (r Reason) lighter() bool {
	switch r {
	case ReasonMemory, ReasonCPU, ReasonWall, ReasonOutput, ReasonCrash, ReasonKilled:
		return true
	case ReasonInvalid, ReasonDisk, ReasonLibrary, ReasonStart:
		return false
	default:
		return false
	}
}

// CompileError is the error of a compilation that gave no artifact. errors.Is matches it with the sentinel of its
// reason, and [ReasonWall] with context.DeadlineExceeded too.
type CompileError struct {
	Reason Reason
	// Level is what was being compiled.
	Level Level
	// Detail is the engine's or the system's own words, one line.
	Detail string
	// Remedy is what the reader can do about it.
	Remedy string
	// Stderr is the beginning and the end of what the child wrote there, for the log.
	Stderr string
}

func newCompileError(reason Reason, level Level, detail string) *CompileError {
	return &CompileError{Reason: reason, Level: level, Detail: detail, Remedy: reason.remedy()}
}

// Error says what happened, in which step, and what to do.
func (e *CompileError) Error() string {
	var text strings.Builder
	text.WriteString("compile at " + e.Level.String() + ": ")
	if sentinel := e.Reason.sentinel(); sentinel != nil {
		text.WriteString(sentinel.Error())
	} else {
		text.WriteString(string(e.Reason))
	}
	if e.Detail != "" {
		text.WriteString(": " + e.Detail)
	}
	if e.Remedy != "" {
		text.WriteString("; " + e.Remedy)
	}
	return text.String()
}

// Is matches the sentinel of the reason.
func (e *CompileError) Is(target error) bool {
	if e.Reason == ReasonWall && target == context.DeadlineExceeded {
		return true
	}
	sentinel := e.Reason.sentinel()
	return sentinel != nil && target == sentinel
}
