package kvstore

import (
	"context"
	"errors"
	"time"
)

// maxScrubFindings bounds the damaged keys a ScrubResult lists; all are counted.
const maxScrubFindings = 1000

// ScrubProgress is how far a scrub has come.
type ScrubProgress struct {
	Space string // the space being read; "/events" and "/dead" are the deliveries and the dead letters
	Keys  uint64 // verified so far, in all spaces
	Bytes uint64 // keys and records read so far
}

// ScrubResult is what a scrub found.
type ScrubResult struct {
	ScrubProgress
	Corrupt  uint64          // damaged values
	Findings []*CorruptError // the first maxScrubFindings of them
	Duration time.Duration
}

// Scrub verifies the checksum of every value on disk, reading at most Options.ScrubBytesPerSecond, beside normal work. progress, which may
// be nil, is called after each step of about 1 MiB. Damaged values are reported and left as they are. The error is of the scrub itself: the
// context's, or ErrCorrupt when pages are damaged so that a space cannot be read on; the result then covers what was read.
func (s *Store) Scrub(ctx context.Context, progress func(ScrubProgress)) (ScrubResult, error) {
	began := time.Now()
	var res ScrubResult
	names, err := s.diskNames()
	if err != nil {
		return res, err
	}
	pace := pacer{perSecond: s.opts.ScrubBytesPerSecond, began: began}
	spaces := []*Space{s.eventSpace(eventsBucket, eventsSeal), s.eventSpace(deadBucket, deadSeal)}
	for _, name := range names {
		spaces = append(spaces, s.diskSpace(name))
	}
	for _, sp := range spaces {
		res.Space = sp.name
		if err := s.scrubSpace(ctx, sp, &res, &pace, progress); err != nil {
			res.Duration = time.Since(began)
			return res, err
		}
	}
	s.counters.scrubRuns.Add(1)
	res.Duration = time.Since(began)
	return res, nil
}

// diskSpace returns the space for reading what is on disk, whether it is open or not.
func (s *Store) diskSpace(name string) *Space {
	return newSpace(s, name, Sync)
}

// eventSpace returns the records of events, to be read like those of a space.
func (s *Store) eventSpace(bucket, name string) *Space {
	sp := s.diskSpace(name)
	sp.bucket = []byte(bucket)
	return sp
}

func (s *Store) scrubSpace(ctx context.Context, sp *Space, res *ScrubResult, pace *pacer, progress func(ScrubProgress)) error {
	var p scanPage
	var after []byte
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := sp.usable(); err != nil {
			return err
		}
		var err error
		more, err = sp.readPage(&p, nil, after)
		if errors.Is(err, ErrDropped) {
			return nil // while it was read
		}
		if err != nil {
			return err
		}
		for _, e := range p.entries {
			res.Keys++
			res.Bytes += uint64(len(e.key) + len(e.rec))
			_, ok := sp.seal.decode(e.key, e.rec)
			if ok && !validName(sp.name) { // the records of events
				_, _, ok = splitRecordKey(e.key)
			}
			if !ok {
				res.note(sp, e.key)
			}
		}
		s.counters.scrubbed.Add(uint64(len(p.entries)))
		after = append([]byte{}, p.last...)
		if progress != nil {
			progress(res.ScrubProgress)
		}
		if err := pace.wait(ctx, res.Bytes); err != nil {
			return err
		}
	}
	return nil
}

func (r *ScrubResult) note(sp *Space, key []byte) {
	r.Corrupt++
	sp.store.counters.corrupt.Add(1)
	if len(r.Findings) < maxScrubFindings {
		r.Findings = append(r.Findings, &CorruptError{Space: sp.name, Key: append([]byte{}, key...)})
	}
}

// pacer keeps a reader below a rate.
type pacer struct {
	perSecond int64
	began     time.Time
}

// wait returns when done bytes are within the rate.
func (p *pacer) wait(ctx context.Context, done uint64) error {
	if p.perSecond <= 0 {
		return nil
	}
	ahead := time.Duration(float64(done)/float64(p.perSecond)*float64(time.Second)) - time.Since(p.began)
	if ahead <= 0 {
		return nil
	}
	t := time.NewTimer(ahead)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
