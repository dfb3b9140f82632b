package manifest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"edged.dev/edge/kvstore/keypattern"
)

// Event is a kind of change of a key.
type Event string

// The kinds of changes.
const (
	EventSet    Event = "set"    // the key was written, whether it was there or not
	EventNew    Event = "new"    // the key was written and had been absent
	EventDelete Event = "delete" // the key was removed
)

// The defaults of a [Trigger], and their bounds.
const (
	// DefaultRetries makes five attempts with the first.
	DefaultRetries = 4
	// DefaultBackoff is the pause before the first retry; each further one is twice as long.
	DefaultBackoff = 100 * time.Millisecond
	// DefaultBacklog is how many events may wait; on disk they take some 200 bytes each.
	DefaultBacklog = 1_000_000

	maxRetries  = 100
	maxBackoff  = time.Hour
	maxBacklog  = 100_000_000
	maxTriggers = 64 // of one function
)

// Trigger is something beside HTTP that starts a function. Exactly one of its keys says what: kv, cron or every; the others say
// how. Retries, Backoff and Backlog are of kv; the others have the defaults there.
type Trigger struct {
	KV     string  `yaml:"kv,omitempty"`     // a pattern of keys; see package keypattern
	Space  string  `yaml:"space,omitempty"`  // of the keys; the app's unless given
	Events []Event `yaml:"events,omitempty"` // set unless given
	// Retries is how often a failed event is tried again, after Backoff, twice that and so on, until it becomes a dead letter.
	Retries int           `yaml:"retries"`
	Backoff time.Duration `yaml:"backoff"`
	// Backlog is how many events may wait. A write that would make one more is refused.
	Backlog int `yaml:"backlog"`

	Cron   string        `yaml:"cron,omitempty"`   // a schedule; see package cronspec
	TZ     string        `yaml:"tz,omitempty"`     // whose clock Cron goes by; UTC unless given
	Missed Missed        `yaml:"missed,omitempty"` // of Cron; once unless given
	Every  time.Duration `yaml:"every,omitempty"`  // a period
}

// SetDefaults sets what does not follow from names.
func (t *Trigger) SetDefaults() {
	t.Retries, t.Backoff, t.Backlog = DefaultRetries, DefaultBackoff, DefaultBacklog
}

// complete sets the defaults that follow from other keys.
func (t *Trigger) complete() {
	if t.KV != "" && len(t.Events) == 0 {
		t.Events = []Event{EventSet}
	}
	if t.Cron != "" && t.Missed == "" {
		t.Missed = MissedOnce
	}
}

// SpaceOf returns the space that a trigger of the manifest watches.
func (m *Manifest) SpaceOf(t *Trigger) string {
	if t.Space != "" {
		return t.Space
	}
	return m.KV.Space
}

// on checks the triggers of one function.
func (c *checker) on(m *Manifest, at string, list []Trigger) {
	c.require(len(list) <= maxTriggers, at, fmt.Sprintf("%d triggers are too many for one function", len(list)),
		fmt.Sprintf("give at most %d; a pattern can stand for many keys", maxTriggers))
	for i := range list {
		t, where := &list[i], fmt.Sprintf("%s[%d]", at, i)
		c.kinds(where, t)
		c.kvTrigger(where, t)
		c.timer(where, t)
		c.require(t.Retries >= 0 && t.Retries <= maxRetries, where+".retries", fmt.Sprintf("%d retries are not possible", t.Retries),
			fmt.Sprintf("give 0 to %d", maxRetries))
		c.require(t.Backoff > 0 && t.Backoff <= maxBackoff, where+".backoff", fmt.Sprintf("a pause of %v is not possible", t.Backoff),
			fmt.Sprintf("give more than 0 and at most %v", maxBackoff))
		c.require(t.Backlog >= 1 && t.Backlog <= maxBacklog, where+".backlog", fmt.Sprintf("%d waiting events are not possible", t.Backlog),
			fmt.Sprintf("give 1 to %d", maxBacklog))
		same := slices.IndexFunc(list[:i], func(o Trigger) bool { return o.KV == t.KV && m.SpaceOf(&o) == m.SpaceOf(t) })
		c.require(same < 0 || t.KV == "", where+".kv", fmt.Sprintf("%q is there twice", t.KV), "write one of them, with the events of both")
	}
}

func (c *checker) kvTrigger(where string, t *Trigger) {
	if t.KV == "" {
		c.require(t.Space == "", where+".space", "a space without kv", "add kv: and a pattern of keys")
		c.require(len(t.Events) == 0, where+".events", "events without kv", "add kv: and a pattern of keys")
		return
	}
	c.pattern(where+".kv", t.KV)
	if t.Space != "" {
		c.name(where+".space", t.Space)
	}
	seen := make([]string, 0, len(t.Events))
	for i, event := range t.Events {
		c.oneOf(fmt.Sprintf("%s.events[%d]", where, i), string(event), string(EventSet), string(EventNew), string(EventDelete))
		seen = append(seen, string(event))
	}
	c.unique(where+".events", seen)
}

// kinds makes sure that a trigger is of exactly one kind.
func (c *checker) kinds(where string, t *Trigger) {
	var kinds []string
	for _, kind := range []struct {
		key string
		set bool
	}{{"kv", t.KV != ""}, {"cron", t.Cron != ""}, {"every", t.Every != 0}} {
		if kind.set || c.broken(where+"."+kind.key) {
			kinds = append(kinds, kind.key)
		}
	}
	c.require(len(kinds) > 0, where, "nothing says what starts the function",
		"write kv: and a pattern of keys, cron: and a schedule, or every: and a period")
	c.require(len(kinds) < 2, where, "a trigger is of one kind, this has the keys "+strings.Join(kinds, " and "), "make an item of the list of each")
}

// pattern checks a pattern of keys.
func (c *checker) pattern(at, text string) {
	if _, err := keypattern.Parse(text); err != nil {
		c.require(false, at, err.Error(), "{} or {name} is one segment of letters and digits, and * at the end all that follows: slice_{n}, log/*")
	}
}
