package kvtrigger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"edged.dev/edge/edged/internal/invoke"
)

// ID names the trigger of a function by what it waits for, not by its place in the manifest: another order of the list is the same triggers,
// and another pattern is another one. The text is APP/FUNCTION/HASH.
func ID(app invoke.AppName, fn invoke.FunctionName, space, pattern string) string {
	sum := sha256.Sum256([]byte(space + "\x00" + pattern))
	return fmt.Sprintf("%s/%s/%s", app, fn, hex.EncodeToString(sum[:6]))
}

// SplitID returns the app and the function of a trigger's ID; both are empty for a text that is none.
func SplitID(id string) (invoke.AppName, invoke.FunctionName) {
	app, rest, _ := strings.Cut(id, "/")
	fn, _, ok := strings.Cut(rest, "/")
	if !ok {
		return "", ""
	}
	return invoke.AppName(app), invoke.FunctionName(fn)
}

// EventID writes the ID of a delivery as guests and operators see it.
func EventID(id uint64) string { return fmt.Sprintf("%016x", id) }

// ParseEventID reads what EventID writes.
func ParseEventID(text string) (uint64, bool) {
	id, err := strconv.ParseUint(text, 16, 64)
	return id, err == nil && len(text) == 16
}
