package kvstore

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

const (
	// epochBits is how many numbers one opening of the store can give out, as a power of two.
	epochBits = 40
	// epochMargin is how many openings are skipped when it is not known any more which one this is: of those before, all events may be gone.
	epochMargin = 4096
	// maxSettling is how many deliveries may be over without that being on disk before no more are handed out. It is reached
	// only when the disk refuses to write.
	maxSettling = 65536
	// settledGroup bounds the records of deliveries that are removed or changed in one commit.
	settledGroup = 4096
)

// Outbox keeps the deliveries of all rules from the change to their end. All methods may be called from any goroutine.
//
// A delivery of a Sync space is written with its change, in one transaction, and handed to the listener after it. One of a Batched space
// is handed over when the write is accepted, and is written with its change unless it is over by then. What is over is removed with the
// next commit, or one of its own after Options.BatchDelay; until then a crash makes it be delivered again, with the same ID.
//
// A rule's deliveries beyond its window are not held in memory: they are read from the file when there is room.
type Outbox struct {
	store *Store
	seq   atomic.Uint64 // the number given out last
	rules atomic.Pointer[ruleSet]

	eventSeal, deadSeal seal

	wake    chan struct{} // capacity 1: look for deliveries to read from the file
	stopped chan struct{} // closed when the goroutine that does so has ended

	setMu sync.Mutex // serialises SetRules; before spacesMu
	begun bool       // guarded by setMu; the numbers of this opening are reserved

	mu       sync.Mutex
	backlogs map[string]*backlog // guarded by mu; of every rule that something waits for or holds
	graphs   map[uint64]Graph    // guarded by mu; by seq, of deliveries that are in the file only
	settling int                 // guarded by mu; deliveries that are over, or changed, and not on disk as such
	behind   int64               // guarded by mu; the sum of backlog.skipped
}

// backlog counts what waits for one rule.
type backlog struct {
	rule    string
	pending atomic.Int64 // made and not over

	dead atomic.Int64 // dead letters in the file; the committer changes it

	loaded  int    // guarded by Outbox.mu; with the listener
	skipped int64  // guarded by Outbox.mu; not handed over yet: in the file, or to be written there
	upto    uint64 // guarded by Outbox.mu; the place of the last one handed over
}

func newOutbox(s *Store) *Outbox {
	return &Outbox{
		store: s, eventSeal: newSeal(eventsSeal), deadSeal: newSeal(deadSeal), wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		backlogs: make(map[string]*backlog), graphs: make(map[uint64]Graph),
	}
}

// Outbox returns the deliveries of the store's rules.
func (s *Store) Outbox() *Outbox { return s.outbox }

