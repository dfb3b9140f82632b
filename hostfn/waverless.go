package hostfn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"edged.dev/edge/kvstore"
)

// waverlessFuncs are the functions that guests of waverless import. Numbers of results and of locks are i32 and given out
// from 1 on; a result that was given up is an error, not silence.
func waverlessFuncs() []native {
	return []native{
		{"kv_set", "iiii", waveSet},
		{"kv_get_len", "iiii", waveGetLen},
		{"kv_get", "ii", waveGet},
		{"kv_batch_ope", "iii", waveBatch},
		{"kv_batch_res", "iii", waveResults},
		{"open_file", "iii", waveOpen},
		{"read_file_at", "iiiii", waveRead},
		{"write_result", "ii", waveResult},
	}
}

// The limits of what an invocation has of waverless. What it reads may also not exceed Limits.BatchBytes at once.
const (
	maxKept  = 256  // results that the guest may still ask for; the oldest is given up
	maxHeld  = 1024 // locks
	waveLock = 60 * time.Second
)

// keptResult is what a guest can still fetch: one value of kv_get_len, or those of a kv_batch_ope, nil where there is none.
type keptResult struct {
	id     uint32
	values [][]byte
	bytes  int
}

// heldLock is a lock as the guest knows it.
type heldLock struct {
	key string
	id  uint32
}

// keepResult keeps values for the guest and returns their number. It gives up the oldest results when they are too many or,
// together, too large.
func (e *Env) keepResult(values [][]byte) uint32 {
	f := e.others()
	size := 0
	for _, v := range values {
		size += len(v)
	}
	for len(f.results) > 0 && (len(f.results) >= maxKept || f.keptBytes+size > e.app.Limits.BatchBytes) {
		f.keptBytes -= f.results[0].bytes
		f.results = f.results[1:]
	}
	f.resultID++
	f.results = append(f.results, &keptResult{f.resultID, values, size})
	f.keptBytes += size
	return f.resultID
}

// kept returns a result, or the error that ends a guest that asks for one that is not there.
func (e *Env) kept(id uint64) (*keptResult, error) {
	for _, r := range e.others().results {
		if uint64(r.id) == id {
			return r, nil
		}
	}
	return nil, e.ended(fmt.Errorf("there is no result %d; the latest %d are kept, %d bytes at most", id, maxKept, e.app.Limits.BatchBytes))
}

// waveSet stores a value.
//
// Parameters: k, kl, the key; v, vl, the value. No result.
func waveSet(e *Env, p []uint64) (Result, error) {
	key, err := e.bytes("k", p[0], p[1])
	if err != nil {
		return 0, err
	}
	value, err := e.bytes("v", p[2], p[3])
	if err != nil {
		return 0, err
	}
	space, err := e.store()
	if err != nil {
		return 0, err
	}
	ctx := e.patient()
	defer ctx.back()
	return 0, e.keyed(key, space.Set(ctx, key, value))
}

// waveGetLen reads a value for kv_get to fetch.
//
// Parameters: k, kl, the key; len_out, where the value's length goes, 0 without such a key; id_out, where the number for
// kv_get goes, left as it was without such a key. No result.
func waveGetLen(e *Env, p []uint64) (Result, error) {
	key, err := e.bytes("k", p[0], p[1])
	if err != nil {
		return 0, err
	}
	if _, err := e.bytes("id_out", p[3], 4); err != nil {
		return 0, err
	}
	if err := e.put32("len_out", p[2], 0); err != nil {
		return 0, err
	}
	space, err := e.store()
	if err != nil {
		return 0, err
	}
	value, err := space.Get(key, nil)
	if errors.Is(err, kvstore.ErrNotFound) {
		return 0, nil
	}
	if err := e.keyed(key, err); err != nil {
		return 0, err
	}
	if err := e.put32("len_out", p[2], uint32(len(value))); err != nil {
		return 0, err
	}
	return 0, e.put32("id_out", p[3], e.keepResult([][]byte{value}))
}

