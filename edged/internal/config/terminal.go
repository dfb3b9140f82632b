package config

import "os"

// NoColor reports whether the user wants no colours on a terminal: NO_COLOR is set and not empty (no-color.org).
func NoColor() bool { return os.Getenv("NO_COLOR") != "" }
