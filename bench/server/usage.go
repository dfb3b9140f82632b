package server

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Usage is what a process has used since it began.
type Usage struct {
	CPU      time.Duration // user and system time, of children that have ended too; in steps of 10 ms
	RSS      int64         // bytes resident now
	PeakRSS  int64         // bytes resident at most, since ResetPeak when that was called
	Switches int64         // context switches of the threads that live now
}

// Sub returns what was used since before: differences of CPU and Switches, memory as it is in u.
func (u Usage) Sub(before Usage) Usage {
	u.CPU -= before.CPU
	u.Switches -= before.Switches
	return u
}

// Usage reads what the process has used.
func (s *Server) Usage() (Usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(s.PID()))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Usage{}, fmt.Errorf("read the server's times: %w", err)
	}
	var u Usage
	if u.CPU, err = parseTimes(stat); err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return Usage{}, fmt.Errorf("read the server's memory: %w", err)
	}
	u.RSS = parseField(status, "VmRSS:") << 10
	u.PeakRSS = parseField(status, "VmHWM:") << 10
	tasks, err := filepath.Glob(filepath.Join(dir, "task", "*", "status"))
	if err != nil {
		return Usage{}, err
	}
	for _, task := range tasks {
		if status, err := os.ReadFile(task); err == nil { // a thread may have ended
			u.Switches += parseField(status, "voluntary_ctxt_switches:") + parseField(status, "nonvoluntary_ctxt_switches:")
		}
	}
	return u, nil
}

// ResetPeak makes the present resident memory the peak.
func (s *Server) ResetPeak() error {
	err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(s.PID()), "clear_refs"), []byte("5"), 0o600)
	if err != nil {
		return fmt.Errorf("reset the peak of memory: %w", err)
	}
	return nil
}

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on all of Linux's architectures that matter here.
const tick = 10 * time.Millisecond

// parseTimes returns utime, stime, cutime and cstime of /proc/PID/stat together.
func parseTimes(stat []byte) (time.Duration, error) {
	// The name in parentheses may hold anything, so count from its end; utime is field 14, the state after ")" is field 3.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime = 14 - 3
	if len(fields) < utime+4 {
		return 0, fmt.Errorf("%w: /proc/PID/stat has %d fields behind the name", strconv.ErrSyntax, len(fields))
	}
	var sum int64
	for _, field := range fields[utime : utime+4] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("times in /proc/PID/stat: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

// parseField returns the number behind a name at the beginning of a line of /proc/PID/status; 0 when it is not there.
func parseField(status []byte, name string) int64 {
	for line := range bytes.SplitSeq(status, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if fields := bytes.Fields(rest); len(fields) > 0 {
				n, _ := strconv.ParseInt(string(fields[0]), 10, 64)
				return n
			}
		}
	}
	return 0
}
