package kvstore

import (
	"bytes"
	"errors"
)

// OpKind says what an Op does.
type OpKind uint8

// The kinds of operations.
const (
	OpGet            OpKind = iota + 1 // read Key
	OpSet                              // store Value under Key
	OpDelete                           // remove Key
	OpCompareAndSwap                   // store Value (nil: delete) when the value is Old (nil: absent), else ErrConflict
)

// Op is one operation of an Apply. The slices are only read, and only until Apply returns.
type Op struct {
	Kind  OpKind
	Key   []byte
	Value []byte // OpSet, OpCompareAndSwap
	Old   []byte // OpCompareAndSwap
}

// OpResult is what one Op did.
type OpResult struct {
	Found bool   // OpGet, OpDelete: the key was there
	Value []byte // OpGet: the value, owned by the caller; nil when not Found
}

// op is an Op that was checked, with the record to store made outside of any lock.
type op struct {
	kind OpKind
	key  []byte
	old  []byte
	rec  []byte // nil: delete
}

// change is the effect of one operation. Its slices are immutable.
type change struct {
	key   []byte
	rec   []byte // nil: the key was deleted
	fresh bool   // the key was absent before; known only when somebody watches
}

// prepare checks ops and copies what outlives the call: keys and values.
func (sp *Space) prepare(ops []Op) (prepared []op, weight int64, err error) {
	if len(ops) > MaxBatchOps {
		return nil, 0, &LimitError{What: "batch operations", Size: int64(len(ops)), Limit: MaxBatchOps}
	}
	weight = weightOverhead
	for i, o := range ops {
		if err := checkOp(o); err != nil {
			return nil, 0, &OpError{Index: i, Err: err}
		}
		weight += int64(len(o.Key) + len(o.Value) + len(o.Old) + recordHeader)
	}
	if weight > MaxBatchBytes && len(ops) > 1 {
		return nil, 0, &LimitError{What: "batch", Size: weight, Limit: MaxBatchBytes}
	}
	prepared = make([]op, len(ops))
	for i, o := range ops {
		prepared[i] = op{kind: o.Kind, key: bytes.Clone(o.Key), old: o.Old}
		if o.Kind == OpSet || o.Kind == OpCompareAndSwap && o.Value != nil {
			prepared[i].rec = sp.seal.encode(o.Key, o.Value)
		}
	}
	return prepared, weight, nil
}

func checkOp(o Op) error {
	if o.Kind < OpGet || o.Kind > OpCompareAndSwap {
		return ErrBadOp
	}
	if err := checkKey(o.Key); err != nil {
		return err
	}
	if n := max(len(o.Value), len(o.Old)); n > MaxValueBytes {
		return &LimitError{What: "value", Size: int64(n), Limit: MaxValueBytes}
	}
	return nil
}

// lookup returns the record stored under key, or nil. The record must stay valid until evaluate returns.
type lookup func(key []byte) (rec []byte, err error)

// evaluate runs ops against base and returns their effects without applying any of them: an operation that fails makes the
// whole batch fail and leaves no trace. It asks base only for what it needs to know, so that a damaged value can be
// overwritten; with watched it also finds out which keys are new.
func (sp *Space) evaluate(ops []op, base lookup, watched bool) ([]change, []OpResult, error) {
	view := overlay{base: base}
	results := make([]OpResult, len(ops))
	changes := make([]change, 0, len(ops))
	read := 0
	for i, o := range ops {
		ch, res, err := sp.step(o, &view, watched)
		if read += len(res.Value); err == nil && read > MaxResultBytes {
			err = &LimitError{What: "batch result", Size: int64(read), Limit: MaxResultBytes}
		}
		if err != nil {
			return nil, nil, &OpError{Index: i, Err: err}
		}
		results[i] = res
		if ch.key != nil {
			changes = append(changes, ch)
			view.add(ch, len(ops) > 1)
		}
	}
	return changes, results, nil
}

// step runs one operation. A change without a key means that nothing changes.
func (sp *Space) step(o op, view *overlay, watched bool) (change, OpResult, error) {
	if o.kind == OpSet && !watched {
		return change{key: o.key, rec: o.rec}, OpResult{}, nil
	}
	rec, err := view.find(o.key)
	if err != nil {
		return change{}, OpResult{}, err
	}
	found := rec != nil
	switch o.kind {
	case OpGet:
		if !found {
			return change{}, OpResult{}, nil
		}
		v, err := sp.appendValue([]byte{}, o.key, rec, true)
		return change{}, OpResult{Found: err == nil, Value: v}, err
	case OpSet:
		return change{key: o.key, rec: o.rec, fresh: !found}, OpResult{}, nil
	case OpDelete:
		if !found {
			return change{}, OpResult{}, nil
		}
		return change{key: o.key}, OpResult{Found: true}, nil
	case OpCompareAndSwap:
		return sp.swap(o, rec)
	default:
		return change{}, OpResult{}, ErrBadOp
	}
}

func (sp *Space) swap(o op, rec []byte) (change, OpResult, error) {
	if rec == nil {
		if o.old != nil {
			return change{}, OpResult{}, ErrConflict
		}
		if o.rec == nil { // absent as expected, and to stay so
			return change{}, OpResult{}, nil
		}
		return change{key: o.key, rec: o.rec, fresh: true}, OpResult{}, nil
	}
	if o.old == nil {
		return change{}, OpResult{}, ErrConflict
	}
	v, ok := sp.seal.decode(o.key, rec)
	if !ok {
		return change{}, OpResult{}, sp.corrupt(o.key)
	}
	if !bytes.Equal(v, o.old) {
		return change{}, OpResult{}, ErrConflict
	}
	return change{key: o.key, rec: o.rec}, OpResult{}, nil
}

// overlay is what one batch has changed so far, over what is below it.
type overlay struct {
	base lookup
	recs map[string][]byte // nil record: deleted
}

func (v *overlay) find(key []byte) ([]byte, error) {
	if rec, ok := v.recs[string(key)]; ok {
		return rec, nil
	}
	return v.base(key)
}

// add remembers a change; a batch of one has nobody to show it to.
func (v *overlay) add(ch change, more bool) {
	if !more {
		return
	}
	if v.recs == nil {
		v.recs = make(map[string][]byte)
	}
	v.recs[string(ch.key)] = ch.rec
}

// unwrapOp removes the position from the error of a batch of one.
func unwrapOp(err error) error {
	var oe *OpError
	if errors.As(err, &oe) {
		return oe.Err
	}
	return err
}
