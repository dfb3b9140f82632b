package httptrigger

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// interest is what a connection is watched for.
type interest uint8

const (
	watchNone  interest = 0
	watchRead  interest = 1
	watchWrite interest = 2
	watchBoth  interest = 3
)

// maxEvents is how many ready descriptors are taken at once. What came in while they are worked on waits for all of
// them, and their clock is read once, so it is not more.
const maxEvents = 64

// poller is an epoll instance with an eventfd to wake who waits on it. Descriptors are watched level-triggered: what is
// not read at once is reported again.
type poller struct {
	fd     int
	waker  int     // eventfd; edge-triggered, so it is never read
	one    [8]byte // what is added to the eventfd: the number 1
	events [maxEvents]unix.EpollEvent
}

func openPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	waker, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		closeFD(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &poller{fd: fd, waker: waker}
	binary.NativeEndian.PutUint64(p.one[:], 1)
	if err := p.control(unix.EPOLL_CTL_ADD, waker, unix.EPOLLIN|unix.EPOLLET); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// close gives the descriptors back. Nobody may use the poller any more: the numbers may be somebody else's by then.
func (p *poller) close() {
	closeFD(p.waker)
	closeFD(p.fd)
}

// wait returns the descriptors that are ready, the waker among them. It waits for one unless poll is set; an interrupted
// wait returns none. The slice is valid until the next call.
func (p *poller) wait(poll bool) ([]unix.EpollEvent, error) {
	timeout := -1
	if poll {
		timeout = 0
	}
	n, err := unix.EpollWait(p.fd, p.events[:], timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return nil, os.NewSyscallError("epoll_wait", err)
	}
	return p.events[:max(n, 0)], nil
}

// wake makes a wait in progress, or else the next one, return. Any goroutine may call it.
func (p *poller) wake() error {
	for {
		_, err := unix.Write(p.waker, p.one[:])
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("write", err)
		}
	}
}

// watch changes what a descriptor is watched for. Without any interest it is unknown to the poller, which would report
// a broken connection for ever otherwise.
func (p *poller) watch(fd int, was, want interest) error {
	if want == watchNone {
		return p.control(unix.EPOLL_CTL_DEL, fd, 0)
	}
	events := uint32(0)
	if want&watchRead != 0 {
		events |= unix.EPOLLIN
	}
	if want&watchWrite != 0 {
		events |= unix.EPOLLOUT
	}
	if was == watchNone {
		return p.control(unix.EPOLL_CTL_ADD, fd, events)
	}
	return p.control(unix.EPOLL_CTL_MOD, fd, events)
}

func (p *poller) control(op, fd int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, fd, &unix.EpollEvent{Fd: int32(fd), Events: events}))
}
