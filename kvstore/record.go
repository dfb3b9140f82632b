package kvstore

import (
	"encoding/binary"
	"hash/crc32"
)

// Record layout; see the package documentation.
const (
	recordVersion = 1
	recordHeader  = 9
)

// castagnoli is never written after start-up.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal is the checksum state after a space's name: what all records of that space start from.
type seal uint32

func newSeal(space string) seal {
	b := append([]byte{byte(len(space))}, space...)
	return seal(crc32.Update(0, castagnoli, b))
}

func (s seal) keySum(key []byte) uint32 { return crc32.Update(uint32(s), castagnoli, key) }

func valueSum(keySum uint32, value []byte) uint32 {
	n := uint32(len(value))
	length := [4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
	return crc32.Update(crc32.Update(keySum, castagnoli, length[:]), castagnoli, value)
}

// encode returns a new record; it keeps neither key nor value.
func (s seal) encode(key, value []byte) []byte {
	rec := make([]byte, recordHeader+len(value))
	sum := s.keySum(key)
	rec[0] = recordVersion
	binary.LittleEndian.PutUint32(rec[1:], sum)
	binary.LittleEndian.PutUint32(rec[5:], valueSum(sum, value))
	copy(rec[recordHeader:], value)
	return rec
}

// keyMatches verifies the part of a record that needs its first recordHeader bytes only.
func (s seal) keyMatches(key, head []byte) bool {
	return len(head) >= recordHeader && head[0] == recordVersion && binary.LittleEndian.Uint32(head[1:]) == s.keySum(key)
}

// decode returns the value inside rec, which it aliases. ok is false when any bit of it, or the key, is not as written.
func (s seal) decode(key, rec []byte) (value []byte, ok bool) {
	if !s.keyMatches(key, rec) {
		return nil, false
	}
	value = rec[recordHeader:]
	sum := binary.LittleEndian.Uint32(rec[1:])
	return value, binary.LittleEndian.Uint32(rec[5:]) == valueSum(sum, value)
}
