// Package wasmedge is the engine: it loads ahead-of-time compiled WebAssembly into this process, runs it on the calling
// OS thread, and stays alive whatever a guest does. Everything that touches libwasmedge is here, and nothing else uses
// cgo or unsafe.
//
// Without cgo the package offers its errors and the types that host functions are declared with, and Unsupported, which says
// why there is no engine: hostfn, the scheduler and all else that only speaks of guests builds and tests that way. What runs
// guests (edged/internal/pool, edged/internal/daemon, the binary) needs cgo. docs/PREEMPTION.md explains how guests are ended.
package wasmedge
