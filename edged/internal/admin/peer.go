package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"golang.org/x/sys/unix"
)

// peerKey finds the peer's user id in a connection's context, which net/http offers as the only way from a connection to
// its requests.
type peerKey struct{}

// nobody is the peer of a connection whose credentials cannot be read; it is never allowed.
const nobody = int64(-1)

// withPeer puts the user id of the process at the other end into the connection's context.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	uid := nobody
	if read, err := peerUID(conn); err == nil {
		uid = int64(read)
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

// peerUID asks the kernel who connected. The answer is fixed at connect(2): a process cannot change it afterwards.
func peerUID(conn net.Conn) (uint32, error) {
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("peer of %T: %w", conn, ErrUnsupported)
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("peer: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, fmt.Errorf("peer: %w", err)
	}
	if credErr != nil {
		return 0, fmt.Errorf("peer: %w", credErr)
	}
	return cred.Uid, nil
}

// allowed tells whether a user may manage a daemon that runs as own.
func allowed(uid int64, own int) bool {
	return uid == 0 || (uid > 0 && uid == int64(own))
}

// requirePeer lets only root and the daemon's own user pass.
func requirePeer(next http.Handler) http.Handler {
	own := os.Geteuid()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, ok := r.Context().Value(peerKey{}).(int64)
		if !ok || !allowed(uid, own) {
			writeProblem(w, &Error{
				Kind:   ErrDenied,
				Detail: fmt.Sprintf("user %d may not manage this daemon, which runs as user %d", uid, own),
				Remedy: fmt.Sprintf("run the command as root or as user %d", own),
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}
