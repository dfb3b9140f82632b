// Package calls lets functions start each other: calls that are waited for and calls that are not, their results as objects, and
// actors. It implements hostfn.Invoker for each app.
//
// # Objects
//
// What a call returns and what a guest puts is an object of its app: immutable, with a number that any invocation of the app may
// use. An invocation holds the objects that it has made or asked for, until it drops them or ends. An object that nobody holds is kept
// for [Options.Grace], so that its number can be passed on, and is then freed; earlier when the app needs the room. Objects live in
// memory up to [Options.Memory] an app, beyond that in files; none survives a restart.
//
// # What runs when
//
// A call that is waited for goes to the scheduler at once. Others go there up to [Options.Window] an app, and wait here beyond that:
// a guest may start ten thousand in a row. One that waits itself does not count, so that what it waits for can run.
//
// # No deadlock
//
// Who waits has given its core away, but keeps a thread. So no more than [Options.Waiters] may wait at once; one more is refused. And a
// wait that could only end after itself is refused: before a wait begins, it is worked out from all waits in progress whether
// those that it waits for can still come to an end. Since this is so before every wait, there is no cycle later either.
//
// Locks: Calls.mu for everything but the control of a running call, which has object.control. The scheduler is called without
// either.
package calls
