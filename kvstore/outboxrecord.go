package kvstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"
)

// The value of an event's record, and of a dead letter's. Numbers are uvarints, texts have their length before them:
//
//	version 1, id, kind, time (ns since 1970), depth, attempts, space, key, number of names, names of the trail
//	dead letters: time of death (ns since 1970), reason
//
// Its key is the rule's ID, NUL, and 8 bytes big-endian: the place of a delivery among those of its rule, the ID of a dead letter.
const deliveryVersion = 1

const (
	// maxTrailNames and maxReasonBytes bound what is written of a trail and of a reason.
	maxTrailNames  = 64
	maxReasonBytes = 4096
)

var errRecord = errors.New("record of an event is damaged")

func recordKey(rule string, number uint64) []byte {
	key := make([]byte, 0, len(rule)+9)
	key = append(append(key, rule...), 0)
	return binary.BigEndian.AppendUint64(key, number)
}

// splitRecordKey is the inverse of recordKey.
func splitRecordKey(key []byte) (rule string, number uint64, ok bool) {
	at := bytes.IndexByte(key, 0)
	if at < 1 || len(key) != at+9 {
		return "", 0, false
	}
	return string(key[:at]), binary.BigEndian.Uint64(key[at+1:]), true
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// encode returns the value of the delivery's record.
func (d *Delivery) encode() []byte {
	b := make([]byte, 0, 64+len(d.Space)+len(d.Key))
	b = append(b, deliveryVersion)
	b = binary.AppendUvarint(b, d.ID)
	b = append(b, byte(d.Kind))
	b = binary.AppendUvarint(b, uint64(max(d.Time.UnixNano(), 0)))
	b = binary.AppendUvarint(b, uint64(max(d.Cause.Depth, 0)))
	b = binary.AppendUvarint(b, uint64(max(d.Attempts, 0)))
	b = appendText(appendText(b, d.Space), d.Key)
	trail := d.Cause.Trail[max(len(d.Cause.Trail)-maxTrailNames, 0):]
	b = binary.AppendUvarint(b, uint64(len(trail)))
	for _, name := range trail {
		b = appendText(b, name)
	}
	return b
}

// fields reads what encode wrote, one field after the other; after the first that is not there it reads nothing.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) number() uint64 {
	n, size := binary.Uvarint(f.rest)
	if size <= 0 {
		f.bad, f.rest = true, nil
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

func (f *fields) octet() byte {
	if len(f.rest) == 0 {
		f.bad = true
		return 0
	}
	b := f.rest[0]
	f.rest = f.rest[1:]
	return b
}

func (f *fields) text() string {
	n := f.number()
	if n > uint64(len(f.rest)) {
		f.bad, f.rest = true, nil
		return ""
	}
	text := string(f.rest[:n])
	f.rest = f.rest[n:]
	return text
}

// small reads a number that fits an int.
func (f *fields) small() int {
	n := f.number()
	if n > 1<<31 {
		f.bad = true
		return 0
	}
	return int(n)
}

func (f *fields) moment() time.Time {
	n := f.number()
	if n > 1<<63-1 {
		f.bad = true
	}
	return time.Unix(0, int64(n))
}

// decodeDelivery reads the value of a record under key; rest is what follows it, of a dead letter.
func decodeDelivery(key, value []byte) (d *Delivery, rest fields, err error) {
	rule, number, ok := splitRecordKey(key)
	if !ok {
		return nil, rest, errRecord
	}
	f := fields{rest: value}
	if f.octet() != deliveryVersion {
		return nil, rest, errRecord
	}
	d = &Delivery{Rule: rule, seq: number, ID: f.number(), Kind: Kinds(f.octet()), Time: f.moment(), durable: true, recorded: true}
	d.Cause.Depth, d.Attempts = f.small(), f.small()
	d.Space, d.Key = f.text(), f.text()
	n := f.small()
	if n > maxTrailNames {
		return nil, rest, errRecord
	}
	for range n {
		d.Cause.Trail = append(d.Cause.Trail, f.text())
	}
	if f.bad || d.Key == "" || d.Kind != OnSet && d.Kind != OnNew && d.Kind != OnDelete {
		return nil, rest, errRecord
	}
	return d, f, nil
}

// DeadLetter is a delivery that was given up.
type DeadLetter struct {
	Delivery

	Died   time.Time
	Reason string
}

// encodeDead returns the value of the dead letter's record.
func encodeDead(d *Delivery, died time.Time, reason string) []byte {
	if len(reason) > maxReasonBytes {
		reason = reason[:maxReasonBytes]
	}
	b := binary.AppendUvarint(d.encode(), uint64(max(died.UnixNano(), 0)))
	return appendText(b, reason)
}

func decodeDead(key, value []byte) (*DeadLetter, error) {
	d, f, err := decodeDelivery(key, value)
	if err != nil {
		return nil, err
	}
	letter := &DeadLetter{Delivery: *d, Died: f.moment(), Reason: f.text()}
	if f.bad || len(f.rest) > 0 {
		return nil, errRecord
	}
	return letter, nil
}