// waveGet fetches a value that kv_get_len has read, once.
//
// Parameters: id; v, where the whole value goes: the guest has made room for the length it was told. No result.
func waveGet(e *Env, p []uint64) (Result, error) {
	result, err := e.kept(p[0])
	if err != nil {
		return 0, err
	}
	if err := e.fetch(result, 0, p[1]); err != nil {
		return 0, err
	}
	f := e.others()
	for i, r := range f.results {
		if r == result {
			f.results = append(f.results[:i], f.results[i+1:]...)
			f.keptBytes -= r.bytes
			break
		}
	}
	return 0, nil
}

// fetch copies a value of a result to the guest; none and one that is not there leave its memory as it was.
func (e *Env) fetch(r *keptResult, index, ptr uint64) error {
	if index >= uint64(len(r.values)) || r.values[index] == nil {
		return nil
	}
	buf, err := e.bytes("v", ptr, uint64(len(r.values[index])))
	if err != nil {
		return err
	}
	copy(buf, r.values[index])
	return nil
}

// The operations of a batch, one word each, and how many words each has.
const (
	waveOpSet    = 1 // {1, key, key_len, value, value_len}
	waveOpGet    = 2 // {2, key, key_len, len_out}
	waveOpLock   = 3 // {3, key, key_len, release, id_out}
	waveOpDelete = 4 // {4, key, key_len}
)

// waveOp is one operation of a batch. For a lock, op.Kind is 0.
type waveOp struct {
	op      kvstore.Op
	out     uint64 // where a length or a lock's number goes
	release int32  // of a lock: the number of the one to give up, below zero to take it
}

// waveBatch runs operations in their order. Those between two locks are applied as one; a lock is waited for, with a lease of
// 60 s.
//
// Parameters: ops, len, that many i32 words: the count of operations, then each as above; id_out, where the number for
// kv_batch_res goes. No result. A get's length goes to its len_out, -1 without such a key, and the number of a lock that was
// taken to its id_out, when all operations have been run.
func waveBatch(e *Env, p []uint64) (Result, error) {
	words, err := e.bytes("ops", p[0], p[1]*4)
	if err != nil {
		return 0, err
	}
	if _, err := e.bytes("id_out", p[2], 4); err != nil {
		return 0, err
	}
	space, err := e.store()
	if err != nil {
		return 0, err
	}
	ops, err := e.waveOps(words)
	if err != nil {
		return 0, err
	}
	values, ids, err := e.waveRun(space, ops)
	if err != nil {
		return 0, err
	}
	for i, o := range ops {
		switch {
		case o.op.Kind == kvstore.OpGet && values[i] == nil:
			err = e.put32("len_out", o.out, math.MaxUint32)
		case o.op.Kind == kvstore.OpGet:
			err = e.put32("len_out", o.out, uint32(len(values[i])))
		case o.op.Kind == 0 && o.release < 0:
			err = e.put32("id_out", o.out, ids[i])
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, e.put32("id_out", p[2], e.keepResult(values))
}

// waveOps reads the operations of a batch and checks every pointer in them, before any is run.
func (e *Env) waveOps(words []byte) ([]waveOp, error) {
	word := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(words[at*4:])) }
	limits, total := &e.app.Limits, len(words)/4
	if total == 0 || word(0) > uint64(limits.BatchOps) {
		return nil, e.ended(fmt.Errorf("a batch has 0 to %d operations", limits.BatchOps))
	}
	count := int(word(0))
	ops := make([]waveOp, 0, count)
	at, size := 1, 0
	for range count {
		if at >= total {
			return nil, e.ended(fmt.Errorf("the batch ends before its operation %d of %d", len(ops)+1, count))
		}
		length := waveLength(word(at))
		if length == 0 || at+length > total {
			return nil, e.ended(fmt.Errorf("operation %d of the batch, of kind %d, is none or not whole", len(ops), word(at)))
		}
		op, err := e.waveOp(words[at*4 : (at+length)*4])
		if err != nil {
			return nil, err
		}
		if size += len(op.op.Key) + len(op.op.Value); size > limits.BatchBytes {
			return nil, e.ended(fmt.Errorf("keys and values of a batch are above the limit of %d bytes", limits.BatchBytes))
		}
		ops, at = append(ops, op), at+length
	}
	return ops, nil
}

// waveLength returns how many words an operation has, 0 for a kind that is none.
func waveLength(kind uint64) int {
	switch kind {
	case waveOpSet, waveOpLock:
		return 5
	case waveOpGet:
		return 4
	case waveOpDelete:
		return 3
	}
	return 0
}

