package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// run is one call of Run.
type run struct {
	options Options
	address unix.Sockaddr
	family  int
	epoll   int
	timer   int           // a timerfd: epoll_wait alone counts in milliseconds
	armed   time.Duration // when the timer was last set to wake the loop
	start   time.Time
	now     time.Duration // since start, read once a turn
	begin   time.Duration // of the counted time
	end     time.Duration
	streams []*stream
	conns   map[int32]*conn
	spun    time.Duration
	spin    bool // the last turn did not wait
}

// Run sends what the options say and returns what came of it. It takes the calling goroutine's thread for the time; failed requests
// are counted, errors are those that keep a run from being one: no server, wrong options, a context that ended.
func Run(ctx context.Context, options Options) (*Result, error) {
	address, err := options.validate()
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore, err := pin(options.CPU)
	if err != nil {
		return nil, err
	}
	defer restore()
	r := &run{options: options, conns: make(map[int32]*conn)}
	if r.options.Drain == 0 {
		r.options.Drain = defaultDrain
	}
	r.family, r.address = sockaddr(address)
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	result, err := r.loop(ctx)
	return result, errors.Join(err, r.close())
}

// pin moves the thread to a core and returns how to undo that.
func pin(cpu int) (func(), error) {
	if cpu < 0 {
		return func() {}, nil
	}
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("read the thread's cores: %w", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return nil, fmt.Errorf("pin the thread to core %d: %w", cpu, err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &before) }, nil
}

func sockaddr(a netip.AddrPort) (int, unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// open makes everything that a run holds, all connections included.
func (r *run) open() error {
	var err error
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("make an epoll: %w", err)
	}
	if r.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return fmt.Errorf("make a timer: %w", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(r.timer)}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, r.timer, &event); err != nil {
		return fmt.Errorf("watch the timer: %w", err)
	}
	for i, s := range r.options.Streams {
		st := newStream(s, r.options.Seed+uint64(i))
		r.streams = append(r.streams, st)
		for range s.Connections {
			c := &conn{stream: st}
			if err := r.connect(c); err != nil {
				return err
			}
			st.idle = append(st.idle, c)
		}
	}
	return nil
}

// connect gives a connection a new socket.
func (r *run) connect(c *conn) error {
	fd, err := unix.Socket(r.family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	err = unix.Connect(fd, r.address)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil && c.stream.Reconnect {
		// Without this, thousands of connections a second would use up all ports in TIME_WAIT.
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
	if err == nil {
		err = unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &event)
	}
	if err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("connect to %s: %w", r.options.Address, err)
	}
	c.fd, c.reader, c.pending = fd, reader{}, nil
	r.conns[int32(fd)] = c
	return nil
}

func (r *run) close() error {
	var list []error
	for fd := range r.conns {
		list = append(list, unix.Close(int(fd)))
	}
	for _, fd := range []int{r.epoll, r.timer} {
		if fd > 0 {
			list = append(list, unix.Close(fd))
		}
	}
	return errors.Join(list...)
}

func (r *run) loop(ctx context.Context) (*Result, error) {
	r.start = time.Now()
	r.begin = r.options.Warmup
	r.end = r.begin + r.options.Duration
	if err := r.turns(ctx, r.begin); err != nil {
		return nil, err
	}
	if r.options.Begin != nil {
		r.options.Begin()
	}
	r.now = time.Since(r.start)
	r.begin, r.end = r.now, r.now+r.options.Duration
	r.spun = 0
	used := threadTime()
	if err := r.turns(ctx, r.end); err != nil {
		return nil, err
	}
	result := &Result{Elapsed: r.now - r.begin, CPU: threadTime() - used - r.spun, Streams: make(map[string][]*Tally)}
	if r.options.End != nil {
		r.options.End()
	}
	r.overdue()
	if err := r.turns(ctx, r.end+r.options.Drain); err != nil {
		return nil, err
	}
	for _, s := range r.streams {
		for c := range r.inFlight(s) {
			s.tallies[c.class].Unanswered++
		}
		for a, ok := s.waiting(); ok; a, ok = s.waiting() {
			if a.intended >= r.begin {
				s.tallies[a.class].Unanswered++
			}
		}
		result.Streams[s.Name] = append(result.Streams[s.Name], s.tallies...)
	}
	return result, nil
}

// overdue counts the requests of closed streams that are in flight at the end of the counted time and have missed their
// deadline already: without them a server that answers nothing would have missed none.
func (r *run) overdue() {
	for _, c := range r.conns {
		deadline := c.stream.Classes[c.class].Deadline
		if c.busy && !c.stream.open() && deadline > 0 && r.now-c.intended > deadline {
			c.stream.tallies[c.class].Unanswered++
		}
	}
}

// inFlight yields the connections that wait for an answer that would have been counted.
func (r *run) inFlight(s *stream) func(func(*conn) bool) {
	return func(yield func(*conn) bool) {
		for _, c := range r.conns {
			if c.stream == s && c.busy && s.open() && c.intended >= r.begin && !yield(c) {
				return
			}
		}
	}
}

