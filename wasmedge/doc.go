// Package wasmedge is the engine: it loads ahead-of-time compiled WebAssembly into this process, runs it on the calling
// OS thread, and stays alive whatever a guest does. Everything that touches libwasmedge is here, and nothing else uses
// cgo or unsafe.
package wasmedge
