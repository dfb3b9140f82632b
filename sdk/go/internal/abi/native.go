//go:build !wasip1

package abi

import "sync"

// A process has one guest at a time, as a Wasm instance has; running orders the tests that play it.
var (
	running sync.Mutex
	current Host = absent{} // guarded by running
)

// Use makes host the one that the functions of this package talk to while body runs. Calls of Use wait for each other;
// body must not call it.
func Use(host Host, body func()) {
	running.Lock()
	defer running.Unlock()
	current = host
	defer func() { current = absent{} }()
	body()
}

// Within makes host the one that the functions of this package talk to while body runs, and then the one before again. It is
// for a host that has a guest call another, within Use.
func Within(host Host, body func()) {
	before := current
	current = host
	defer func() { current = before }()
	body()
}

// InputLen is [Host.InputLen].
func InputLen() int32 { return current.InputLen() }

// InputRead is [Host.InputRead].
func InputRead(off int32, buf []byte) int32 { return current.InputRead(off, buf) }

// OutputWrite is [Host.OutputWrite].
func OutputWrite(data []byte) int32 { return current.OutputWrite(data) }

// OutputStatus is [Host.OutputStatus].
func OutputStatus(code int32) int32 { return current.OutputStatus(code) }

// OutputHeader is [Host.OutputHeader].
func OutputHeader(name, value string) int32 { return current.OutputHeader(name, value) }

// Error is [Host.Error].
func Error(text string) { current.Error(text) }

// MetaGet is [Host.MetaGet].
func MetaGet(key string, buf []byte) int32 { return current.MetaGet(key, buf) }

// Log is [Host.Log].
func Log(level int32, text string) { current.Log(level, text) }

// ConfigGet is [Host.ConfigGet].
func ConfigGet(key string, buf []byte) int32 { return current.ConfigGet(key, buf) }

// SecretGet is [Host.SecretGet].
func SecretGet(key string, buf []byte) int32 { return current.SecretGet(key, buf) }

// KVGet is [Host.KVGet].
func KVGet(key string, buf []byte) int32 { return current.KVGet(key, buf) }

// KVSet is [Host.KVSet].
func KVSet(key string, value []byte) int32 { return current.KVSet(key, value) }

// KVDelete is [Host.KVDelete].
func KVDelete(key string) int32 { return current.KVDelete(key) }

// KVCAS is [Host.KVCAS].
func KVCAS(key string, old, value []byte) int32 { return current.KVCAS(key, old, value) }

// KVScan is [Host.KVScan].
func KVScan(prefix string, cursor *[16]byte, buf []byte) int32 {
	return current.KVScan(prefix, cursor, buf)
}

// KVBatch is [Host.KVBatch].
func KVBatch(ops, out []byte) int32 { return current.KVBatch(ops, out) }

// KVLock is [Host.KVLock].
func KVLock(key string, ttlMillis int32) int64 { return current.KVLock(key, ttlMillis) }

// KVUnlock is [Host.KVUnlock].
func KVUnlock(key string, token int64) int32 { return current.KVUnlock(key, token) }

// Call is [Host.Call].
func Call(function string, input, buf []byte) int32 { return current.Call(function, input, buf) }

// ResultRead is [Host.ResultRead].
func ResultRead(off int32, buf []byte) int32 { return current.ResultRead(off, buf) }

// RCall is [Host.RCall].
func RCall(function string, input []byte) int64 { return current.RCall(function, input) }

// RPut is [Host.RPut].
func RPut(data []byte) int64 { return current.RPut(data) }

// RGet is [Host.RGet].
func RGet(object int64, buf []byte, timeoutMillis int32) int32 {
	return current.RGet(object, buf, timeoutMillis)
}

// RLen is [Host.RLen].
func RLen(object int64) int32 { return current.RLen(object) }

// RWait is [Host.RWait].
func RWait(objects []int64, want, timeoutMillis int32, ready []byte) int32 {
	return current.RWait(objects, want, timeoutMillis, ready)
}

// RCancel is [Host.RCancel].
func RCancel(object int64) int32 { return current.RCancel(object) }

// RDrop is [Host.RDrop].
func RDrop(object int64) int32 { return current.RDrop(object) }

// ActorNew is [Host.ActorNew].
func ActorNew(class, key string) int64 { return current.ActorNew(class, key) }

// ActorCall is [Host.ActorCall].
func ActorCall(actor int64, function string, input []byte) int64 {
	return current.ActorCall(actor, function, input)
}

// Random is [Host.Random].
func Random(buf []byte) int32 { return current.Random(buf) }

// absent is the host outside of Use: there is nothing it can do.
type absent struct{}

// unsupported is the error code that says so.
const unsupported = -9

func (absent) InputLen() int32                           { return 0 }
func (absent) InputRead(int32, []byte) int32             { return unsupported }
func (absent) OutputWrite([]byte) int32                  { return unsupported }
func (absent) OutputStatus(int32) int32                  { return unsupported }
func (absent) OutputHeader(string, string) int32         { return unsupported }
func (absent) Error(string)                              {}
func (absent) MetaGet(string, []byte) int32              { return unsupported }
func (absent) Log(int32, string)                         {}
func (absent) ConfigGet(string, []byte) int32            { return unsupported }
func (absent) SecretGet(string, []byte) int32            { return unsupported }
func (absent) KVGet(string, []byte) int32                { return unsupported }
func (absent) KVSet(string, []byte) int32                { return unsupported }
func (absent) KVDelete(string) int32                     { return unsupported }
func (absent) KVCAS(string, []byte, []byte) int32        { return unsupported }
func (absent) KVScan(string, *[16]byte, []byte) int32    { return unsupported }
func (absent) KVBatch([]byte, []byte) int32              { return unsupported }
func (absent) KVLock(string, int32) int64                { return unsupported }
func (absent) KVUnlock(string, int64) int32              { return unsupported }
func (absent) Call(string, []byte, []byte) int32         { return unsupported }
func (absent) ResultRead(int32, []byte) int32            { return 0 }
func (absent) RCall(string, []byte) int64                { return unsupported }
func (absent) RPut([]byte) int64                         { return unsupported }
func (absent) RGet(int64, []byte, int32) int32           { return unsupported }
func (absent) RLen(int64) int32                          { return unsupported }
func (absent) RWait([]int64, int32, int32, []byte) int32 { return unsupported }
func (absent) RCancel(int64) int32                       { return unsupported }
func (absent) RDrop(int64) int32                         { return unsupported }
func (absent) ActorNew(string, string) int64             { return unsupported }
func (absent) ActorCall(int64, string, []byte) int64     { return unsupported }
func (absent) Random([]byte) int32                       { return unsupported }
