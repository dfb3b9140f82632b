//go:build command

package main

import "os"

func main() {
	if err := greet(); err != nil {
		os.Exit(1)
	}
}
