// Package pool runs invocations of deployed apps on guest threads: it loads an app's compiled module when it is first
// needed, makes an instance for the request, starts it up, enters the function, ends it at its timeout, and turns what
// came out into a result.
//
// An [App] is one version of a deployed app. It counts the invocations that use it, so that a version which has been
// replaced stays until the last of them is answered and is unloaded then. Its compiled module can be replaced by a better
// one at any time: instances keep the one that they were made from.
//
// Instances that lie idle are kept for the next request, the one used last on a core at hand for that core. They are the
// reserve: when linear memories or their bytes run out, those used longest ago are closed, of whatever app, before an
// invocation is refused; and they go by themselves when nothing asks for them.
//
// Locks, outermost first: watch.mu, worker.mu, life.mu; Pool.mu or App.mu, idle.mu. None of the first row is held with one of
// the second.
package pool
