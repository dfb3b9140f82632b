package daemon

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/hostfn"
)

// grant resolves a folder that a manifest grants. What would hand a guest the daemon itself is refused, read-only or not:
// its data folder holds compiled code, other apps' data and secrets; its sockets are how it is managed; and the kernel's
// file systems reach its memory.
func (d *Daemon) grant(dir manifest.Dir) (hostfn.Dir, error) {
	host, err := filepath.EvalSymlinks(dir.Host)
	if err != nil {
		return hostfn.Dir{}, fmt.Errorf("grants.dirs: folder %s: %w", dir.Host, err)
	}
	data := resolved(d.config.Data)
	switch {
	case !filepath.IsAbs(host):
		return hostfn.Dir{}, fmt.Errorf("grants.dirs: folder %s is not an absolute path", dir.Host)
	case within(host, data), within(data, host):
		return hostfn.Dir{}, fmt.Errorf("grants.dirs: folder %s holds the daemon's data folder %s, or lies in it; grant another folder",
			dir.Host, d.config.Data)
	case within("/dev", host):
		return hostfn.Dir{}, fmt.Errorf("grants.dirs: folder %s holds devices; grant another folder", dir.Host)
	}
	for _, socket := range []string{d.config.UDS, d.config.Admin} {
		if within(host, resolved(filepath.Dir(socket))) {
			return hostfn.Dir{}, fmt.Errorf("grants.dirs: folder %s holds the daemon's socket %s; grant another folder", dir.Host, socket)
		}
	}
	if kind, err := kernelFS(host); err != nil || kind != "" {
		if err != nil {
			return hostfn.Dir{}, fmt.Errorf("grants.dirs: folder %s: %w", dir.Host, err)
		}
		return hostfn.Dir{}, fmt.Errorf("grants.dirs: folder %s is of the kernel's file system %s; grant another folder", dir.Host, kind)
	}
	// The resolved path, so that what was judged is what is opened.
	return hostfn.Dir{Guest: dir.Guest, Host: host, ReadOnly: dir.ReadOnly}, nil
}

// resolved returns a path without symbolic links; one that does not exist as it is.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

// within reports whether inner is outer or below it. Both are clean and absolute.
func within(outer, inner string) bool {
	return inner == outer || strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/")
}

// kernelFS names the kind of file system of a folder when it is one through which the kernel shows itself, else "".
func kernelFS(path string) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return "", fmt.Errorf("look at its file system: %w", err)
	}
	for _, row := range [...]struct {
		magic int64
		name  string
	}{
		{unix.PROC_SUPER_MAGIC, "proc"},
		{unix.SYSFS_MAGIC, "sysfs"},
		{unix.DEVPTS_SUPER_MAGIC, "devpts"},
		{unix.CGROUP_SUPER_MAGIC, "cgroup"},
		{unix.CGROUP2_SUPER_MAGIC, "cgroup2"},
		{unix.DEBUGFS_MAGIC, "debugfs"},
		{unix.TRACEFS_MAGIC, "tracefs"},
		{unix.SECURITYFS_MAGIC, "securityfs"},
		{unix.SELINUX_MAGIC, "selinuxfs"},
		{unix.BPF_FS_MAGIC, "bpf"},
		{unix.EFIVARFS_MAGIC, "efivarfs"},
	} {
		if int64(fs.Type) == row.magic { //nolint:unconvert // 32 bits on some architectures
			return row.name, nil
		}
	}
	return "", nil
}
