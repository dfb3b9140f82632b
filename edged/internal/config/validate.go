package config

import (
	"fmt"
	"net"
	"runtime"
	"strconv"
	"time"

	"edged.dev/edge/edged/internal/strictyaml"
)

// maxSocketPath is what fits in sun_path with its final zero byte (unix(7)).
const maxSocketPath = 107

// Validate judges the configuration. The error is an [*strictyaml.Error] with every problem and its key.
func (c *Config) Validate() error { return c.check() }

func (c *Config) check() error {
	var list strictyaml.Checker
	list.Require(c.Data != "", "data", "there is no data folder", "")
	checkAddress(&list, "http", c.HTTP)
	checkSocket(&list, "uds", c.UDS)
	checkSocket(&list, "admin", c.Admin)
	list.Require(c.UDS != c.Admin || c.UDS == "", "uds", "the data socket and the management socket have the same path", "give each its own")
	between(&list, "cores", c.Cores, 1, runtime.NumCPU())
	list.OneOf("log.level", c.Log.Level, []string{"debug", "info", "warn", "error"})
	list.OneOf("log.format", c.Log.Format, []string{FormatText, FormatJSON})
	between(&list, "limits.body", c.Limits.Body, strictyaml.KiB, strictyaml.GiB)
	between(&list, "limits.headers", c.Limits.Headers, strictyaml.KiB, strictyaml.MiB)
	between(&list, "limits.connections", c.Limits.Connections, 1, 1<<20)
	between(&list, "limits.queue", c.Limits.Queue, 1, 1<<20)
	between(&list, "limits.memories", c.Limits.Memories, 1, maxMemories)
	between(&list, "limits.memory", c.Limits.Memory, 16*strictyaml.MiB, 1024*strictyaml.GiB)
	list.OneOf("scheduler.policy", c.Scheduler.Policy, []string{PolicyEDF, PolicyFIFO, PolicySJF})
	list.OneOf("scheduler.preempt", c.Scheduler.Preempt, []string{PreemptArrival, PreemptTimer, PreemptOff})
	between(&list, "scheduler.slice", c.Scheduler.Slice, 500*time.Microsecond, time.Second)
	between(&list, "timeouts.drain", c.Timeouts.Drain, time.Millisecond, time.Hour)
	between(&list, "timeouts.app_max", c.Timeouts.AppMax, time.Millisecond, 24*time.Hour)
	between(&list, "timeouts.results", c.Timeouts.Results, time.Minute, 8760*time.Hour)
	list.Require(c.Timeouts.App > 0 && c.Timeouts.App <= c.Timeouts.AppMax, "timeouts.app",
		fmt.Sprintf("%v is not above zero and at most timeouts.app_max, %v", c.Timeouts.App, c.Timeouts.AppMax), "")
	between(&list, "compile.memory", c.Compile.Memory, 256*strictyaml.MiB, 1024*strictyaml.GiB)
	between(&list, "compile.cpu", c.Compile.CPU, time.Second, 24*time.Hour)
	between(&list, "compile.wall", c.Compile.Wall, time.Second, 24*time.Hour)
	return list.Err()
}

// between notes a problem when a value is outside its bounds, which belong to them.
func between[T int | strictyaml.Size | time.Duration](list *strictyaml.Checker, key string, value, low, high T) {
	list.Require(low <= value && value <= high, key, fmt.Sprintf("%v is outside of %v to %v", value, low, high), "")
}

func checkAddress(list *strictyaml.Checker, key, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	list.Require(err == nil, key, fmt.Sprintf("%q is not an address", address), "write host:port, such as 127.0.0.1:8080; port 0 takes a free one")
}

func checkSocket(list *strictyaml.Checker, key, path string) {
	list.Require(path != "", key, "the socket has no path", "")
	list.Require(len(path) <= maxSocketPath, key, fmt.Sprintf("the path has %d bytes; a socket's has at most %d", len(path), maxSocketPath), "choose a shorter one")
}
