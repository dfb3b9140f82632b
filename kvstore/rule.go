package kvstore

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of rules and of what waits for them.
const (
	// MaxRuleBytes is the longest ID of a rule.
	MaxRuleBytes = 256
	// DefaultRuleLimit is how many deliveries of one rule may wait unless Rule.Limit says otherwise. They wait on disk, at some
	// 200 bytes each.
	DefaultRuleLimit = 1_000_000
	// MemoryRuleLimit is how many deliveries of one rule of a Memory space may wait at most: they are in memory.
	MemoryRuleLimit = 16_384
	// DefaultRuleWindow is how many deliveries of one rule are with the listener at once unless Rule.Window says otherwise.
	DefaultRuleWindow = 1024
)

// Kinds is a set of kinds of changes.
type Kinds uint8

// The kinds of changes that a rule can ask for.
const (
	OnSet    Kinds = 1 << iota // the key was written, whether it was there or not
	OnNew                      // the key was written and had been absent
	OnDelete                   // the key was removed
)

// String names the kinds as manifests do, joined by "|".
func (k Kinds) String() string {
	var names []string
	for i, name := range []string{"set", "new", "delete"} {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// Rule asks for a delivery of every change of some keys of a space.
type Rule struct {
	// ID names the rule, also across restarts: deliveries that wait are of whichever rule has this ID. 1 to MaxRuleBytes bytes
	// without NUL.
	ID    string
	Space string
	// Match picks the keys. It is called amid writes: it must be quick, must not block and must not keep key.
	Match func(key []byte) bool
	Kinds Kinds
	// Limit is how many deliveries may wait. A write that would make one more is refused with a *BacklogError. 0: DefaultRuleLimit.
	// For a Memory space it is MemoryRuleLimit at most.
	Limit int64
	// Window is how many of them are with the listener at once; the others stay on disk until there is room. 0: DefaultRuleWindow.
	Window int
}

// Cause is what led to a change, and is passed on with its deliveries.
type Cause struct {
	Depth int      // how many in a row led to it
	Trail []string // the last of them by name, oldest first
	Graph Graph    // who waits for all that the change leads to; nil: nobody. It does not survive a restart
}

// Graph counts what a change has led to and has not ended. Its methods do not block.
type Graph interface {
	Add()
	End(err error)
}

// Listener takes what rules make of changes. Its methods are called amid writes, from many goroutines: they must be quick, must not
// block and must not call into the Store.
type Listener interface {
	// Cause says what led to a write by origin, which is what [Space.By] was given; nil for a write without one. The trail is kept.
	Cause(origin any) Cause
	// Deliver hands over deliveries, those of one rule in the order of the changes. Each is the listener's until it calls
	// Outbox.Done or Outbox.Bury for it, once.
	Deliver(list []*Delivery)
}

// Delivery is one change on its way to one rule.
type Delivery struct {
	Rule     string
	ID       uint64 // the same at every attempt, also after a restart, and of no other delivery
	Space    string
	Key      string
	Kind     Kinds // exactly one: OnNew for a new key when the rule asks for it, else OnSet; or OnDelete
	Time     time.Time
	Cause    Cause
	Attempts int // how often it has been tried and has failed; Outbox.Failed raises it

	seq     uint64   // its place among those of its rule
	waits   *backlog // where it is counted
	durable bool     // its record is in the file, or will be with its change

	delivered bool   // guarded by Outbox.mu; the listener has it
	recorded  bool   // guarded by Outbox.mu; its record was put into a transaction
	over      bool   // guarded by Outbox.mu; done or buried
	burial    []byte // guarded by Outbox.mu; its record as a dead letter, to be written instead of the first one
}

// ruleSet is all rules that hold. It is immutable.
type ruleSet struct {
	listener Listener
	spaces   map[string]*spaceRules
	byID     map[string]*activeRule
}

// spaceRules are the rules of one space.
type spaceRules struct {
	outbox   *Outbox
	listener Listener
	rules    []*activeRule
	fresh    bool // one of them wants to know whether a key is new
}

// activeRule is a rule with its defaults and its backlog.
type activeRule struct {
	Rule

	waits *backlog
}

func checkRule(r *Rule) error {
	switch {
	case r.ID == "" || len(r.ID) > MaxRuleBytes || strings.ContainsRune(r.ID, 0):
		return fmt.Errorf("rule %q: an ID has 1 to %d bytes and no NUL", r.ID, MaxRuleBytes)
	case !validName(r.Space):
		return fmt.Errorf("rule %q: space %q: %w", r.ID, r.Space, ErrBadName)
	case r.Match == nil || r.Kinds == 0 || r.Kinds > OnSet|OnNew|OnDelete:
		return fmt.Errorf("rule %q matches nothing", r.ID)
	}
	if r.Limit <= 0 {
		r.Limit = DefaultRuleLimit
	}
	if r.Window <= 0 {
		r.Window = DefaultRuleWindow
	}
	return nil
}

// newRuleSet checks rules and finds their backlogs.
func (o *Outbox) newRuleSet(rules []Rule, l Listener) (*ruleSet, error) {
	set := &ruleSet{listener: l, spaces: make(map[string]*spaceRules), byID: make(map[string]*activeRule)}
	for _, r := range rules {
		if err := checkRule(&r); err != nil {
			return nil, err
		}
		if set.byID[r.ID] != nil {
			return nil, fmt.Errorf("rule %q is there twice", r.ID)
		}
		active := &activeRule{Rule: r, waits: o.backlogOf(r.ID)}
		set.byID[r.ID] = active
		of := set.spaces[r.Space]
		if of == nil {
			of = &spaceRules{outbox: o, listener: l}
			set.spaces[r.Space] = of
		}
		of.rules = append(of.rules, active)
		of.fresh = of.fresh || r.Kinds&OnNew != 0
	}
	return set, nil
}

// wants returns the kind of change that the rule is told of, or 0.
func (r *activeRule) wants(ch *change) Kinds {
	switch {
	case ch.rec == nil:
		return r.Kinds & OnDelete
	case ch.fresh && r.Kinds&OnNew != 0:
		return OnNew
	default:
		return r.Kinds & OnSet
	}
}

// match makes the deliveries of the changes of one write and counts them as waiting; who drops the write calls release. Of one space
// it is never called twice at a time, so that the numbers given out are in the order of the changes.
func (rs *spaceRules) match(sp *Space, changes []change, by author) ([]*Delivery, error) {
	if rs == nil || by.silent {
		return nil, nil
	}
	var list []*Delivery
	var cause Cause
	var now time.Time
	durable := sp.Durability() != Memory
	for i := range changes {
		ch := &changes[i]
		for _, r := range rs.rules {
			kind := r.wants(ch)
			if kind == 0 || !r.Match(ch.key) {
				continue
			}
			limit := r.Limit
			if !durable {
				limit = min(limit, MemoryRuleLimit)
			}
			if r.waits.pending.Add(1) > limit {
				r.waits.pending.Add(-1)
				release(list)
				return nil, &BacklogError{Rule: r.ID, Limit: limit}
			}
			if now.IsZero() {
				now, cause = time.Now(), rs.listener.Cause(by.origin)
			}
			seq := rs.outbox.seq.Add(1)
			list = append(list, &Delivery{
				Rule: r.ID, ID: seq, Space: sp.name, Key: string(ch.key), Kind: kind, Time: now, Cause: cause,
				seq: seq, waits: r.waits, durable: durable,
			})
		}
	}
	return list, nil
}

// release counts out the deliveries of a write that was not done.
func release(list []*Delivery) {
	for _, d := range list {
		d.waits.pending.Add(-1)
	}
}

// wantsFresh reports whether somebody wants to know of every change whether its key was new.
func (rs *spaceRules) wantsFresh() bool { return rs != nil && rs.fresh }

// author is who makes a change.
type author struct {
	origin any
	silent bool // it starts nothing
}

// SetRules makes rules hold instead of those before, for all writes that are evaluated from now on; what waits for a rule stays, and is
// delivered as soon as a rule with its ID holds. l gets the deliveries; it must be the same every time. The first call with a rule
// writes to the file. The slice is not kept.
func (o *Outbox) SetRules(rules []Rule, l Listener) error {
	o.setMu.Lock()
	defer o.setMu.Unlock()
	if len(rules) > 0 && !o.begun {
		if err := o.begin(); err != nil {
			return fmt.Errorf("set rules: %w", err)
		}
		o.begun = true
	}
	set, err := o.newRuleSet(slices.Clone(rules), l)
	if err != nil {
		return fmt.Errorf("set rules: %w", err)
	}
	o.store.spacesMu.Lock()
	o.rules.Store(set)
	for name, sp := range o.store.spaces {
		sp.rules.Store(set.spaces[name])
	}
	o.store.spacesMu.Unlock()
	o.poke()
	return nil
}
