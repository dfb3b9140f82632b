package daemon

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/config"
	"edged.dev/edge/wasmedge"
)

// Status implements admin.Health.
func (d *Daemon) Status(context.Context) (admin.Status, error) {
	apps := d.deployed()
	functions := 0
	for _, one := range apps {
		functions += len(one.version.Manifest.Functions)
	}
	queued, running := d.scheduler.Load()
	return admin.Status{
		Version: d.version, Engine: "WasmEdge " + wasmedge.Version(), Started: d.started, Uptime: time.Since(d.started),
		PID: os.Getpid(), Cores: d.config.Cores, Apps: len(apps), Functions: functions, QueueLength: queued, Running: running,
		LiveInstances: d.engine.LiveMemories(), Connections: d.http.Connections() + d.uds.Connections(), MemoryBytes: residentBytes(),
		HTTP: d.httpAddr(), UDS: d.config.UDS, Admin: d.config.Admin, DataDir: d.config.Data, Draining: d.draining.Load(),
	}, nil
}

// residentBytes returns the resident set of this process; 0 when the kernel does not say.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// LocalChecks looks at this machine when no daemon answers: what a daemon with that configuration would find.
func LocalChecks(ctx context.Context, loaded *config.Loaded) []admin.Check {
	checks := []admin.Check{
		{Name: "engine", State: admin.CheckOK, Detail: fmt.Sprintf("WasmEdge %s on %s", wasmedge.Version(), runtime.GOARCH)},
		checkDisk(loaded.Data), checkDescriptors(), checkAddressSpace(), checkClock(), checkTool(ctx, "clang", "C functions"),
		checkTool(ctx, "go", "Go functions"),
	}
	return append(checks, settings(loaded)...)
}

// checkTool looks for a compiler of guests.
func checkTool(_ context.Context, name, what string) admin.Check {
	path, err := exec.LookPath(name)
	if err != nil {
		return admin.Check{
			Name: name, State: admin.CheckWarn, Detail: "not found: " + what + " cannot be built on this machine",
			Remedy: "scripts/install-guest-toolchain.sh installs what C needs; see go.dev for Go",
		}
	}
	return admin.Check{Name: name, State: admin.CheckOK, Detail: path}
}

// settings lists every value of the configuration and where it came from.
func settings(loaded *config.Loaded) []admin.Check {
	var checks []admin.Check
	for _, setting := range loaded.Settings() {
		checks = append(checks, admin.Check{
			Name: "setting " + setting.Key, State: admin.CheckOK,
			Detail: fmt.Sprintf("%s (%s)", setting.Value, setting.Source),
		})
	}
	return checks
}

// Doctor implements admin.Health.
func (d *Daemon) Doctor(ctx context.Context) ([]admin.Check, error) {
	checks := []admin.Check{
		{Name: "engine", State: admin.CheckOK, Detail: fmt.Sprintf("WasmEdge %s on %s, %d of %d linear memories in use",
			wasmedge.Version(), runtime.GOARCH, d.engine.LiveMemories(), d.config.Limits.Memories)},
		checkDisk(d.config.Data), checkDescriptors(), checkAddressSpace(), checkClock(), d.checkApps(),
	}
	return append(checks, settings(d.config)...), ctx.Err()
}

// lowDiskBytes is when doctor warns: an artifact of a large module and a key-value store that grows need about that.
const lowDiskBytes = 512 << 20

func checkDisk(folder string) admin.Check {
	check := admin.Check{Name: "disk"}
	var fs unix.Statfs_t
	if err := unix.Statfs(existing(folder), &fs); err != nil {
		check.State, check.Detail = admin.CheckFail, err.Error()
		return check
	}
	free := int64(fs.Bavail) * fs.Bsize
	check.State, check.Detail = admin.CheckOK, fmt.Sprintf("%.1f GiB free for %s", float64(free)/(1<<30), folder)
	if free < lowDiskBytes {
		check.State, check.Remedy = admin.CheckWarn, fmt.Sprintf("make room: below %d MiB deploys and writes may fail", lowDiskBytes>>20)
	}
	return check
}

// existing returns the folder, or the nearest one above it that is there.
func existing(folder string) string {
	for {
		if _, err := os.Stat(folder); err == nil || filepath.Dir(folder) == folder {
			return folder
		}
		folder = filepath.Dir(folder)
	}
}

func checkDescriptors() admin.Check {
	check := admin.Check{Name: "descriptors", State: admin.CheckOK}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		check.State, check.Detail = admin.CheckWarn, err.Error()
		return check
	}
	check.Detail = fmt.Sprintf("%d files may be open", limit.Cur)
	if limit.Cur < 16384 {
		check.State, check.Remedy = admin.CheckWarn, "raise it for many connections: LimitNOFILE= in the systemd unit, or ulimit -n"
	}
	return check
}

func checkAddressSpace() admin.Check {
	check := admin.Check{Name: "address space", State: admin.CheckOK, Detail: "unlimited"}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &limit); err == nil && limit.Cur != unix.RLIM_INFINITY {
		check.State, check.Detail = admin.CheckFail, fmt.Sprintf("limited to %d MiB; every linear memory reserves 12 GiB of it", limit.Cur>>20)
		check.Remedy = "remove the limit (ulimit -v unlimited, LimitAS=infinity); bound memory with a cgroup instead"
	}
	return check
}

// buildYear is before any build of this program: a clock behind it is wrong.
const buildYear = 2025

func checkClock() admin.Check {
	check := admin.Check{Name: "clock", State: admin.CheckOK, Detail: time.Now().Format(time.RFC3339)}
	if time.Now().Year() < buildYear {
		check.State, check.Remedy = admin.CheckWarn, "set it, or run an NTP client; timestamps in logs are wrong until then"
	}
	return check
}

func (d *Daemon) checkApps() admin.Check {
	damaged := d.registry.Damaged()
	if len(damaged) == 0 {
		return admin.Check{Name: "apps", State: admin.CheckOK, Detail: fmt.Sprintf("%d deployed, all intact", len(d.deployed()))}
	}
	return admin.Check{
		Name: "apps", State: admin.CheckFail, Detail: damaged[0].Err.Error(),
		Remedy: "deploy it again, or restore " + filepath.Join(d.config.Data, "apps") + " from a copy",
	}
}
