//go:build !wasip1

// Package edgedtest plays the host for functions built on package edged, so that they can be tested natively, without
// Wasm and without a daemon:
//
//	host := edgedtest.New()
//	host.KV["count"] = []byte("41")
//	got := host.Call(edgedtest.Request{Method: "POST", Path: "/counter/add"}, add)
//	if got.Status != 200 || string(got.Body) != "42\n" { ... }
//
// The store keeps its content from one call to the next; global variables of the program do too, which on edged they do
// not. It follows the limits of the real host where a function can run into them: lengths of keys and values, header
// syntax, statuses.
package edgedtest

import (
	"crypto/rand"
	"maps"
	"strconv"
	"strings"
	"time"

	"edged.dev/edge/sdk/go/internal/abi"
)

// Limits of the store, in bytes.
const (
	MaxKey   = 1 << 10
	MaxValue = 16 << 20
)

// Host is a daemon with one app. Fields may be read and changed between calls. Calls of all hosts of a process wait for
// each other, because a program has only one host at a time.
type Host struct {
	App      string            // what meta "app" gives
	Function string            // what meta "function" gives
	Config   map[string]string // granted settings
	Secrets  map[string]string // granted secrets
	KV       map[string][]byte // the app's space
	Now      func() time.Time  // the clock of leases; time.Now when nil
	// Functions are what calls reach, by the name that they are called with: "function" or "app/function". A call runs to its
	// end before it is started, as it were: nothing is ever waited for.
	Functions map[string]func() int32
	// Classes are those of them that are classes of actors. All actors are in this one program: its variables are theirs together.
	Classes map[string]bool

	leases map[string]lease
	token  int64 // the last one given out

	objects []object // of handles from 1 on
	actors  []actor  // likewise
}

type lease struct {
	token int64
	until time.Time
}

// New returns a host with an empty store and no settings, as app "app" and function "function".
func New() *Host {
	return &Host{
		App: "app", Function: "function",
		Config: map[string]string{}, Secrets: map[string]string{}, KV: map[string][]byte{},
		Functions: map[string]func() int32{}, Classes: map[string]bool{}, leases: map[string]lease{},
	}
}

// Request is what a function is called with. The zero value is a GET of "/" without a body.
type Request struct {
	Method   string // "GET" when empty
	Path     string // "/" when empty
	RawQuery string
	Headers  map[string]string // names in any case
	Params   map[string]string // named parts of the route
	Body     []byte
	Trigger  string            // "http" when empty
	Meta     map[string]string // further facts: "key", "event_id", "attempt", "node"
}

// Header is one header of a response.
type Header struct{ Name, Value string }

// LogLine is one line of the app's log.
type LogLine struct {
	Level int // 0 debug, 1 info, 2 warn, 3 error
	Text  string
}

// Response is what a call ended with.
type Response struct {
	Result  int32  // what the entry returned; 0 is success
	Error   string // the text given to edged.Fail
	Status  int    // 200 unless set; 500 when Result is not 0
	Headers []Header
	Body    []byte
	Log     []LogLine
}

// Header returns the first header of that name, in any case; "" when there is none.
func (r Response) Header(name string) string {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// Call runs an entry with the request and returns what it answered. A panic of the entry passes through.
func (h *Host) Call(request Request, entry func() int32) Response {
	c := &call{host: h, request: request, meta: h.meta(request), response: Response{Status: 200}}
	abi.Use(c, func() { c.response.Result = entry() })
	if c.response.Result != 0 {
		c.response.Status = 500
	}
	return c.response
}

// meta joins all facts about a call.
func (h *Host) meta(r Request) map[string]string {
	meta := map[string]string{
		"method": or(r.Method, "GET"), "path": or(r.Path, "/"), "query": r.RawQuery, "trigger": or(r.Trigger, "http"),
		"app": h.App, "function": h.Function,
	}
	for name, value := range r.Headers {
		meta["header:"+strings.ToLower(name)] = value
	}
	for name, value := range r.Params {
		meta["param:"+name] = value
	}
	maps.Copy(meta, r.Meta)
	return meta
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

func (h *Host) now() time.Time {
	if h.Now == nil {
		return time.Now()
	}
	return h.Now()
}

// call is one call; it implements abi.Host.
type call struct {
	host     *Host
	request  Request
	meta     map[string]string
	response Response
	results  []byte // of the latest batch
	last     outcome
	depth    int // of calls that led to this one
}

// The error codes of the interface that this host gives.
const (
	notFound = -1
	invalid  = -2
	tooLarge = -4
	conflict = -5
	timedOut = -6
	limit    = -8
	internal = -10
)

// give copies value when it fits and returns its length.
func give(value string, found bool, buf []byte) int32 {
	if !found {
		return notFound
	}
	if len(value) <= len(buf) {
		copy(buf, value)
	}
	return int32(len(value))
}

func (c *call) InputLen() int32 { return int32(len(c.request.Body)) }

func (c *call) InputRead(off int32, buf []byte) int32 {
	if off < 0 || int(off) >= len(c.request.Body) {
		return 0
	}
	return int32(copy(buf, c.request.Body[off:]))
}

func (c *call) OutputWrite(data []byte) int32 {
	c.response.Body = append(c.response.Body, data...)
	return int32(len(data))
}

func (c *call) OutputStatus(code int32) int32 {
	if code < 200 || code > 599 {
		return invalid
	}
	c.response.Status = int(code)
	return 0
}

func (c *call) OutputHeader(name, value string) int32 {
	if !validName(name) || strings.ContainsAny(value, "\r\n\x00") {
		return invalid
	}
	c.response.Headers = append(c.response.Headers, Header{name, value})
	return 0
}

// validName reports whether name is a token (RFC 9110, 5.6.2).
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

func (c *call) Error(text string) { c.response.Error = text }

func (c *call) MetaGet(key string, buf []byte) int32 {
	if name, ok := strings.CutPrefix(key, "header:"); ok {
		key = "header:" + strings.ToLower(name)
	}
	value, found := c.meta[key]
	if key == "result:status" && c.last.status != 0 {
		value, found = strconv.Itoa(c.last.status), true
	}
	return give(value, found, buf)
}

func (c *call) Log(level int32, text string) {
	c.response.Log = append(c.response.Log, LogLine{int(level), text})
}

func (c *call) ConfigGet(key string, buf []byte) int32 {
	value, found := c.host.Config[key]
	return give(value, found, buf)
}

func (c *call) SecretGet(key string, buf []byte) int32 {
	value, found := c.host.Secrets[key]
	return give(value, found, buf)
}

func (c *call) Random(buf []byte) int32 {
	if _, err := rand.Read(buf); err != nil {
		return internal
	}
	return 0
}
