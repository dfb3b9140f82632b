package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"edged.dev/edge/edged/internal/admin"
)

// screen is a terminal that a command has to itself: keys come as they are pressed, and nothing is echoed.
type screen interface {
	io.ReadWriter
	// Size returns the window's width and height in characters.
	Size() (width, height int, err error)
	// Interrupt makes a Read in progress, and every later one, fail.
	Interrupt()
}

// lookInterval is how often the window's size is looked at. Asking is one system call, and needs no signal handler, which
// only main may have.
const lookInterval = 200 * time.Millisecond

// topLive is the table on a terminal. All its state belongs to the goroutine of run.
type topLive struct {
	screen screen
	fetch  topFetch
	ticks  <-chan time.Time // when to take a sample
	looks  <-chan time.Time // when to look whether the window's size has changed

	view   topView
	last   admin.Top
	sample *topSample
}

// snapshot is what a fetch brought.
type snapshot struct {
	top admin.Top
	err error
}

// run shows samples until the user quits, ctx ends or the terminal is gone; none of these is an error.
func (l *topLive) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer l.screen.Interrupt()
	defer cancel()

	keys := make(chan []topKey)      // closed when the terminal is gone
	snapshots := make(chan snapshot) // answers of fetches
	others.Go(func() { readKeys(ctx, l.screen, keys) })
	fetching := false
	if err := l.draw(); err != nil {
		return err
	}
	for {
		changed := true
		select {
		case <-ctx.Done():
			return nil
		case pressed, ok := <-keys:
			if !ok || l.handle(pressed) {
				return nil
			}
		case <-l.looks:
			width, height, err := l.screen.Size()
			changed = err == nil && (width != l.view.width || height != l.view.height)
		case <-l.ticks:
			changed = false
			if fetching {
				break // a daemon that is slow to answer is not asked twice at once
			}
			fetching = true
			others.Go(func() {
				top, err := l.fetch(ctx)
				select {
				case snapshots <- snapshot{top, err}:
				case <-ctx.Done():
				}
			})
		case s := <-snapshots:
			fetching = false
			l.take(s)
		}
		if !changed {
			continue
		}
		if err := l.draw(); err != nil {
			return err
		}
	}
}

// take makes a snapshot the newest one. While the daemon does not answer, which a restart explains, what was last known
// stays, with a notice.
func (l *topLive) take(s snapshot) {
	if s.err != nil {
		if l.view.notice == "" {
			l.view.notice = fmt.Sprintf("no answer since %s, asking on: %v", l.sample.Time.Local().Format(time.TimeOnly), s.err)
		}
		return
	}
	l.view.notice = ""
	l.sample = newTopSample(&l.last, &s.top)
	l.last = s.top
}

// handle does what keys ask for and reports whether that is to quit.
func (l *topLive) handle(pressed []topKey) (quit bool) {
	page := max(1, l.view.height/2)
	for _, key := range pressed {
		switch key {
		case keyQuit:
			return true
		case keyCPU:
			l.view.order = byCPU
		case keyRate:
			l.view.order = byRate
		case keyP99:
			l.view.order = byP99
		case keyName:
			l.view.order = byName
		case keyUp:
			l.view.first--
		case keyDown:
			l.view.first++
		case keyPageUp:
			l.view.first -= page
		case keyPageDown:
			l.view.first += page
		case keyHome:
			l.view.first = 0
		case keyEnd:
			l.view.first = len(l.sample.Functions)
		}
	}
	return false
}

// draw writes the window's text anew, in one piece so that it does not flicker.
func (l *topLive) draw() error {
	width, height, err := l.screen.Size()
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24 // what a terminal that does not say is taken to be
	}
	l.view.width, l.view.height = width, height
	l.sample.sortBy(l.view.order)
	lines := l.view.lines(l.sample)
	frame := cursorHome + strings.Join(lines, clearRest+"\r\n") + clearRest + clearBelow
	if _, err := io.WriteString(l.screen, frame); err != nil {
		return fmt.Errorf("write to the terminal: %w", err)
	}
	return nil
}

// topKey is what a key means.
type topKey int

// The meanings of keys.
const (
	keyQuit topKey = iota
	keyCPU
	keyRate
	keyP99
	keyName
	keyUp
	keyDown
	keyPageUp
	keyPageDown
	keyHome
	keyEnd
)

// topKeys is what terminals send for each key. In raw mode ctrl-C is a key like others.
var topKeys = []struct {
	sent string
	key  topKey
}{
	{"q", keyQuit},
	{"Q", keyQuit},
	{"\x03", keyQuit},
	{"c", keyCPU},
	{"r", keyRate},
	{"p", keyP99},
	{"n", keyName},
	{"\x1b[A", keyUp},
	{"\x1bOA", keyUp},
	{"k", keyUp},
	{"\x1b[B", keyDown},
	{"\x1bOB", keyDown},
	{"j", keyDown},
	{"\x1b[5~", keyPageUp},
	{"\x1b[6~", keyPageDown},
	{" ", keyPageDown},
	{"\x1b[H", keyHome},
	{"\x1b[1~", keyHome},
	{"\x1bOH", keyHome},
	{"g", keyHome},
	{"\x1b[F", keyEnd},
	{"\x1b[4~", keyEnd},
	{"\x1bOF", keyEnd},
	{"G", keyEnd},
}

// readKeys passes on what is pressed until the terminal or ctx ends; it closes keys.
func readKeys(ctx context.Context, r io.Reader, keys chan<- []topKey) {
	defer close(keys)
	var pending []byte
	buffer := make([]byte, 256)
	for {
		n, err := r.Read(buffer)
		var pressed []topKey
		pressed, pending = parseKeys(append(pending, buffer[:n]...))
		if len(pressed) > 0 {
			select {
			case keys <- pressed:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// longestSequence bounds what is kept of an escape sequence whose end has not come.
const longestSequence = 16

// parseKeys finds the keys in what a terminal sent, and returns the begin of a sequence whose end is still to come. What
// means nothing is skipped, whole sequences at a time so that no letter within one is taken for a key.
func parseKeys(sent []byte) (pressed []topKey, rest []byte) {
	for len(sent) > 0 {
		n := sequenceLength(sent)
		if n == 0 {
			if len(sent) < longestSequence {
				return pressed, sent
			}
			return pressed, nil
		}
		for _, known := range topKeys {
			if string(sent[:n]) == known.sent {
				pressed = append(pressed, known.key)
			}
		}
		sent = sent[n:]
	}
	return pressed, nil
}

// sequenceLength returns how many bytes belong to the first key: one, or a whole escape sequence (ECMA-48: ESC [ followed
// by parameters up to a byte from @ to ~, or ESC O and one byte). It is 0 when more bytes have to come.
func sequenceLength(sent []byte) int {
	if sent[0] != 0x1b {
		return 1
	}
	if len(sent) == 1 {
		return 0
	}
	switch sent[1] {
	case 'O':
		if len(sent) == 2 {
			return 0
		}
		return 3
	case '[':
		end := bytes.IndexFunc(sent[2:], func(r rune) bool { return r < 0x20 || r >= 0x40 })
		switch {
		case end < 0:
			return 0
		case sent[2+end] < 0x20: // broken off by a key such as ctrl-C, which counts
			return 2 + end
		}
		return 2 + end + 1
	}
	return 1 // the escape key, and another one after it
}
