// Package abi is the seam between the SDK and its host: one Go function for each import of the module "edged", the same
// on both sides. Compiled for wasip1 they are the imports; elsewhere they go to an installed [Host], so that functions
// can be built, vetted and tested natively.
//
// Buffers are read or filled before a function returns and are not kept. Lengths are in bytes. A result below zero is
// one of the error codes; a length above the buffer's means that nothing was copied.
package abi

// Host is what edged provides to a function. Implementations need not be safe for concurrent use.
type Host interface {
	// InputLen returns the length of the request body.
	InputLen() int32
	// InputRead copies from offset off of the body into buf and returns how many bytes.
	InputRead(off int32, buf []byte) int32
	// OutputWrite appends to the response body.
	OutputWrite(data []byte) int32
	// OutputStatus sets the HTTP status.
	OutputStatus(code int32) int32
	// OutputHeader adds a response header.
	OutputHeader(name, value string) int32
	// Error sets the text of a failed call.
	Error(text string)
	// MetaGet reads a fact about the call.
	MetaGet(key string, buf []byte) int32
	// Log writes a line to the app's log.
	Log(level int32, text string)
	// ConfigGet reads a setting.
	ConfigGet(key string, buf []byte) int32
	// SecretGet reads a secret.
	SecretGet(key string, buf []byte) int32
	// KVGet reads a value.
	KVGet(key string, buf []byte) int32
	// KVSet writes a value.
	KVSet(key string, value []byte) int32
	// KVDelete deletes a key: 1 when there was one, else 0.
	KVDelete(key string) int32
	// KVCAS replaces old by value; a nil slice stands for "absent".
	KVCAS(key string, old, value []byte) int32
	// KVScan fills buf with entries and moves cursor.
	KVScan(prefix string, cursor *[16]byte, buf []byte) int32
	// KVBatch runs packed operations and fills out with their packed results.
	KVBatch(ops, out []byte) int32
	// KVLock takes a lease and returns its token.
	KVLock(key string, ttlMillis int32) int64
	// KVUnlock gives a lease back.
	KVUnlock(key string, token int64) int32
	// Call runs another function and fills buf with its result.
	Call(function string, input, buf []byte) int32
	// ResultRead copies from offset off of the last result, or of the text of its error, into buf and returns how many bytes.
	ResultRead(off int32, buf []byte) int32
	// RCall starts another function and returns the number of its result.
	RCall(function string, input []byte) int64
	// RPut makes an object and returns its number.
	RPut(data []byte) int64
	// RGet waits for an object and fills buf with it.
	RGet(object int64, buf []byte, timeoutMillis int32) int32
	// RLen returns the length of an object.
	RLen(object int64) int32
	// RWait waits for want of the objects and says in ready, which is as long, which are there.
	RWait(objects []int64, want, timeoutMillis int32, ready []byte) int32
	// RCancel ends the call of an object.
	RCancel(object int64) int32
	// RDrop gives an object up.
	RDrop(object int64) int32
	// ActorNew returns the number of the actor of a class and a key.
	ActorNew(class, key string) int64
	// ActorCall sends a message to an actor and returns the number of its answer.
	ActorCall(actor int64, function string, input []byte) int64
	// Random fills buf with fresh random bytes; 0 when it did.
	Random(buf []byte) int32
}