func threadTime() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// turns runs the event loop until a time; after the end of the counted time only as long as something is in flight.
func (r *run) turns(ctx context.Context, until time.Duration) error {
	events := make([]unix.EpollEvent, 512)
	for turn := 0; ; turn++ {
		now := time.Since(r.start)
		if r.spin {
			r.spun += now - r.now
		}
		r.now = now
		if now >= until || (until > r.end && r.drained()) {
			return nil
		}
		if turn%64 == 0 && ctx.Err() != nil {
			return fmt.Errorf("run the load: %w", context.Cause(ctx))
		}
		if err := r.send(); err != nil {
			return err
		}
		n, err := unix.EpollWait(r.epoll, events, r.timeout(until))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for answers: %w", err)
		}
		r.spin = r.spin && n <= 0
		for i := range max(0, n) {
			if err := r.serve(events[i]); err != nil {
				return err
			}
		}
	}
}

// drained reports whether nothing is in flight any more. Answers that come to closed streams now are not counted, but a
// server that still works on them would spoil what is measured next.
func (r *run) drained() bool {
	for _, s := range r.streams {
		if s.taken < len(s.backlog) {
			return false
		}
	}
	for _, c := range r.conns {
		if c.busy {
			return false
		}
	}
	return true
}

// send sends what has come due: on open streams what their clock says, on closed ones a request on each idle connection.
func (r *run) send() error {
	for _, s := range r.streams {
		s.wake(r.now)
		if s.open() {
			s.arrive(r.now, r.end)
		}
		for len(s.idle) > 0 {
			a := arrival{intended: r.now}
			if s.open() {
				var ok bool
				if a, ok = s.waiting(); !ok {
					break
				}
			} else {
				if r.now >= r.end {
					break
				}
				a.class = s.draw()
			}
			c := s.idle[len(s.idle)-1]
			s.idle = s.idle[:len(s.idle)-1]
			if err := r.begins(c, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// begins sends a request on an idle connection.
func (r *run) begins(c *conn, a arrival) error {
	if c.fd < 0 {
		if err := r.connect(c); err != nil {
			return err
		}
	}
	c.busy, c.class, c.intended = true, a.class, a.intended
	c.pending = c.stream.Classes[a.class].Request
	if err := c.write(); err != nil {
		return r.broken(c)
	}
	return nil
}

// shortSleep is below what a timer and a wake-up take: the loop turns without waiting instead, so that it is not late.
const shortSleep = 60 * time.Microsecond

// timeout arms the timer for the next request that has to be sent and returns how many milliseconds to wait at most.
func (r *run) timeout(until time.Duration) int {
	next := until
	for _, s := range r.streams {
		if s.open() && len(s.idle) > 0 && s.next < r.end {
			next = min(next, s.next)
		}
		if len(s.resting) > 0 {
			next = min(next, s.resting[0].until)
		}
	}
	wait := next - time.Since(r.start)
	if r.spin = wait < shortSleep; r.spin {
		return 0
	}
	if r.armed == next {
		return 100 // as below; the timer costs a system call, and closed streams need it once
	}
	r.armed = next
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait - shortSleep/2))}
	if err := unix.TimerfdSettime(r.timer, 0, &spec, nil); err != nil {
		return 0
	}
	return 100 // for the context
}

// serve reads what a connection has and takes the answer when it is complete.
func (r *run) serve(event unix.EpollEvent) error {
	c := r.conns[event.Fd]
	if c == nil {
		return nil // the timer, or a connection that ended earlier in this turn
	}
	if len(c.pending) > 0 && event.Events&unix.EPOLLOUT != 0 {
		if err := c.write(); err != nil {
			return r.broken(c)
		}
	}
	if event.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR|unix.EPOLLRDHUP) == 0 {
		return nil
	}
	for {
		space := c.reader.space()
		n, err := unix.Read(c.fd, space)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || n == 0:
			return r.broken(c)
		}
		c.reader.feed(n)
		answer, ok, err := c.reader.next()
		if err != nil || (ok && !c.busy) {
			return r.broken(c)
		}
		if ok {
			return r.answered(c, answer)
		}
		if n < len(space) {
			return nil // a further read would find nothing
		}
	}
}

// answered counts an answer and makes the connection idle.
func (r *run) answered(c *conn, answer response) error {
	at := time.Since(r.start)
	counted := c.intended >= r.begin
	if !c.stream.open() {
		counted = at >= r.begin && at < r.end
	}
	if counted {
		c.stream.tallies[c.class].count(c.stream.Classes[c.class], answer, at-c.intended)
	}
	c.busy = false
	if answer.close || c.stream.Reconnect {
		r.hangUp(c)
	}
	if s := c.stream; s.Pause > 0 && !s.open() && (answer.status == 429 || answer.status == 503) {
		s.resting = append(s.resting, rest{c, at + s.Pause})
	} else {
		s.idle = append(s.idle, c)
	}
	return nil
}

// broken counts the request in flight as failed; the connection is made anew for the next one.
func (r *run) broken(c *conn) error {
	wasBusy := c.busy
	if wasBusy && c.intended >= r.begin && r.now < r.end+r.options.Drain {
		c.stream.tallies[c.class].Broken++
	}
	c.busy = false
	r.hangUp(c)
	if wasBusy {
		c.stream.idle = append(c.stream.idle, c)
	}
	return nil
}

func (r *run) hangUp(c *conn) {
	delete(r.conns, int32(c.fd))
	_ = unix.Close(c.fd)
	c.fd = -1
	c.pending = nil
}

// WaitFor returns once a server accepts connections at the address, or the context's error.
func WaitFor(ctx context.Context, address string) error {
	ip, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: address: %w", ErrOptions, err)
	}
	family, to := sockaddr(ip)
	for {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		err = unix.Connect(fd, to)
		_ = unix.Close(fd)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for a server at %s: %w", address, context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
}
