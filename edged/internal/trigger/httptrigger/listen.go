package httptrigger

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen opens the listening socket and returns a descriptor of its own and the address. The net.Listener it came
// through is closed: left open, it would wake Go's poller for every connection.
func listen(ctx context.Context, opts Options) (int, net.Addr, error) {
	ln := opts.Listener
	if ln == nil {
		var config net.ListenConfig // sets SO_REUSEADDR
		var err error
		if ln, err = config.Listen(ctx, opts.Network, opts.Addr); err != nil {
			return -1, nil, fmt.Errorf("listen for HTTP: %w", err)
		}
	}
	defer func() { _ = ln.Close() }()
	if l, ok := ln.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false)
	}
	source, ok := ln.(syscall.Conn)
	if !ok {
		return -1, nil, fmt.Errorf("%w: Listener has no descriptor", ErrOptions)
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return -1, nil, fmt.Errorf("take over listener: %w", err)
	}
	fd := -1
	var dup error
	if err := raw.Control(func(n uintptr) { fd, dup = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, nil, fmt.Errorf("take over listener: %w", err)
	}
	if dup != nil {
		return -1, nil, fmt.Errorf("duplicate listener: %w", dup)
	}
	return fd, ln.Addr(), nil
}

// remoteText is the peer's address as invoke.Request.Remote has it.
func remoteText(sa unix.Sockaddr) string {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)).String()
	default:
		return "@"
	}
}

// closeFD closes a descriptor of ours; there is nothing to do about an error.
func closeFD(fd int) { _ = unix.Close(fd) }