func (o *Outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func (o *Outbox) backlogOf(rule string) *backlog {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.backlogs[rule]
	if b == nil {
		b = &backlog{rule: rule}
		o.backlogs[rule] = b
	}
	return b
}

// count finds what waits in the file, before anything else uses the outbox.
func (o *Outbox) count() (err error) {
	defer catch("open", &err)()
	return o.store.db.View(func(tx *bbolt.Tx) error {
		for _, bucket := range []string{eventsBucket, deadBucket} {
			b := tx.Bucket([]byte(bucket))
			if b == nil {
				continue
			}
			err := b.ForEach(func(key, _ []byte) error {
				rule, _, ok := splitRecordKey(key)
				if !ok { // it is nobody's, so nobody misses it; a scrub names it
					o.store.counters.corrupt.Add(1)
					return nil
				}
				waits := o.backlogs[rule]
				if waits == nil {
					waits = &backlog{rule: rule}
					o.backlogs[rule] = waits
				}
				if bucket == deadBucket {
					waits.dead.Add(1)
					return nil
				}
				waits.skipped++
				waits.pending.Add(1)
				o.behind++
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// begin reserves the numbers of this opening: they are above all given out before, those included that a crash has lost together with
// their changes, for a function may have seen them.
func (o *Outbox) begin() error {
	var epoch uint64
	err := o.store.commit.admin(context.Background(), func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(metaBucket))
		if b == nil {
			return damaged("the %q bucket is gone", metaBucket)
		}
		if rec := b.Get([]byte(epochKey)); rec != nil {
			v, ok := newSeal("").decode([]byte(epochKey), rec)
			if ok && len(v) == 8 {
				epoch = binary.LittleEndian.Uint64(v)
			} else {
				o.store.counters.corrupt.Add(1)
				epoch = lastEpoch(tx) + epochMargin
			}
		}
		epoch++
		if epoch >= 1<<(64-epochBits) {
			return errors.New("the numbers of events are used up: export the spaces into a new store")
		}
		return b.Put([]byte(epochKey), newSeal("").encode([]byte(epochKey), binary.LittleEndian.AppendUint64(nil, epoch)))
	})
	if err == nil {
		o.seq.Store(epoch << epochBits)
	}
	return err
}

// lastEpoch returns the largest epoch that a delivery or a dead letter in the file is of.
func lastEpoch(tx *bbolt.Tx) (last uint64) {
	for _, bucket := range []string{eventsBucket, deadBucket} {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			continue
		}
		cursor := b.Cursor()
		for key, _ := cursor.First(); key != nil; key, _ = cursor.Next() {
			if _, number, ok := splitRecordKey(key); ok {
				last = max(last, number>>epochBits)
			}
		}
	}
	return last
}

// publish hands over the deliveries of a change that is committed or accepted, as far as their rules' windows have room. For one space it
// is never called twice at a time.
func (o *Outbox) publish(list []*Delivery) {
	if len(list) == 0 {
		return
	}
	set := o.rules.Load()
	ready := make([]*Delivery, 0, len(list))
	o.mu.Lock()
	for _, d := range list {
		if d.Cause.Graph != nil {
			d.Cause.Graph.Add()
		}
		b, r := d.waits, set.byID[d.Rule]
		if d.durable && (b.skipped > 0 || r == nil || b.loaded >= r.Window || o.settling >= maxSettling) {
			b.skipped++
			o.behind++
			if d.Cause.Graph != nil {
				o.graphs[d.seq] = d.Cause.Graph
			}
			continue
		}
		b.loaded++
		if d.durable {
			b.upto = d.seq
		}
		d.delivered = true
		ready = append(ready, d)
	}
	o.mu.Unlock()
	if len(ready) > 0 {
		set.listener.Deliver(ready)
	}
}

// lose forgets the deliveries of changes that will never be committed, because their space was dropped. What the listener has stays,
// and so does what a flush has brought to disk before the drop: it is counted as being in the file, and is.
func (o *Outbox) lose(list []*Delivery) {
	for _, d := range list {
		o.mu.Lock()
		skipped := !d.delivered && !d.recorded
		if skipped {
			d.over = true
			d.waits.skipped--
			o.behind--
			d.waits.pending.Add(-1)
			delete(o.graphs, d.seq)
		}
		o.mu.Unlock()
		if skipped {
			endGraph(d, ErrDropped)
		}
	}
}

func endGraph(d *Delivery, err error) {
	if d.Cause.Graph != nil {
		d.Cause.Graph.End(err)
	}
}

// record returns what is to be written of a delivery with its change: its record, that of a dead letter, or neither.
func (o *Outbox) record(d *Delivery) (rec, dead []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.over {
		return nil, d.burial
	}
	d.recorded = true
	return d.encode(), nil
}

// unrecord is told of deliveries whose records did not get to disk: the transaction failed.
func (o *Outbox) unrecord(list []*Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range list {
		d.recorded = false
	}
}

// settlement is a change of what the file holds of a delivery.
type settlement struct {
	of      *backlog
	key     []byte // in the bucket of events
	rec     []byte // the value; nil: to be removed
	deadKey []byte // nil: it is no dead letter
	dead    []byte
}

// shrinks reports whether it only takes away.
func (s *settlement) shrinks() bool { return s.rec == nil && s.dead == nil }

// write puts what a group does to deliveries into its transaction, and remembers by how much the dead letters change.
func (o *Outbox) write(tx *bbolt.Tx, sets []changeSet, settled []settlement, deaths map[*backlog]int64) error {
	clear(deaths)
	var events *bbolt.Bucket
	var err error
	open := func() error {
		if events == nil {
			events, err = tx.CreateBucketIfNotExists([]byte(eventsBucket))
		}
		return err
	}
	for _, set := range sets {
		for _, d := range set.deliveries {
			rec, dead := o.record(d)
			if rec == nil && dead == nil {
				continue // it is over already
			}
			if err := open(); err != nil {
				return err
			}
			key := recordKey(d.Rule, d.seq)
			if dead != nil {
				err = o.writeDead(tx, &settlement{of: d.waits, deadKey: recordKey(d.Rule, d.ID), dead: dead}, deaths)
			} else {
				err = events.Put(key, o.eventSeal.encode(key, rec))
			}
			if err != nil {
				return err
			}
		}
	}
	for i := range settled {
		if err := open(); err != nil {
			return err
		}
		s := &settled[i]
		if s.rec != nil {
			err = events.Put(s.key, o.eventSeal.encode(s.key, s.rec))
		} else {
			err = events.Delete(s.key)
		}
		if err == nil && s.dead != nil {
			err = o.writeDead(tx, s, deaths)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// committed is told of deliveries on disk: what was removed there need not be remembered, and what was written can be read.
func (o *Outbox) committed(settled int, deaths map[*backlog]int64) {
	o.mu.Lock()
	o.settling -= settled
	for b, n := range deaths {
		b.dead.Add(n)
	}
	behind := o.behind
	o.mu.Unlock()
	if behind > 0 {
		o.poke()
	}
}

// Done ends a delivery that has done its work.
func (o *Outbox) Done(d *Delivery) { o.end(d, nil, nil) }

// Failed raises Attempts, which survives a restart from the next commit on.
func (o *Outbox) Failed(d *Delivery) {
	o.mu.Lock()
	d.Attempts++
	if d.over || !d.durable || !d.recorded {
		o.mu.Unlock() // a first record is made when its change is written, of what holds then
		return
	}
	o.settling++
	s := settlement{of: d.waits, key: recordKey(d.Rule, d.seq), rec: d.encode()}
	o.mu.Unlock()
	o.store.commit.note(s)
}

// end ends a delivery; burial is its record as a dead letter, or nil.
func (o *Outbox) end(d *Delivery, burial []byte, cause error) {
	o.mu.Lock()
	if d.over {
		o.mu.Unlock()
		return
	}
	d.over, d.burial = true, burial
	b := d.waits
	b.loaded--
	b.pending.Add(-1)
	room := b.skipped > 0
	write := d.recorded || burial != nil && !d.durable
	if write {
		o.settling++
	}
	o.mu.Unlock()
	if write {
		s := settlement{of: b, key: recordKey(d.Rule, d.seq)}
		if burial != nil {
			s.deadKey, s.dead = recordKey(d.Rule, d.ID), burial
		}
		o.store.commit.note(s)
	}
	if room {
		o.poke()
	}
	endGraph(d, cause)
}
