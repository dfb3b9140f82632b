package kvstore

import (
	"fmt"
	"testing"
)

// BenchmarkRules writes with no rules, with a rule that does not match, and with one that does.
func BenchmarkRules(b *testing.B) {
	for _, d := range allClasses {
		for _, rules := range []string{"none", "other", "match"} {
			b.Run(fmt.Sprintf("%s/%s", d, rules), func(b *testing.B) {
				s := newStore(b, nil)
				box := &endingBox{outbox: s.Outbox()}
				if rules != "none" {
					prefix := map[string]string{"other": "x/", "match": "k/"}[rules]
					if err := s.Outbox().SetRules([]Rule{prefixRule("app/f", "app", prefix, OnSet)}, box); err != nil {
						b.Fatal(err)
					}
				}
				sp := mustSpace(b, s, "app", d)
				key, value := []byte("k/1"), make([]byte, 100)
				b.ReportAllocs()
				for b.Loop() {
					if err := sp.Set(background, key, value); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// endingBox ends every delivery at once, on a goroutine of its own.
type endingBox struct{ outbox *Outbox }

// Cause implements Listener.
func (*endingBox) Cause(any) Cause { return Cause{} }

// Deliver implements Listener.
func (m *endingBox) Deliver(list []*Delivery) {
	go func() {
		for _, d := range list {
			m.outbox.Done(d)
		}
	}()
}

// BenchmarkHop writes a key whenever the one before has been delivered: the time of a step in a chain of events.
func BenchmarkHop(b *testing.B) {
	for _, d := range allClasses {
		b.Run(d.String(), func(b *testing.B) {
			s, m := newStore(b, nil), newMailbox()
			mustRules(b, s, m, prefixRule("app/f", "app", "", OnSet))
			sp := mustSpace(b, s, "app", d)
			for b.Loop() {
				mustSet(b, sp, "k", "v")
				s.Outbox().Done(m.take(b, 1)[0])
			}
		})
	}
}
