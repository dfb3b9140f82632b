// Package asynccall runs requests whose clients do not wait: it keeps a request in the key-value store before it is acknowledged,
// runs it, also after a restart, and keeps the answer until a client has had time to fetch it.
//
// A request runs at least once: again when the daemon ended before its answer was on disk. Its function can tell by event_id, which is
// the call's ID, and attempt. An answer of the function is the result whatever it is, a failure included; only what was not admitted, or
// ended with the daemon, is tried again.
//
// # On disk
//
// The space edged.calls, whose name no manifest can give to an app, has a key "p/ID" for each call that is to be answered and "r/ID"
// for each that has been, with values as encode makes them. One write replaces the one by the other.
//
// Locks: Calls.mu, a leaf. The store is written without it, from goroutines of the package's own.
package asynccall
