package engines

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"edged.dev/edge/bench/inprocess/contest"
)

// exchangeBytes is the size of a request and of its answer; testdata/echo has the same number.
const exchangeBytes = 1024

// errWrongAnswer: a guest answered something else than the request calls for.
var errWrongAnswer = errors.New("wrong answer")

// exchange is one request to the guest of testdata/echo and its answer, and what the answer must be.
type exchange struct {
	request, answer, right [exchangeBytes]byte
	answered               int
}

func newExchange() *exchange {
	e := &exchange{}
	for i := range e.request {
		e.request[i] = byte(i * 7)
	}
	e.expect(1)
	return e
}

// expect sets which of its calls the guest must take the next one for.
func (e *exchange) expect(calls int) {
	for i, b := range e.request {
		e.right[i] = b ^ 0x5a + byte(calls)
	}
}

// renew makes the next request another one than the last. Only its first bytes differ, so that this costs no time.
func (e *exchange) renew(number int) {
	binary.LittleEndian.PutUint64(e.request[:], uint64(number))
	for i := range 8 {
		e.right[i] = e.request[i] ^ 0x5a + 1
	}
	e.answered = 0
}

// check compares the answer byte by byte.
func (e *exchange) check() error {
	if e.answered != exchangeBytes || !bytes.Equal(e.answer[:], e.right[:]) {
		return fmt.Errorf("%w: %d bytes, beginning with %x; want %d, %x", errWrongAnswer, e.answered, e.answer[:8], exchangeBytes, e.right[:8])
	}
	return nil
}

// give copies the request to where the guest wants it.
func (e *exchange) give(to []byte) int { return copy(to, e.request[:]) }

// take takes the guest's answer.
func (e *exchange) take(from []byte) { e.answered = copy(e.answer[:], from) }

// fresh returns a Perform whose every operation is one request that must find the guest as it was at its start.
func (e *exchange) fresh(serve func() error) contest.Perform {
	return func(_ string, count int) (contest.Round, error) {
		e.expect(1)
		meter, err := contest.NewMeter(count)
		if err != nil {
			return contest.Round{}, err
		}
		for i := range count {
			e.renew(i)
			if err := serve(); err != nil {
				return contest.Round{}, err
			}
			if err := e.check(); err != nil {
				return contest.Round{}, fmt.Errorf("request %d: %w", i, err)
			}
			meter.Lap()
		}
		return meter.Round()
	}
}
