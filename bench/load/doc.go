// Package load sends HTTP/1.1 requests and measures the answers.
//
// A run has one or more streams on one thread, which is meant to have a core of its own. A closed stream keeps a request
// in flight on each of its connections; it finds out what a server can do. An open stream sends at times that do not depend on the
// answers; it finds out what users of a server see. The latency of a request of an open stream counts from the time at which it was meant to
// be sent, so a server that stands still is charged with all requests that should have been sent meanwhile.
//
// Requests belong to classes, such as short and long ones, each with its own deadline. How many met it is a result.
package load
