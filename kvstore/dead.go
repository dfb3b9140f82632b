package kvstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// DeadLimit is how many dead letters of one rule are kept; one more pushes the oldest out.
const DeadLimit = 10_000

// abandonStep is how many deliveries of a removed rule one transaction takes.
const abandonStep = 1000

// ErrNoDelivery is returned for the ID of a dead letter that is not there.
var ErrNoDelivery = errors.New("no such event")

// ErrNoRule is returned by Replay when no rule of the dead letter's ID holds.
var ErrNoRule = errors.New("no rule takes its events: deploy its app again, or drop the event")

// ErrLostEvent is returned by Replay for a dead letter that stands for a record that was damaged.
var ErrLostEvent = errors.New("it is not known which key has changed, for its record was damaged on disk: drop the event")

// Bury ends a delivery that is given up: it becomes a dead letter with the reason, which is cut at 4 KiB. That is on disk with the next
// commit. Dead letters are on disk whatever the durability of the space: they hold the key, never the value.
func (o *Outbox) Bury(d *Delivery, reason error) {
	o.end(d, encodeDead(d, time.Now(), reason.Error()), reason)
}

// writeDead puts a dead letter into its bucket, and takes out the oldest of its rule when there are too many.
func (o *Outbox) writeDead(tx *bbolt.Tx, s *settlement, deaths map[*backlog]int64) error {
	b, err := tx.CreateBucketIfNotExists([]byte(deadBucket))
	if err != nil {
		return err
	}
	if b.Get(s.deadKey) == nil {
		deaths[s.of]++
	}
	if s.of.dead.Load()+deaths[s.of] > DeadLimit {
		prefix := append([]byte(s.of.rule), 0)
		if key, _ := b.Cursor().Seek(prefix); bytes.HasPrefix(key, prefix) {
			if err := b.Delete(bytes.Clone(key)); err != nil {
				return err
			}
			deaths[s.of]--
		}
	}
	return b.Put(s.deadKey, o.deadSeal.encode(s.deadKey, s.dead))
}

// DeadLetters returns up to limit dead letters behind after, the zero letter for the first, in the order of rules and IDs. One that is
// damaged is left out and counted.
func (o *Outbox) DeadLetters(after *DeadLetter, limit int) (list []*DeadLetter, err error) {
	defer catch("list dead events", &err)()
	if o.store.closing.Load() {
		return nil, ErrClosed
	}
	err = o.store.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(deadBucket))
		if b == nil {
			return nil
		}
		var from []byte
		if after != nil {
			from = recordKey(after.Rule, after.ID+1)
		}
		cursor := b.Cursor()
		for key, rec := cursor.Seek(from); key != nil && len(list) < limit; key, rec = cursor.Next() {
			letter, err := o.openDead(key, rec)
			if err != nil {
				o.store.counters.corrupt.Add(1)
				continue
			}
			list = append(list, letter)
		}
		return nil
	})
	return list, err
}

func (o *Outbox) openDead(key, rec []byte) (*DeadLetter, error) {
	value, ok := o.deadSeal.decode(key, rec)
	if !ok {
		return nil, errRecord
	}
	return decodeDead(key, value)
}

// findDead returns the key of a dead letter and its rule's backlog.
func (o *Outbox) findDead(bucket *bbolt.Bucket, id uint64) (key []byte, of *backlog) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rule, b := range o.backlogs {
		if key := recordKey(rule, id); b.dead.Load() > 0 && bucket.Get(key) != nil {
			return key, b
		}
	}
	return nil, nil
}

// DeadLetter returns the dead letter with an ID, or ErrNoDelivery.
func (o *Outbox) DeadLetter(id uint64) (letter *DeadLetter, err error) {
	defer catch("read dead event", &err)()
	if o.store.closing.Load() {
		return nil, ErrClosed
	}
	err = o.store.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(deadBucket))
		if b == nil {
			return ErrNoDelivery
		}
		key, _ := o.findDead(b, id)
		if key == nil {
			return ErrNoDelivery
		}
		letter, err = o.openDead(key, b.Get(key))
		return err
	})
	return letter, err
}

// DropDead removes a dead letter for good, or returns ErrNoDelivery.
func (o *Outbox) DropDead(ctx context.Context, id uint64) error {
	var of *backlog
	err := o.store.commit.admin(ctx, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(deadBucket))
		if b == nil {
			return ErrNoDelivery
		}
		var key []byte
		if key, of = o.findDead(b, id); key == nil {
			return ErrNoDelivery
		}
		return b.Delete(key)
	})
	if err == nil {
		of.dead.Add(-1)
	}
	return err
}

