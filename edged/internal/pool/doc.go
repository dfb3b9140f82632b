// Package pool runs invocations of deployed apps on guest threads: it loads an app's compiled module when it is first
// needed, makes an instance for the request, starts it up, enters the function, ends it at its timeout, and turns what
// came out into a result.
//
// An [App] is one version of a deployed app. It counts the invocations that use it, so that a version which has been
// replaced stays until the last of them is answered and is unloaded then. Its compiled module can be replaced by a better
// one at any time: instances keep the one that they were made from.
//
// Locks: Pool.mu before worker.mu; App.mu is never held with either.
package pool
