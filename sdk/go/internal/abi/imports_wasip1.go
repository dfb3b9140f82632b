package abi

// The parameters are exactly those of the imports; a string is passed as its pointer and length.

//go:wasmimport edged input_len
func inputLen() int32

//go:wasmimport edged input_read
func inputRead(off int32, buf *byte, capacity int32) int32

//go:wasmimport edged output_write
func outputWrite(data *byte, n int32) int32

//go:wasmimport edged output_status
func outputStatus(code int32) int32

//go:wasmimport edged output_header
func outputHeader(name, value string) int32

//go:wasmimport edged error
func setError(text string)

//go:wasmimport edged meta_get
func metaGet(key string, buf *byte, capacity int32) int32

//go:wasmimport edged log
func log(level int32, text string)

//go:wasmimport edged config_get
func configGet(key string, buf *byte, capacity int32) int32

//go:wasmimport edged secret_get
func secretGet(key string, buf *byte, capacity int32) int32

//go:wasmimport edged kv_get
func kvGet(key string, buf *byte, capacity int32) int32

//go:wasmimport edged kv_set
func kvSet(key string, value *byte, n int32) int32

//go:wasmimport edged kv_delete
func kvDelete(key string) int32

//go:wasmimport edged kv_cas
func kvCAS(key string, old *byte, oldLen int32, value *byte, valueLen int32) int32

//go:wasmimport edged kv_scan
func kvScan(prefix string, cursor *[16]byte, buf *byte, capacity int32) int32

//go:wasmimport edged kv_batch
func kvBatch(ops *byte, n int32, out *byte, capacity int32) int32

//go:wasmimport edged kv_lock
func kvLock(key string, ttlMillis int32) int64

//go:wasmimport edged kv_unlock
func kvUnlock(key string, token int64) int32

//go:wasmimport edged call
func call(function string, input *byte, n int32, buf *byte, capacity int32) int32

//go:wasmimport edged result_read
func resultRead(off int32, buf *byte, capacity int32) int32

//go:wasmimport edged rcall
func rcall(function string, input *byte, n int32) int64

//go:wasmimport edged rput
func rput(data *byte, n int32) int64

//go:wasmimport edged rget
func rget(object int64, buf *byte, capacity, timeoutMillis int32) int32

//go:wasmimport edged rlen
func rlen(object int64) int32

//go:wasmimport edged rwait
func rwait(objects *int64, n, want, timeoutMillis int32, ready *byte) int32

//go:wasmimport edged rcancel
func rcancel(object int64) int32

//go:wasmimport edged rdrop
func rdrop(object int64) int32

//go:wasmimport edged actor_new
func actorNew(class, key string) int64

//go:wasmimport edged actor_call
func actorCall(actor int64, function string, input *byte, n int32) int64

//go:wasmimport wasi_snapshot_preview1 random_get
func randomGet(buf *byte, n int32) int32

// first returns the address of a slice's first byte, nil for an empty one: the host reads nothing at length 0.
func first(b []byte) (*byte, int32) {
	if len(b) == 0 {
		return nil, 0
	}
	return &b[0], int32(len(b))
}

// firstOrAbsent is first, with length -1 for nil.
func firstOrAbsent(b []byte) (*byte, int32) {
	if b == nil {
		return nil, -1
	}
	return first(b)
}

// InputLen is [Host.InputLen].
func InputLen() int32 { return inputLen() }

// InputRead is [Host.InputRead].
func InputRead(off int32, buf []byte) int32 {
	p, n := first(buf)
	return inputRead(off, p, n)
}

// OutputWrite is [Host.OutputWrite].
func OutputWrite(data []byte) int32 { return outputWrite(first(data)) }

// OutputStatus is [Host.OutputStatus].
func OutputStatus(code int32) int32 { return outputStatus(code) }

// OutputHeader is [Host.OutputHeader].
func OutputHeader(name, value string) int32 { return outputHeader(name, value) }

