package httptrigger

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"
	"golang.org/x/sys/unix"
)

// readBytes is how much is read from a connection before the next one has its turn.
const readBytes = 64 << 10

// acceptBatch is how many connections are accepted before those that exist have their turn.
const acceptBatch = 64

// loop serves its share of the connections on one goroutine. Fields are its own unless said otherwise.
type loop struct {
	server *Server
	poller *netpoll.Poller
	conns  map[int]*conn // by descriptor
	timers [classes]timerList
	now    time.Time // when the current event began
	date   dateCache

	listener int // -1 when this loop does not accept
	lnPoll   netpoll.PollAttachment
	draining bool
	deaf     chan struct{} // closed when draining has begun: no connection comes from here any more
	drained  chan struct{} // closed when draining and without connections

	buf   []byte // what was just read
	head  head   // the head just parsed
	batch batch  // the responses being written

	open    atomic.Int64 // connections, those on their way included
	resting atomic.Bool  // accepting pauses because descriptors have run out

	mu     sync.Mutex
	woken  []*conn // connections with something to write; guarded by mu
	spare  []*conn // the other half of woken, in use while it is worked off
	closed bool    // the poller must not be touched any more; guarded by mu
}

func newLoop(s *Server) (*loop, error) {
	p, err := netpoll.OpenPoller()
	if err != nil {
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
	}, nil
}

// accepts makes the loop the one that accepts connections.
func (l *loop) accepts(fd int) error {
	l.lnPoll = netpoll.PollAttachment{FD: fd}
	if err := l.poller.AddRead(&l.lnPoll, false); err != nil {
		return err
	}
	l.listener = fd
	return nil
}

// run serves until stop, then closes what is left.
func (l *loop) run() {
	err := l.poller.Polling(l.onEvent)
	if err != nil && !errors.Is(err, gneterrors.ErrEngineShutdown) {
		l.server.opts.Logger.Error("event loop ended", "error", err)
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.closeListener()
	for _, c := range l.conns {
		c.close()
	}
}

// stop ends the loop after what is posted already.
func (l *loop) stop() { l.trigger(func(any) error { return gneterrors.ErrEngineShutdown }, nil) }

// post runs task on the loop. After the loop has ended it does nothing. Any goroutine may call it.
func (l *loop) post(task func()) {
	l.trigger(func(any) error { task(); return nil }, nil)
}

// trigger queues a task unless the loop has ended: its descriptor numbers may be someone else's by then. It returns
// whether the task will run.
func (l *loop) trigger(task queue.Func, arg any) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if err := l.poller.Trigger(queue.HighPriority, task, arg); err != nil {
		l.server.opts.Logger.Error("wake event loop", "error", err)
	}
	return true
}

// wake has the loop look at c. Any goroutine may call it; connections woken together are served together.
func (l *loop) wake(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.woken || l.closed {
		return
	}
	c.woken = true
	l.woken = append(l.woken, c)
	if len(l.woken) > 1 {
		return // the task is queued already
	}
	if err := l.poller.Trigger(queue.HighPriority, runWoken, l); err != nil {
		l.server.opts.Logger.Error("wake event loop", "error", err)
	}
}

// runWoken serves the connections that were woken.
func runWoken(arg any) error {
	l := arg.(*loop)
	l.mu.Lock()
	woken := l.woken
	l.woken = l.spare[:0]
	for _, c := range woken {
		c.woken = false
	}
	l.mu.Unlock()
	l.now = time.Now()
	for i, c := range woken {
		if !c.closed.Load() {
			c.advance()
		}
		woken[i] = nil
	}
	l.mu.Lock()
	l.spare = woken[:0]
	l.mu.Unlock()
	return nil
}

// onEvent is called by the poller for every ready descriptor.
func (l *loop) onEvent(fd int, ev netpoll.IOEvent, _ netpoll.IOFlags) error {
	if fd == l.listener {
		l.accept()
		return nil
	}
	// An event of a connection that an earlier event of the same round has closed finds nothing here.
	if c := l.conns[fd]; c != nil {
		l.now = time.Now()
		c.onEvent(ev)
	}
	return nil
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
			if l.poller.Delete(l.listener) == nil {
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
	if !to.trigger(adopt, c) {
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
func adopt(arg any) error {
	c := arg.(*conn)
	l := c.loop
	l.now = time.Now()
	l.conns[c.fd] = c
	c.advance()
	return nil
}

// expire ends what has waited too long and takes up accepting again after a pause.
func (l *loop) expire() {
	l.now = time.Now()
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
	if l.resting.Load() && l.listener >= 0 && l.poller.AddRead(&l.lnPoll, false) == nil {
		l.resting.Store(false)
	}
}

// drain stops accepting and lets every connection end when it has nothing left to answer.
func (l *loop) drain() {
	l.now = time.Now()
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
		_ = l.poller.Delete(l.listener)
	}
	closeFD(l.listener)
	l.listener = -1
}
