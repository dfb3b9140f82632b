// Package server runs the servers that are measured: each a child process with cores of its own, asked for its address by the
// ready line that all of them print, and its consumption read from /proc.
package server