// waveOp reads one operation, which is whole.
func (e *Env) waveOp(words []byte) (o waveOp, err error) {
	word := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(words[at*4:])) }
	if o.op.Key, err = e.bytes("key", word(1), word(2)); err != nil {
		return o, err
	}
	switch word(0) {
	case waveOpSet:
		o.op.Kind = kvstore.OpSet
		o.op.Value, err = e.bytes("value", word(3), word(4))
	case waveOpGet:
		o.op.Kind, o.out = kvstore.OpGet, word(3)
		_, err = e.bytes("len_out", o.out, 4)
	case waveOpDelete:
		o.op.Kind = kvstore.OpDelete
	case waveOpLock:
		if o.release = int32(uint32(word(3))); o.release < 0 {
			o.out = word(4)
			_, err = e.bytes("id_out", o.out, 4)
		}
	}
	return o, err
}

// waveRun runs a batch. It returns what was read and the numbers of the locks that were taken, by operation.
func (e *Env) waveRun(space Space, ops []waveOp) (values [][]byte, ids []uint32, err error) {
	values, ids = make([][]byte, len(ops)), make([]uint32, len(ops))
	begin := 0
	for i := 0; i <= len(ops); i++ {
		if i < len(ops) && ops[i].op.Kind != 0 {
			continue
		}
		if err := e.waveApply(space, ops[begin:i], values[begin:i]); err != nil {
			return nil, nil, err
		}
		begin = i + 1
		if i == len(ops) {
			break
		}
		if ids[i], err = e.waveLock(&ops[i]); err != nil {
			return nil, nil, err
		}
	}
	return values, ids, nil
}

// waveApply applies operations as one and stores what they read.
func (e *Env) waveApply(space Space, ops []waveOp, values [][]byte) error {
	if len(ops) == 0 {
		return nil
	}
	list := make([]kvstore.Op, len(ops))
	for i := range ops {
		list[i] = ops[i].op
	}
	if !e.resultsFit(list) {
		return e.ended(fmt.Errorf("the values that a batch reads are above the limit of %d bytes", e.app.Limits.BatchBytes))
	}
	ctx := e.patient()
	defer ctx.back()
	results, err := space.Apply(ctx, list)
	if err != nil {
		return e.ended(err)
	}
	for i, r := range results {
		if values[i] = r.Value; r.Found && ops[i].op.Kind == kvstore.OpGet && r.Value == nil {
			values[i] = []byte{}
		}
	}
	return nil
}

// waveLock takes a lock and returns its number, or gives it up. A lock whose lease is over, or that the guest does not hold,
// is given up with a warning in the log: there is nothing left to do. In waverless any key may be locked, whatever the
// function's kvs say of it, so this goes past them.
func (e *Env) waveLock(o *waveOp) (uint32, error) {
	f, space := e.others(), e.app.Space
	if o.release >= 0 {
		held := heldLock{string(o.op.Key), uint32(o.release)}
		token, known := f.locks[held]
		if !known {
			token = uint64(held.id) // another invocation's
		}
		delete(f.locks, held)
		err := space.Unlock(o.op.Key, token)
		if errors.Is(err, kvstore.ErrNotHeld) {
			e.logText(LevelWarn, fmt.Appendf(nil, "lock %d of %.64q is not held any more; its lease is %v", held.id, held.key, waveLock))
			return 0, nil
		}
		return 0, e.keyed(o.op.Key, err)
	}
	if len(f.locks) >= maxHeld {
		return 0, e.ended(fmt.Errorf("the invocation holds %d locks already", maxHeld))
	}
	ctx := e.patient()
	defer ctx.back()
	token, err := space.Lock(ctx, o.op.Key, waveLock)
	if err != nil {
		return 0, e.keyed(o.op.Key, err)
	}
	id := uint32(token & math.MaxInt32)
	if f.locks == nil {
		f.locks = make(map[heldLock]uint64)
	}
	f.locks[heldLock{string(o.op.Key), id}] = token
	return id, nil
}