// Error is [Host.Error].
func Error(text string) { setError(text) }

// MetaGet is [Host.MetaGet].
func MetaGet(key string, buf []byte) int32 {
	p, n := first(buf)
	return metaGet(key, p, n)
}

// Log is [Host.Log].
func Log(level int32, text string) { log(level, text) }

// ConfigGet is [Host.ConfigGet].
func ConfigGet(key string, buf []byte) int32 {
	p, n := first(buf)
	return configGet(key, p, n)
}

// SecretGet is [Host.SecretGet].
func SecretGet(key string, buf []byte) int32 {
	p, n := first(buf)
	return secretGet(key, p, n)
}

// KVGet is [Host.KVGet].
func KVGet(key string, buf []byte) int32 {
	p, n := first(buf)
	return kvGet(key, p, n)
}

// KVSet is [Host.KVSet].
func KVSet(key string, value []byte) int32 {
	p, n := first(value)
	return kvSet(key, p, n)
}

// KVDelete is [Host.KVDelete].
func KVDelete(key string) int32 { return kvDelete(key) }

// KVCAS is [Host.KVCAS].
func KVCAS(key string, old, value []byte) int32 {
	o, oldLen := firstOrAbsent(old)
	v, valueLen := firstOrAbsent(value)
	return kvCAS(key, o, oldLen, v, valueLen)
}

// KVScan is [Host.KVScan].
func KVScan(prefix string, cursor *[16]byte, buf []byte) int32 {
	p, n := first(buf)
	return kvScan(prefix, cursor, p, n)
}

// KVBatch is [Host.KVBatch].
func KVBatch(ops, out []byte) int32 {
	p, n := first(ops)
	o, capacity := first(out)
	return kvBatch(p, n, o, capacity)
}

// KVLock is [Host.KVLock].
func KVLock(key string, ttlMillis int32) int64 { return kvLock(key, ttlMillis) }

// KVUnlock is [Host.KVUnlock].
func KVUnlock(key string, token int64) int32 { return kvUnlock(key, token) }

// Call is [Host.Call].
func Call(function string, input, buf []byte) int32 {
	in, n := first(input)
	p, capacity := first(buf)
	return call(function, in, n, p, capacity)
}

// ResultRead is [Host.ResultRead].
func ResultRead(off int32, buf []byte) int32 {
	p, n := first(buf)
	return resultRead(off, p, n)
}

// RCall is [Host.RCall].
func RCall(function string, input []byte) int64 {
	p, n := first(input)
	return rcall(function, p, n)
}

// RPut is [Host.RPut].
func RPut(data []byte) int64 { return rput(first(data)) }

// RGet is [Host.RGet].
func RGet(object int64, buf []byte, timeoutMillis int32) int32 {
	p, n := first(buf)
	return rget(object, p, n, timeoutMillis)
}

// RLen is [Host.RLen].
func RLen(object int64) int32 { return rlen(object) }

// RWait is [Host.RWait].
func RWait(objects []int64, want, timeoutMillis int32, ready []byte) int32 {
	var list *int64
	if len(objects) > 0 {
		list = &objects[0]
	}
	p, _ := first(ready)
	return rwait(list, int32(len(objects)), want, timeoutMillis, p)
}

// RCancel is [Host.RCancel].
func RCancel(object int64) int32 { return rcancel(object) }

// RDrop is [Host.RDrop].
func RDrop(object int64) int32 { return rdrop(object) }

// ActorNew is [Host.ActorNew].
func ActorNew(class, key string) int64 { return actorNew(class, key) }

// ActorCall is [Host.ActorCall].
func ActorCall(actor int64, function string, input []byte) int64 {
	p, n := first(input)
	return actorCall(actor, function, p, n)
}

// Random is [Host.Random].
func Random(buf []byte) int32 { return randomGet(first(buf)) }
