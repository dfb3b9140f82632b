// Package hostfn holds the functions that a guest may import: the native interface "edged" and our own
// "wasi_snapshot_preview1", with CGI 1.1 and plain commands over it. One file holds one family of functions, abi.go every
// result code and every access to a guest's memory, and [All] lists what there is.
//
// # State
//
// An [App] is what all invocations of one app share: its grants, its configuration, its space, its limits. An [Env] is one
// invocation: its request, the response so far, its open files. The engine is handed the Env as the value of the call and
// gives it to every host function. An Env serves one invocation after another ([Env.Begin], the guest, [Env.Finish]) and
// belongs to one goroutine at a time; an App may be used by any number of them.
//
// # Rules that hold for every function
//
//   - A pointer and length that lie outside the guest's memory end the guest with a [PointerError] that names the function
//     and the argument. All sums are made in 64 bits.
//   - A parameter pair "buf, cap" receives a result: the full length is returned, and bytes are copied only when they
//     fit, so one call both sizes and copies.
//   - No function keeps a pointer into the guest's memory after it has returned, and nothing that another goroutine may
//     read later is passed without being copied.
//   - Functions that may block say so. They end with the invocation's context, which is over at its deadline. What waits for
//     anything but the processor (a commit, a lock, a timer, the disk) leaves its core to others meanwhile ([Env.RunOn]).
//     Looking up paths and the entries of directories are taken to be in the system's caches, and keep it.
//   - Nothing of the daemon is visible: not its descriptors, its environment, its arguments, its working directory.
package hostfn