// waveResults fetches values that a batch has read, as often as the guest likes.
//
// Parameters: id of the batch; args, len, that many i32 words: pairs of the index of a get and where its value goes. No
// result. A pair that names no value leaves the guest's memory as it was.
func waveResults(e *Env, p []uint64) (Result, error) {
	words, err := e.bytes("args", p[1], p[2]*4)
	if err != nil {
		return 0, err
	}
	result, err := e.kept(p[0])
	if err != nil {
		return 0, err
	}
	if len(words)/8 > e.app.Limits.BatchOps {
		return 0, e.ended(fmt.Errorf("%d values are above the limit of %d", len(words)/8, e.app.Limits.BatchOps))
	}
	for ; len(words) >= 8; words = words[8:] {
		index, ptr := binary.LittleEndian.Uint32(words), binary.LittleEndian.Uint32(words[4:])
		if err := e.fetch(result, uint64(index), uint64(ptr)); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// waveOpen opens a file to read, below the directories that the manifest grants: an absolute name is one of theirs, a
// relative one is below the first.
//
// Parameters: name, len; fd_out, where the descriptor goes. No result. It ends the call when the file cannot be opened.
func waveOpen(e *Env, p []uint64) (Result, error) {
	if _, err := e.bytes("fd_out", p[2], 4); err != nil {
		return 0, err
	}
	name, code, err := e.path("name", p[0], p[1])
	if err != nil {
		return 0, err
	}
	number := -1
	if code == success {
		number, code = e.openBelow(name)
	}
	if code != success {
		return 0, e.ended(fmt.Errorf("open %.128q: errno %d of preview 1", name, code))
	}
	return 0, e.put32("fd_out", p[2], uint32(number))
}

// openBelow opens a file of the granted directories for reading and returns its number.
func (e *Env) openBelow(name string) (int, errno) {
	const first = 3 // descriptor of the first granted directory
	for i, grant := range e.app.grants {
		rest, below := name, i == 0
		if name[0] == '/' {
			rest, below = strings.CutPrefix(name, strings.TrimSuffix(grant.Guest, "/")+"/")
		}
		if !below || rest == "" {
			continue
		}
		dir, code := e.directory(uint64(first+i), rightPathOpen, false)
		switch {
		case code != success:
			return 0, code
		case dir.grant != grant:
			return 0, eBadf // the guest has put another one in its place
		}
		number, code := e.files.free(e.app.Limits.OpenFiles)
		if code != success {
			return 0, code
		}
		o := opening{dir: dir, follow: true, base: rightFDRead | rightFDSeek}
		d, code := o.open(rest)
		if code != success {
			return 0, code
		}
		e.files.table[number] = d
		return number, success
	}
	return 0, eNoent
}

// waveRead reads from a file at an offset.
//
// Parameters: fd; buf, len; off; read_out, where the count of bytes goes, 0 at the end. No result. It ends the call when the
// file cannot be read.
func waveRead(e *Env, p []uint64) (Result, error) {
	buf, err := e.bytes("buf", p[1], p[2])
	if err != nil {
		return 0, err
	}
	if _, err := e.bytes("read_out", p[4], 4); err != nil {
		return 0, err
	}
	d, code := e.usable(p[0], rightFDRead)
	if code = seekable(d, code, p[3]); code != success {
		return 0, e.ended(fmt.Errorf("read descriptor %d: errno %d of preview 1", p[0], code))
	}
	n := 0
	for n < len(buf) {
		got, err := e.readFile(d.fd, buf[n:], int64(p[3])+int64(n))
		if err != nil {
			return 0, e.ended(fmt.Errorf("read descriptor %d: %w", p[0], err))
		}
		if n += got; got == 0 {
			break
		}
	}
	return 0, e.put32("read_out", p[4], uint32(n))
}

// waveResult makes a text the response; the last call counts.
//
// Parameters: ptr, len. No result.
func waveResult(e *Env, p []uint64) (Result, error) {
	data, err := e.bytes("ptr", p[0], p[1])
	if err != nil {
		return 0, err
	}
	return 0, e.answer(data)
}

// Argument returns what an entry of type (ptr, len) is called with: the key whose change started the invocation, else the
// request's body. It is valid until Finish.
func (e *Env) Argument() []byte {
	if e.req != nil {
		if key, ok := e.req.Meta("key"); ok {
			return []byte(key)
		}
	}
	return e.input
}
