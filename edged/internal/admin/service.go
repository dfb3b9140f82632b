// Package admin is the management API: an HTTP/JSON server on a Unix socket, and the client that the command line uses.
//
// The server only translates. What it offers is the [Service] interface, which the daemon implements; every error of the
// service becomes one application/problem+json document (RFC 9457) by one table, and the client turns it back into an
// [*Error], so errors.Is with the sentinels of this package holds on both sides.
//
// Who may connect is decided by the kernel's word on the peer (SO_PEERCRED): root and the daemon's own user, nobody else.
// The socket's mode of 0600 says the same a second time.
//
// Answers that take long are streams of JSON lines, one [event] a line, and end in exactly one line of result, error or
// end; a stream without it was cut off. A client that goes away ends the request's context.
package admin

import (
	"context"
	"io"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Service is what the daemon can be asked to do. Every method may be called from any goroutine and many at once; it ends
// early, with the context's error, when ctx ends because the client has gone. Errors wrap a sentinel of this package or
// of package invoke; any other is answered as internal.
type Service interface {
	Apps
	Invoker
	Logs
	KV
	Calls
	Triggers
	Health
	Load
}

// Apps is the management of deployed apps.
type Apps interface {
	// Deploy checks, compiles and activates an app; progress is called in order, by one goroutine at a time, and not
	// after Deploy has returned. On an error what was deployed before serves on.
	Deploy(ctx context.Context, req DeployRequest, progress func(Progress)) (DeployResult, error)
	// Apps returns the deployed apps by name.
	Apps(ctx context.Context) ([]AppSummary, error)
	// Inspect returns everything known of an app, or ErrNotFound.
	Inspect(ctx context.Context, app invoke.AppName) (AppDetail, error)
	// Rollback activates an earlier version; "" means the one before the active one.
	Rollback(ctx context.Context, app invoke.AppName, version string) (DeployResult, error)
	// Remove takes the app out of service and forgets its versions. Its space stays.
	Remove(ctx context.Context, app invoke.AppName) error
}

// Invoker calls a function.
type Invoker interface {
	// Invoke runs one invocation with source "cli" and waits for it. An answer of the guest is a response whatever its
	// status; an error means that there is none.
	Invoke(ctx context.Context, req InvokeRequest) (InvokeResponse, error)
}

// Logs gives what guests logged.
type Logs interface {
	// Logs calls yield for each entry in order. Without Follow it returns nil at the last one there is; with Follow it
	// goes on until ctx ends or the app is removed. It stops at the first error of yield and returns it.
	Logs(ctx context.Context, req LogsRequest, yield func(LogEntry) error) error
}

// KV is access to spaces for the operator. Keys and values are bytes, not text.
type KV interface {
	// KVSpaces returns the spaces by name.
	KVSpaces(ctx context.Context) ([]SpaceSummary, error)
	// KVGet returns the value, or ErrNotFound.
	KVGet(ctx context.Context, space string, key []byte) ([]byte, error)
	// KVSet stores the value durably by the space's class and starts what is triggered by it.
	KVSet(ctx context.Context, space string, key, value []byte) error
	// KVDelete removes the key and reports whether it was there.
	KVDelete(ctx context.Context, space string, key []byte) (existed bool, err error)
	// KVList returns up to limit entries whose key has the prefix and sorts behind after.
	KVList(ctx context.Context, space string, req ListRequest) (ListPage, error)
	// KVExport writes the whole space, as of one moment, in the store's own format.
	KVExport(ctx context.Context, space string, w io.Writer) error
	// KVImport reads what KVExport wrote and stores it in addition to what is there; it returns how many entries.
	KVImport(ctx context.Context, space string, r io.Reader) (entries int64, err error)
}

// Health says how the daemon is.
type Health interface {
	// Status returns the daemon's numbers of this moment.
	Status(ctx context.Context) (Status, error)
	// Doctor looks for what is missing or wrong on this machine; a finding is a check, not an error.
	Doctor(ctx context.Context) ([]Check, error)
}

// DeployRequest is an app to deploy.
type DeployRequest struct {
	Name         invoke.AppName `json:"name,omitempty"`          // overrides the manifest's; may be empty
	ManifestName string         `json:"manifest_name,omitempty"` // for messages: "edged.yaml"
	Dir          string         `json:"dir,omitempty"`           // absolute folder of the manifest; grants are relative to it
	Manifest     []byte         `json:"-"`                       // nil: a bare module with every default
	ModuleName   string         `json:"module_name,omitempty"`   // file name; a bare app is named after it
	Module       []byte         `json:"-"`                       // the Wasm file as it was read, not yet checked
}

// Progress is one step of a deploy. Done and Total count whatever the stage handles; Total 0 means unknown.
type Progress struct {
	Stage   string `json:"stage"` // "push", "check", "compile", "activate"
	Done    int64  `json:"done,omitempty"`
	Total   int64  `json:"total,omitempty"`
	Message string `json:"message,omitempty"`
}

// DeployResult is a version that is active now.
type DeployResult struct {
	App        invoke.AppName  `json:"app"`
	Version    string          `json:"version"`
	Functions  []FunctionRoute `json:"functions"`
	Imports    []Import        `json:"imports,omitempty"`
	Warnings   []string        `json:"warnings,omitempty"`
	Optimising bool            `json:"optimising,omitempty"` // it answers now, and a faster build is being made
}

// FunctionRoute is a function and where it answers.
type FunctionRoute struct {
	Name     invoke.FunctionName `json:"name"`
	Route    string              `json:"route,omitempty"`
	Methods  []string            `json:"methods,omitempty"` // empty: all
	Entry    string              `json:"entry,omitempty"`
	URL      string              `json:"url,omitempty"` // on the HTTP port
	UDS      string              `json:"uds,omitempty"` // path of the data socket
	Triggers []string            `json:"triggers,omitempty"`
}

// Import is one import of the module and what it was given.
type Import struct {
	Module string `json:"module"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	Status string `json:"status"` // "provided", "missing" or "denied"
	Detail string `json:"detail,omitempty"`
}

// AppSummary is a row of the list of apps.
type AppSummary struct {
	Name      invoke.AppName `json:"name"`
	Version   string         `json:"version"`
	State     string         `json:"state"` // "ready", "optimising" or "failed"
	Functions int            `json:"functions"`
	Instances int            `json:"instances"`
	Deployed  time.Time      `json:"deployed"`
}

// AppDetail is everything known of an app.
type AppDetail struct {
	AppSummary
	ABI         string          `json:"abi,omitempty"`
	ModuleSHA   string          `json:"module_sha256,omitempty"`
	ModuleBytes int64           `json:"module_bytes,omitempty"`
	Space       string          `json:"space,omitempty"`
	Limits      Limits          `json:"limits"`
	FunctionSet []FunctionRoute `json:"function_set,omitempty"`
	Imports     []Import        `json:"imports,omitempty"`
	Warnings    []string        `json:"warnings,omitempty"`
	Grants      Grants          `json:"grants"`
	Versions    []Version       `json:"versions,omitempty"` // newest first
}

// Grants are what an app may reach beyond its own memory and space. Values of configuration and secrets are not told.
type Grants struct {
	Dirs    []string `json:"dirs,omitempty"` // "GUEST -> HOST (read-only)"
	Hosts   []string `json:"hosts,omitempty"`
	Config  []string `json:"config,omitempty"`
	Secrets []string `json:"secrets,omitempty"`
}

// Limits are what an app may use.
type Limits struct {
	MemoryBytes int64         `json:"memory_bytes"`
	Timeout     time.Duration `json:"timeout_ns"`
	Concurrency int           `json:"concurrency"`
}

// Version is a deployed version of an app.
type Version struct {
	Version  string    `json:"version"`
	Deployed time.Time `json:"deployed"`
	Active   bool      `json:"active"`
}

// InvokeRequest is a call of a function by its name. An empty function means the only one of the app.
type InvokeRequest struct {
	App      invoke.AppName      `json:"app"`
	Function invoke.FunctionName `json:"function,omitempty"`
	Method   string              `json:"method,omitempty"` // default POST with a body, else GET
	Path     string              `json:"path,omitempty"`   // below the route; default none
	Headers  []invoke.Header     `json:"headers,omitempty"`
	Body     []byte              `json:"body,omitempty"`
}

// InvokeResponse is what the function answered.
type InvokeResponse struct {
	Status  int             `json:"status"`
	Headers []invoke.Header `json:"headers,omitempty"`
	Body    []byte          `json:"body,omitempty"`
}

// LogsRequest selects log entries. An empty app means all apps.
type LogsRequest struct {
	App    invoke.AppName
	Since  time.Time // zero: everything kept
	Follow bool
}

// LogEntry is a line that a guest logged.
type LogEntry struct {
	Time       time.Time           `json:"time"`
	App        invoke.AppName      `json:"app"`
	Function   invoke.FunctionName `json:"function,omitempty"`
	Invocation uint64              `json:"invocation,omitempty"`
	Level      string              `json:"level"`
	Text       string              `json:"text"`
	Lost       uint64              `json:"lost,omitempty"` // entries dropped before this one, this reader being too slow
}

// SpaceSummary is a row of the list of spaces.
type SpaceSummary struct {
	Name       string `json:"name"`
	Durability string `json:"durability"`
	Keys       int64  `json:"keys"`
	Bytes      int64  `json:"bytes"`
}

// ListRequest selects keys. Limit 0 means the server's default, 1,000; more than 10,000 is refused.
type ListRequest struct {
	Prefix, After []byte
	Limit         int
}

// ListPage is a part of a space in order of keys.
type ListPage struct {
	Entries []KeyEntry `json:"entries"`
	More    bool       `json:"more"` // list again after the last key
}

// KeyEntry is a key without its value.
type KeyEntry struct {
	Key   []byte `json:"key"`
	Bytes int64  `json:"bytes"` // of the value
}

// Status is the daemon at one moment.
type Status struct {
	Version       string        `json:"version"`
	Engine        string        `json:"engine"`
	Started       time.Time     `json:"started"`
	Uptime        time.Duration `json:"uptime_ns"`
	PID           int           `json:"pid"`
	Cores         int           `json:"cores"`
	Apps          int           `json:"apps"`
	Functions     int           `json:"functions"`
	QueueLength   int           `json:"queue_length"`
	Running       int           `json:"running"`
	LiveInstances int           `json:"live_instances"`
	Connections   int           `json:"connections"`
	MemoryBytes   int64         `json:"memory_bytes"` // resident set of the daemon
	HTTP          string        `json:"http"`
	UDS           string        `json:"uds"`
	Admin         string        `json:"admin"`
	DataDir       string        `json:"data_dir"`
	Draining      bool          `json:"draining,omitempty"`
}

// CheckState is how a check ended.
type CheckState string

// The states of a check.
const (
	CheckOK   CheckState = "ok"
	CheckWarn CheckState = "warn" // works, with less than could be
	CheckFail CheckState = "fail" // does not work until the remedy is done
)

// Check is one thing that doctor looked at.
type Check struct {
	Name   string     `json:"name"`
	State  CheckState `json:"state"`
	Detail string     `json:"detail"`
	Remedy string     `json:"remedy,omitempty"`
}

// event is one line of a stream. Exactly one field is set.
type event struct {
	Progress *Progress     `json:"progress,omitempty"`
	Entry    *LogEntry     `json:"entry,omitempty"`
	Result   *DeployResult `json:"result,omitempty"` // last line of a deploy
	Error    *problem      `json:"error,omitempty"`  // last line of any stream that did not end well
	End      bool          `json:"end,omitempty"`    // last line of logs
}
