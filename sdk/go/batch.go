package edged

import "edged.dev/edge/sdk/go/internal/abi"

// Op is one operation of a batch; [OpGet], [OpSet], [OpDelete] and [OpCAS] make them. It keeps the slices it was made
// with until the batch has run.
type Op struct {
	kind opKind
	key  string
	a, b []byte // nil: none
}

// opKind numbers the operations as the interface does.
type opKind byte

const (
	opGet    opKind = 1
	opSet    opKind = 2
	opDelete opKind = 3
	opCAS    opKind = 4
)

// OpGet reads a key, after the operations before it in the batch.
func OpGet(key string) Op { return Op{kind: opGet, key: key} }

// OpSet writes a value.
func OpSet(key string, value []byte) Op { return Op{kind: opSet, key: key, a: value} }

// OpDelete deletes a key.
func OpDelete(key string) Op { return Op{kind: opDelete, key: key} }

// OpCAS is [Store.CAS]; in a batch it is the condition for all of it.
func OpCAS(key string, old, value []byte) Op { return Op{kind: opCAS, key: key, a: old, b: value} }

// Result is what an operation of a batch found.
type Result struct {
	Found bool   // get and delete: there was such a key
	Value []byte // get: its value, a slice of its own
}

// firstResults is the room for a batch's results at first; most fit.
const firstResults = 1 << 10

// Batch runs all operations as one and returns a result for each. An operation sees what those before it did; nobody else
// sees a part of them. [ErrConflict] when the expectation of an [OpCAS] does not hold, [ErrLimit] for too many operations,
// [ErrTooLarge] for too many bytes: nothing has been applied then.
func (Store) Batch(ops ...Op) ([]Result, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	var packed []byte
	for i := range ops {
		packed = ops[i].appendTo(packed)
	}
	out := make([]byte, firstResults)
	n := abi.KVBatch(packed, out)
	for n >= 0 && int(n) > len(out) {
		// Applied, but the results did not fit: no operations at all ask for them again.
		out = make([]byte, n)
		n = abi.KVBatch(nil, out)
	}
	if err := check(int64(n), "kv batch", ""); err != nil {
		return nil, err
	}
	return unpackResults(ops, out[:n]), nil
}

// appendTo packs the operation: kind, 3 zero bytes, the lengths of key, a and b, then these.
func (op *Op) appendTo(to []byte) []byte {
	to = append(to, byte(op.kind), 0, 0, 0)
	to = appendLength(to, len(op.key))
	to = appendLength(to, op.length(op.a))
	to = appendLength(to, op.length(op.b))
	to = append(to, op.key...)
	to = append(to, op.a...)
	return append(to, op.b...)
}

// length is -1 for the absent value of a compare-and-set.
func (op *Op) length(b []byte) int {
	if b == nil && op.kind == opCAS {
		return -1
	}
	return len(b)
}

func appendLength(to []byte, n int) []byte {
	return append(to, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

// unpackResults reads a code and a length-prefixed value for each operation. The host wrote them, so they are complete.
func unpackResults(ops []Op, packed []byte) []Result {
	results := make([]Result, len(ops))
	for i := range ops {
		code := int32(littleEndian(packed))
		value, rest := unpack(packed[4:])
		packed = rest
		switch ops[i].kind {
		case opGet:
			results[i] = Result{Found: code == 0}
			if results[i].Found {
				results[i].Value = append([]byte{}, value...)
			}
		case opDelete:
			results[i] = Result{Found: code == 1}
		case opSet, opCAS: // nothing to tell: they were done
		}
	}
	return results
}
