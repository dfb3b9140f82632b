package kvstore

import (
	"bytes"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// run reads deliveries from the file whenever a rule has room for them, until the store closes.
func (o *Outbox) run() {
	defer close(o.stopped)
	for {
		select {
		case <-o.store.life.Done():
			return
		case <-o.wake:
		}
		set := o.rules.Load()
		if set == nil {
			continue
		}
		for _, r := range set.byID {
			for o.refill(set.listener, r) {
				if o.store.closing.Load() {
					return
				}
			}
		}
	}
}

// refill hands over what waits of one rule, as much as there is room for, and reports whether it is worth to look again at once.
func (o *Outbox) refill(l Listener, r *activeRule) bool {
	b := r.waits
	o.mu.Lock()
	want, after := min(int64(r.Window-b.loaded), b.skipped), b.upto
	if o.settling >= maxSettling {
		want = 0
	}
	o.mu.Unlock()
	if want <= 0 {
		return false
	}
	list, last, bad, err := o.read(r.ID, after, int(want))
	if err != nil || len(list)+len(bad) == 0 {
		return false // to be written with its change, or damaged pages: the next commit or restart tells
	}
	o.mu.Lock()
	for _, d := range list {
		d.waits, d.delivered = b, true
		if g := o.graphs[d.seq]; g != nil {
			d.Cause.Graph = g
			delete(o.graphs, d.seq)
		}
	}
	b.loaded += len(list) // before it is handed over: that may end it at once
	o.settling += len(bad)
	o.mu.Unlock()
	for _, s := range bad {
		s.of = b
		b.pending.Add(-1)
		o.store.counters.corrupt.Add(1)
		o.store.commit.note(s)
	}
	if len(list) > 0 {
		l.Deliver(list)
	}
	o.mu.Lock()
	n := int64(len(list) + len(bad))
	b.skipped -= n // from here on what is published is handed over directly, behind these
	o.behind -= n
	b.upto = last
	o.mu.Unlock()
	return n == want
}

// read returns up to n deliveries of a rule behind a place, the last place it has looked at, and what is to become of records that are
// not as they were written: dead letters that say so.
func (o *Outbox) read(rule string, after uint64, n int) (list []*Delivery, last uint64, bad []settlement, err error) {
	defer catch("read events", &err)()
	err = o.store.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(eventsBucket))
		if b == nil {
			return nil
		}
		prefix := append([]byte(rule), 0)
		cursor := b.Cursor()
		key, rec := cursor.Seek(recordKey(rule, after+1))
		for ; key != nil && bytes.HasPrefix(key, prefix) && len(list)+len(bad) < n; key, rec = cursor.Next() {
			_, place, ok := splitRecordKey(key)
			if !ok {
				continue // of a rule whose ID begins like this one's
			}
			last = place
			var d *Delivery
			if value, ok := o.eventSeal.decode(key, rec); ok {
				d, _, _ = decodeDelivery(key, value) // nil: below
			}
			if d == nil {
				bad = append(bad, damagedSettlement(rule, place))
				continue
			}
			list = append(list, d)
		}
		return nil
	})
	return list, last, bad, err
}

// damagedSettlement makes a dead letter of a record that cannot be read: the change is not known any more, but that there was one.
func damagedSettlement(rule string, place uint64) settlement {
	d := &Delivery{Rule: rule, ID: place, Key: "?", Kind: OnSet, Time: time.Now()}
	return settlement{
		key: recordKey(rule, place), deadKey: recordKey(rule, place),
		dead: encodeDead(d, time.Now(), "the record of the event was damaged on disk: which key has changed is not known"),
	}
}

// RuleStat is what waits for one rule.
type RuleStat struct {
	Rule    string
	Active  bool  // a rule of this ID holds
	Pending int64 // deliveries made and not over
	Loaded  int   // of these, with the listener
	Dead    int64 // dead letters
}

// Stats returns what waits, by rule. Rules for which nothing waits and that do not hold are left out.
func (o *Outbox) Stats() []RuleStat {
	set := o.rules.Load()
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []RuleStat
	for id, b := range o.backlogs {
		st := RuleStat{Rule: id, Pending: b.pending.Load(), Loaded: b.loaded, Dead: b.dead.Load()}
		st.Active = set != nil && set.byID[id] != nil
		if st.Active || st.Pending > 0 || st.Dead > 0 {
			list = append(list, st)
		}
	}
	slices.SortFunc(list, func(a, b RuleStat) int { return bytes.Compare([]byte(a.Rule), []byte(b.Rule)) })
	return list
}
