// Package e2e holds tests of the whole of edged and nothing else: they build the binary once, start it as a process of its
// own, deploy real modules to it with its own command line, and call them over TCP and over the Unix socket.
package e2e
