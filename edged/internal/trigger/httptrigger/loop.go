package httptrigger

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/osthread"
)

// readBytes is how much is read from a connection before the next one has its turn.
const readBytes = 64 << 10

// acceptBatch is how many connections are accepted before those that exist have their turn.
const acceptBatch = 64

// yieldAfter is how long a busy loop goes on before it passes through the Go scheduler. Between its system calls it never
// has to, and after 10 ms the runtime's monitor takes it for one that hogs its processor: it then wakes up every 20 to
// 100 us, for as long as that lasts, to take the processor away, which costs 5 % of a core. Passing through each time, as
// one does when the poll has found nothing, wakes idle threads that look for work.
const yieldAfter = 5 * time.Millisecond

// loop serves its share of the connections on one goroutine. Fields are its own unless said otherwise.
type loop struct {
	server *Server
	place  int // among the server's loops
	poller *poller
	conns  map[int]*conn // by descriptor
	timers [classes]timerList
	now    time.Time // when the current round began
	yield  time.Time // when the loop is to pass through the Go scheduler again
	date   dateCache

	listener int // -1 when this loop does not accept
	draining bool
	ended    bool
	putOff   int           // invocations submitted since the last handOver
	deaf     chan struct{} // closed when draining has begun: no connection comes from here any more
	drained  chan struct{} // closed when draining and without connections

	buf   []byte // what was just read
	head  head   // the head just parsed
	batch batch  // the responses being written

	open    atomic.Int64 // connections, those on their way included
	resting atomic.Bool  // accepting pauses because descriptors have run out

	// What others want of the loop. It looks at both before it sleeps; who adds something wakes it if it sleeps already.
	woken  atomic.Pointer[conn] // stack of connections with something to write, linked by conn.below
	posted atomic.Bool          // there are tasks
	asleep atomic.Bool          // it waits for events, or is about to

	keeper atomic.Int32 // who is at the loop: see attend.go
	bell   *bell        // calls its own goroutine
	taken  int          // invocations submitted in this round
	stop   func() bool  // the worker that is at the loop is wanted elsewhere; nil: no worker is at it

	mu     sync.Mutex
	tasks  []func() // guarded by mu
	closed bool     // the poller must not be touched any more; guarded by mu
}

func newLoop(s *Server) (*loop, error) {
	p, err := openPoller()
	if err != nil {
		return nil, err
	}
	b, err := openBell()
	if err != nil {
		p.close()
		return nil, err
	}
	return &loop{
		server:   s,
		poller:   p,
		conns:    make(map[int]*conn),
		listener: -1,
		deaf:     make(chan struct{}),
		drained:  make(chan struct{}),
		buf:      make([]byte, readBytes),
		bell:     b,
	}, nil
}

// close gives the loop's descriptors back, when nobody can be at it any more.
func (l *loop) close() {
	l.poller.close()
	l.bell.close()
}

// accepts makes the loop the one that accepts connections.
func (l *loop) accepts(fd int) error {
	if err := l.poller.watch(fd, watchNone, watchRead); err != nil {
		return err
	}
	l.listener = fd
	return nil
}

// run serves until stop, then closes what is left.
func (l *loop) run() {
	osthread.LockPrompt() // the thread ends with the loop
	for l.enter() {
		if err := l.round(false); err != nil {
			l.fail(err)
		}
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.runPosted() // nothing is added any more: a connection on its way must not be lost
	if !l.draining {
		l.drain() // Close waits for it
	}
	l.handOver()
	for _, c := range l.conns {
		c.close()
	}
}

// fail ends a loop that cannot go on.
func (l *loop) fail(err error) {
	l.server.opts.Logger.Error("event loop ended", "error", err)
	l.ended = true
}

// round waits until there is something to do, unless poll is set, and does it. It is for who is at the loop.
func (l *loop) round(poll bool) error {
	l.taken = 0
	if !poll {
		l.asleep.Store(true)
		// What was added before asleep was set has woken nobody; what is added after it wakes the wait. So it is with a worker's
		// being wanted.
		if poll = l.woken.Load() != nil || l.posted.Load() || l.stop != nil && l.stop(); poll {
			l.asleep.Store(false)
		}
	}
	events, err := l.poller.wait(poll)
	l.asleep.Store(false)
	if err != nil {
		return err
	}
	l.now = time.Now()
	for i := range events {
		l.onEvent(int(events[i].Fd), events[i].Events)
	}
	l.runPosted()
	l.handOver() // a worker on this core answers before the loop writes: in the same round, without a wake-up
	l.runWoken()
	l.handOver()
	if l.keeper.Load() == keptByLoop && l.now.After(l.yield) { // workers see to that themselves
		l.yield = l.now.Add(yieldAfter)
		runtime.Gosched()
	}
	return nil
}

// maxPutOff is how many invocations wait for a worker to be woken. Taking up that many requests takes about 25 us.
const maxPutOff = 16

// submit gives an invocation to the scheduler. Workers may be woken only by handOver.
func (l *loop) submit(inv *invoke.Invocation) error {
	l.taken++
	batch := l.server.batch
	if batch == nil {
		return l.server.opts.Submitter.Submit(inv)
	}
	l.putOff++
	err := batch.SubmitMore(inv)
	if l.putOff >= maxPutOff {
		l.handOver()
	}
	return err
}

// handOver has workers woken for what was submitted.
func (l *loop) handOver() {
	if l.putOff > 0 {
		l.putOff = 0
		l.server.batch.Flush()
	}
}

// halt ends the loop after what is posted already.
func (l *loop) halt() { l.post(func() { l.ended = true }) }

// post runs task on the loop and reports whether it will be: not after the loop has ended. Any goroutine may call it.
func (l *loop) post(task func()) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.tasks = append(l.tasks, task)
	l.posted.Store(true)
	l.mu.Unlock()
	l.rouse()
	return true
}

