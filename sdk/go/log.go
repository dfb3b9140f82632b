package edged

import "edged.dev/edge/sdk/go/internal/abi"

// Level is how much a line of the log matters.
type Level int32

// The host's levels.
const (
	LevelDebug Level = 0
	LevelInfo  Level = 1
	LevelWarn  Level = 2
	LevelError Level = 3
)

// Log writes a line to the app's log, which `edged logs APP` shows with its time, level and function. For log/slog there
// is package edgedlog.
func Log(level Level, text string) { abi.Log(int32(level), text) }