// Replay makes a dead letter a delivery again, with its ID and no attempts, behind all that waits for its rule. ErrNoDelivery when there is
// no such letter, ErrNoRule when no rule with its ID holds, ErrLostEvent when the change is not known any more, and
// ErrBacklog when too many wait.
func (o *Outbox) Replay(ctx context.Context, id uint64) error {
	letter, err := o.DeadLetter(id)
	if err != nil {
		return err
	}
	if letter.Space == "" {
		return fmt.Errorf("replay event of %s: %w", letter.Rule, ErrLostEvent)
	}
	set := o.rules.Load()
	if set == nil || set.byID[letter.Rule] == nil {
		return fmt.Errorf("replay event of %s: %w", letter.Rule, ErrNoRule)
	}
	r := set.byID[letter.Rule]
	if r.waits.pending.Add(1) > r.Limit {
		r.waits.pending.Add(-1)
		return &BacklogError{Rule: r.ID, Limit: r.Limit}
	}
	// It is counted as being in the file before it is there: so whatever is published meanwhile goes to the file too, behind it.
	o.skip(r.waits, 1)
	err = o.store.commit.admin(ctx, func(tx *bbolt.Tx) error {
		dead := tx.Bucket([]byte(deadBucket))
		if dead == nil {
			return ErrNoDelivery
		}
		key := recordKey(letter.Rule, letter.ID)
		if dead.Get(key) == nil {
			return ErrNoDelivery // somebody else was faster
		}
		events, err := tx.CreateBucketIfNotExists([]byte(eventsBucket))
		if err != nil {
			return err
		}
		d := letter.Delivery
		d.Attempts = 0
		place := recordKey(d.Rule, o.seq.Add(1))
		return errors.Join(dead.Delete(key), events.Put(place, o.eventSeal.encode(place, d.encode())))
	})
	if err != nil {
		o.skip(r.waits, -1)
		r.waits.pending.Add(-1)
		return err
	}
	r.waits.dead.Add(-1)
	o.poke()
	return nil
}

func (o *Outbox) skip(b *backlog, n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b.skipped += n
	o.behind += n
}

// Abandon makes dead letters of everything that waits for a rule that does not hold any more, the newest DeadLimit of it, with the reason.
// The listener must have ended whatever of it it had. It does nothing while a rule of this ID holds.
func (o *Outbox) Abandon(ctx context.Context, rule string, reason error) error {
	o.mu.Lock()
	groups := o.settling/settledGroup + 2
	o.mu.Unlock()
	for range groups { // what is done must not be there any more: every group takes some of it along
		if err := o.store.commit.admin(ctx, nil); err != nil {
			return fmt.Errorf("abandon events of %s: %w", rule, err)
		}
	}
	for {
		o.setMu.Lock() // no rule of this ID comes meanwhile
		more, err := o.abandonSome(ctx, rule, reason)
		o.setMu.Unlock()
		if err != nil {
			return fmt.Errorf("abandon events of %s: %w", rule, err)
		}
		if !more {
			return nil
		}
	}
}

func (o *Outbox) abandonSome(ctx context.Context, rule string, reason error) (more bool, err error) {
	if set := o.rules.Load(); set != nil && set.byID[rule] != nil {
		return false, nil
	}
	o.mu.Lock()
	b := o.backlogs[rule]
	o.mu.Unlock()
	if b == nil {
		return false, nil
	}
	var gone []uint64
	deaths := make(map[*backlog]int64)
	err = o.store.commit.admin(ctx, func(tx *bbolt.Tx) error {
		gone = gone[:0]
		clear(deaths)
		return o.moveDead(tx, b, reason, deaths, &gone)
	})
	if err != nil {
		return false, err
	}
	b.dead.Add(deaths[b])
	o.mu.Lock()
	for _, place := range gone {
		if g := o.graphs[place]; g != nil {
			delete(o.graphs, place)
			g.End(reason)
		}
	}
	n := min(int64(len(gone)), b.skipped) // the rest had been handed over before
	b.skipped -= n
	o.behind -= n
	b.pending.Add(-n)
	o.mu.Unlock()
	return len(gone) == abandonStep, nil
}

// moveDead makes dead letters of the first deliveries of a rule and notes their places.
func (o *Outbox) moveDead(tx *bbolt.Tx, b *backlog, reason error, deaths map[*backlog]int64, gone *[]uint64) error {
	events := tx.Bucket([]byte(eventsBucket))
	if events == nil {
		return nil
	}
	prefix := append([]byte(b.rule), 0)
	var keys [][]byte
	cursor := events.Cursor()
	for key, _ := cursor.Seek(prefix); bytes.HasPrefix(key, prefix) && len(keys) < abandonStep; key, _ = cursor.Next() {
		keys = append(keys, slices.Clone(key))
	}
	for _, key := range keys {
		_, place, _ := splitRecordKey(key) // whatever it is: it goes
		s := damagedSettlement(b.rule, place)
		if value, ok := o.eventSeal.decode(key, events.Get(key)); ok {
			if d, _, err := decodeDelivery(key, value); err == nil {
				s.deadKey, s.dead = recordKey(b.rule, d.ID), encodeDead(d, time.Now(), reason.Error())
			}
		}
		s.of = b
		if err := o.writeDead(tx, &s, deaths); err != nil {
			return err
		}
		if err := events.Delete(key); err != nil {
			return err
		}
		*gone = append(*gone, place)
	}
	return nil
}