// runPosted does what was posted, in order.
func (l *loop) runPosted() {
	if !l.posted.Load() {
		return
	}
	l.mu.Lock()
	tasks := l.tasks
	l.tasks = nil
	l.posted.Store(false)
	l.mu.Unlock()
	for _, task := range tasks {
		task()
	}
}

// wake has the loop look at c, at once, or when more is set by the next flush: connections that are woken together are
// served together. Any goroutine may call it; when the loop is awake it costs no system call.
func (l *loop) wake(c *conn, more bool) {
	if !c.woken.Swap(true) {
		for {
			below := l.woken.Load()
			c.below = below
			if l.woken.CompareAndSwap(below, c) {
				break
			}
		}
	}
	if !more {
		l.rouse()
	}
}

// flush makes up for the wake-up that was put off, if the loop has not looked by itself meanwhile. Any goroutine may
// call it.
func (l *loop) flush() {
	if l.woken.Load() != nil {
		l.rouse()
	}
}

// rouse ends the loop's sleep.
func (l *loop) rouse() {
	if !l.asleep.Load() {
		return
	}
	l.mu.Lock() // the loop takes it at its end, so the poller is not closed meanwhile
	defer l.mu.Unlock()
	if l.closed || !l.asleep.Swap(false) {
		return
	}
	if err := l.poller.wake(); err != nil {
		l.server.opts.Logger.Error("wake event loop", "error", err)
	}
}

// runWoken serves the connections that were woken, in the order in which they were.
func (l *loop) runWoken() {
	stack := l.woken.Swap(nil)
	if stack == nil {
		return
	}
	var first *conn
	for c := stack; c != nil; {
		c.below, first, c = first, c, c.below
	}
	for c := first; c != nil; {
		next := c.below
		c.below = nil
		c.woken.Store(false) // before it is looked at: what comes later wakes it again
		if !c.closed.Load() {
			c.advance()
		}
		c = next
	}
}

// onEvent is called for every ready descriptor.
func (l *loop) onEvent(fd int, events uint32) {
	if fd == l.listener {
		l.accept()
		return
	}
	// The waker has no connection; nor has one that an earlier event of the same round has closed.
	if c := l.conns[fd]; c != nil {
		c.onEvent(events)
	}
}

// accept takes new connections and gives each to the loop with the fewest.
func (l *loop) accept() {
	for range acceptBatch {
		fd, sa, err := unix.Accept4(l.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EPROTO):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		default: // descriptors or memory have run out: those connected go on, the others wait in the backlog
			l.server.opts.Logger.Error("accept connection; pausing", "error", err)
			if l.poller.watch(l.listener, watchRead, watchNone) == nil {
				l.resting.Store(true)
			}
			return
		}
		l.server.place(fd, remoteText(sa))
	}
}

// place gives a new connection to a loop, or turns it away when there are too many.
func (s *Server) place(fd int, remote string) {
	if s.open.Load() >= int64(s.opts.Limits.Connections) {
		s.turnAway(fd)
		return
	}
	to := s.loops[0]
	for _, l := range s.loops[1:] {
		if l.open.Load() < to.open.Load() {
			to = l
		}
	}
	if s.source == "http" {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	c := newConn(to, fd, remote)
	s.open.Add(1)
	to.open.Add(1)
	if to == s.loops[0] { // it is the one that accepts
		c.adopt()
	} else if !to.post(c.adopt) {
		c.close()
	}
}

// turnAway answers 503 and closes. The socket is new, so the few bytes always fit.
func (s *Server) turnAway(fd int) {
	p := problem{status: 503, detail: "the server has as many connections as it may have; try again later", retry: time.Second}
	var d dateCache
	_, _ = unix.Write(fd, p.append(nil, nil, reply{date: d.at(time.Now()), end: true}))
	closeFD(fd)
}

// adopt registers a new connection with its loop.
func (c *conn) adopt() {
	c.loop.conns[c.fd] = c
	c.advance()
}

// expire ends what has waited too long and takes up accepting again after a pause.
func (l *loop) expire() {
	for class := range l.timers {
		for {
			t := l.timers[class].due(l.now)
			if t == nil {
				break
			}
			l.timers[class].remove(t)
			t.conn.expire(timerClass(class))
		}
	}
	if l.resting.Load() && l.listener >= 0 && l.poller.watch(l.listener, watchNone, watchRead) == nil {
		l.resting.Store(false)
	}
}

// drain stops accepting and lets every connection end when it has nothing left to answer.
func (l *loop) drain() {
	l.draining = true
	l.closeListener()
	close(l.deaf)
	for _, c := range l.conns {
		c.advance()
	}
	l.checkDrained()
}

func (l *loop) checkDrained() {
	if !l.draining || l.open.Load() > 0 {
		return
	}
	select {
	case <-l.drained:
	default:
		close(l.drained)
	}
}

func (l *loop) closeListener() {
	if l.listener < 0 {
		return
	}
	if !l.resting.Swap(false) {
		_ = l.poller.watch(l.listener, watchRead, watchNone)
	}
	closeFD(l.listener)
	l.listener = -1
}
