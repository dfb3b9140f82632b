package kvstore

import "context"

// Writer is a space as somebody in particular writes to it: what its changes trigger is told of them as its cause. It reads as the
// space does, and may be used from any goroutine.
type Writer struct {
	*Space

	by author
}

// By returns the space for writes by origin, which the Listener of the rules knows what to make of.
func (sp *Space) By(origin any) Writer { return Writer{Space: sp, by: author{origin: origin}} }

// Silent returns the space for writes that trigger nothing: for putting a state back that was there before.
func (sp *Space) Silent() Writer { return Writer{Space: sp, by: author{silent: true}} }

// Set is [Space.Set].
func (w Writer) Set(ctx context.Context, key, value []byte) error {
	_, err := w.oneBy(ctx, Op{Kind: OpSet, Key: key, Value: value}, w.by)
	return err
}

// Delete is [Space.Delete].
func (w Writer) Delete(ctx context.Context, key []byte) (existed bool, err error) {
	res, err := w.oneBy(ctx, Op{Kind: OpDelete, Key: key}, w.by)
	return res.Found, err
}

// CompareAndSwap is [Space.CompareAndSwap].
func (w Writer) CompareAndSwap(ctx context.Context, key, old, newValue []byte) error {
	_, err := w.oneBy(ctx, Op{Kind: OpCompareAndSwap, Key: key, Old: old, Value: newValue}, w.by)
	return err
}

// Apply is [Space.Apply].
func (w Writer) Apply(ctx context.Context, ops []Op) ([]OpResult, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	return w.write(ctx, ops, w.by)
}
