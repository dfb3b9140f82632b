package httptrigger_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
)

func TestEcho(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		t.Helper()
		s := serve(t, setup{unix: unix})
		c := s.dial(t)
		for i := range 3 { // one connection, kept
			c.send("%s", post("/t/echo/x", strings.Repeat("b", i)))
			a := c.expect(200)
			if a.body != strings.Repeat("b", i) || a.Header.Get("X-Path") != "/t/echo/x" || a.Close {
				t.Fatalf("got %q %v", a.body, a.Header)
			}
			if a.Header.Get("Server") != "edged" {
				t.Errorf("Server is %q", a.Header.Get("Server"))
			}
			if at, err := http.ParseTime(a.Header.Get("Date")); err != nil || time.Since(at) > time.Hour {
				t.Errorf("Date is %q", a.Header.Get("Date"))
			}
		}
	})
}

// TestRequest checks what a function sees of a request.
func TestRequest(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		t.Helper()
		seen := make(chan invoke.Invocation, 1)
		sent := make(chan *invoke.Invocation, 1)
		s := serve(t, setup{
			unix: unix,
			opts: httptrigger.Options{Sent: func(inv *invoke.Invocation, status int) {
				if status != 202 {
					t.Errorf("status %d", status)
				}
				sent <- inv
			}},
			guests: map[invoke.FunctionName]guest{"look": func(inv *invoke.Invocation) invoke.Result {
				seen <- *inv
				return invoke.Result{Status: 202}
			}},
		})
		c := s.dial(t)
		c.send("%s", post("/t/look/a/b?q=1", "body", "X-Edged-Deadline-Ms: 60000", "X-A: b"))
		if a := c.expect(202); a.ContentLength != 0 {
			t.Errorf("length %d", a.ContentLength)
		}
		inv := <-seen
		r := inv.Request
		if r.Method != http.MethodPost || r.Path != "/t/look/a/b" || r.RawQuery != "q=1" || r.Proto != "HTTP/1.1" || r.Host != "h" ||
			string(r.Body) != "body" || r.Route != "/t/look" || r.PathInfo != "/a/b" {
			t.Errorf("got %+v", r)
		}
		if v, _ := r.Header("x-a"); v != "b" {
			t.Errorf("X-A is %q", v)
		}
		wantSource, wantRemote := invoke.SourceHTTP, c.LocalAddr().String()
		if unix {
			wantSource, wantRemote = invoke.SourceUDS, "@"
		}
		if inv.Source != wantSource || r.Remote != wantRemote || inv.App != "t" || inv.ID == 0 {
			t.Errorf("source %s, remote %s, app %s, id %d", inv.Source, r.Remote, inv.App, inv.ID)
		}
		if limit := inv.Deadline.Sub(inv.Stamps.Arrived); limit != time.Minute {
			t.Errorf("deadline after %v", limit)
		}
		st := (<-sent).Stamps
		moments := []time.Time{st.Arrived, st.Queued, st.Picked, st.Started, st.Ended, st.Sent}
		for i, m := range moments {
			if m.IsZero() || i > 0 && m.Before(moments[i-1]) {
				t.Errorf("stamps %v", moments)
			}
		}
	})
}

func TestPipelineOf1000InOrder(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		t.Helper()
		var turn sync.Mutex
		late := 0
		s := serve(t, setup{unix: unix, jobs: 8, guests: map[invoke.FunctionName]guest{
			"n": func(inv *invoke.Invocation) invoke.Result {
				turn.Lock() // mixes the order in which the workers end
				late++
				turn.Unlock()
				return invoke.Result{Body: []byte(inv.Request.PathInfo)}
			},
		}})
		c := s.dial(t)
		var batch strings.Builder
		for i := range 1000 {
			fmt.Fprint(&batch, get(fmt.Sprintf("/t/n/%d", i)))
		}
		go func() { _, _ = io.WriteString(c.Conn, batch.String()) }()
		for i := range 1000 {
			if a := c.expect(200); a.body != fmt.Sprintf("/%d", i) {
				t.Fatalf("response %d is %q", i, a.body)
			}
		}
	})
}

// TestPipelineOutOfOrderWorkers has the first request end last: the others wait for it.
func TestPipelineOutOfOrderWorkers(t *testing.T) {
	first, others := make(chan struct{}), make(chan struct{}, 3)
	s := serve(t, setup{guests: map[invoke.FunctionName]guest{
		"slow": func(*invoke.Invocation) invoke.Result { <-first; return invoke.Result{Body: []byte("slow")} },
		"fast": func(*invoke.Invocation) invoke.Result {
			others <- struct{}{}
			return invoke.Result{Body: []byte("fast")}
		},
	}})
	c := s.dial(t)
	c.send("%s", get("/t/slow")+get("/t/fast")+get("/none")+get("/t/fast"))
	<-others
	<-others
	close(first)
	for _, want := range []string{"slow", "fast", "", "fast"} {
		if a := c.receive("GET"); want != "" && a.body != want || want == "" && a.StatusCode != http.StatusNotFound {
			t.Fatalf("got %d %q, want %q", a.StatusCode, a.body, want)
		}
	}
}

// TestPipelineDepthHoldsBack checks that requests beyond the depth wait in the socket and are all answered later.
func TestPipelineDepthHoldsBack(t *testing.T) {
	gate := make(chan struct{})
	s := serve(t, setup{
		jobs: 1,
		opts: httptrigger.Options{Limits: httptrigger.Limits{PipelineDepth: 4}},
		guests: map[invoke.FunctionName]guest{"wait": func(*invoke.Invocation) invoke.Result {
			<-gate
			return invoke.Result{}
		}},
	})
	c := s.dial(t)
	const n = 20000 // about 1 MB: more than the server would ever keep
	one := get("/t/wait", "X-Pad: "+strings.Repeat("x", 512))
	go func() {
		for range n {
			if _, err := io.WriteString(c.Conn, one); err != nil {
				return
			}
		}
	}()
	eventually(t, "4 calls", func() bool { return s.called("wait") == 4 })
	other := s.dial(t) // the loop is not held up
	other.send("%s", get("/none"))
	other.expect(404)
	if got := s.called("wait"); got != 4 {
		t.Fatalf("%d calls in flight", got)
	}
	close(gate)
	for range n {
		c.expect(200)
	}
}

func TestHalfClose(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		t.Helper()
		gate := make(chan struct{})
		big := strings.Repeat("x", 8<<20) // more than socket buffers take
		s := serve(t, setup{unix: unix, guests: map[invoke.FunctionName]guest{
			"wait": func(*invoke.Invocation) invoke.Result { <-gate; return invoke.Result{Body: []byte("late")} },
			"big":  func(*invoke.Invocation) invoke.Result { return invoke.Result{Body: []byte(big)} },
			"parts": func(inv *invoke.Invocation) invoke.Result {
				for range 8 {
					if err := inv.Stream(inv, 200, nil, []byte(big[:1<<20])); err != nil {
						t.Errorf("stream: %v", err)
					}
				}
				return invoke.Result{}
			},
		}})
		t.Run("answer in flight", func(t *testing.T) {
			c := s.dial(t)
			c.send("%s", get("/t/wait")+get("/t/echo"))
			eventually(t, "the call", func() bool { return s.called("wait") == 1 })
			c.closeWrite()
			close(gate)
			if a := c.expect(200); a.body != "late" {
				t.Errorf("got %q", a.body)
			}
			c.expect(200)
			c.ended()
		})
		for _, path := range []string{"/t/big", "/t/parts"} {
			t.Run(path[3:]+" answer being written", func(t *testing.T) {
				c := s.dial(t)
				c.send("%s", get(path))
				if _, err := c.r.Peek(1); err != nil { // the answer has begun
					t.Fatal(err)
				}
				c.closeWrite()
				if a := c.expect(200); len(a.body) != len(big) {
					t.Errorf("got %d bytes", len(a.body))
				}
				c.ended()
			})
		}
		t.Run("in the middle of a body", func(t *testing.T) {
			c := s.dial(t)
			c.send("POST /t/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf")
			c.closeWrite()
			c.expect(400)
			c.ended()
		})
		t.Run("without a request", func(t *testing.T) {
			c := s.dial(t)
			c.closeWrite()
			c.ended()
		})
		eventually(t, "all closed", func() bool { return s.Connections() == 0 })
	})
}

// TestRefusalsCloseOnce sends each refused stream with a good request behind it: one error comes, then the end, and the
// function is never called.
func TestRefusalsCloseOnce(t *testing.T) {
	s := serve(t, setup{opts: httptrigger.Options{Limits: httptrigger.Limits{BodyBytes: 100}}})
	cases := []struct {
		name, stream string
		status       int
	}{
		{"400 bare lf", "GET / HTTP/1.1\nHost: h\n\n", 400},
		{"400 two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
		{"400 no host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"413 length", "POST /t/post HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", 413},
		{"413 chunk", "POST /t/post HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n", 413},
		{"414", "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\n", 414},
		{"417", "POST /t/post HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: x\r\n\r\n", 417},
		{"431", "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 33000) + "\r\n\r\n", 431},
		{"501 coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
		{"501 connect", "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 501},
		{"505", "GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn := s.dial(t)
			conn.send("%s%s", c.stream, post("/t/post", "smuggled"))
			a := conn.expect(c.status)
			if !a.Close || a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("head %v", a.Header)
			}
			var p struct {
				Type, Title, Detail string
				Status              int
			}
			if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Status != c.status || p.Title == "" || p.Detail == "" || p.Type == "" {
				t.Errorf("body %q, %v", a.body, err)
			}
			conn.ended()
		})
	}
	if n := s.called("post"); n != 0 {
		t.Errorf("%d smuggled requests ran", n)
	}
}

func TestProblems(t *testing.T) {
	s := serve(t, setup{
		opts: httptrigger.Options{System: func(inv *invoke.Invocation) {
			inv.Done(inv, invoke.Result{Body: []byte("system " + inv.Request.Path)})
		}},
		guests: map[invoke.FunctionName]guest{
			"trap": func(*invoke.Invocation) invoke.Result {
				return invoke.Result{Err: &invoke.Error{Kind: invoke.ErrGuest, Detail: "out of \"bounds\"\n", Cause: io.EOF}}
			},
			"busy": func(*invoke.Invocation) invoke.Result {
				return invoke.Result{Err: &invoke.Error{Kind: invoke.ErrQueueFull, RetryAfter: 1500 * time.Millisecond}}
			},
			"stop":  func(*invoke.Invocation) invoke.Result { return invoke.Result{Err: invoke.ErrDraining} },
			"late":  func(*invoke.Invocation) invoke.Result { return invoke.Result{Err: invoke.ErrTimeout} },
			"plain": func(*invoke.Invocation) invoke.Result { return invoke.Result{Err: io.ErrUnexpectedEOF} },
			"split": func(*invoke.Invocation) invoke.Result {
				return invoke.Result{Headers: []invoke.Header{{Name: "X-A", Value: "b\r\nSet-Cookie: c"}}}
			},
			"name": func(*invoke.Invocation) invoke.Result {
				return invoke.Result{Headers: []invoke.Header{{Name: "X A", Value: "b"}}}
			},
			"switch": func(*invoke.Invocation) invoke.Result { return invoke.Result{Status: 101} },
		},
	})
	cases := []struct {
		name, request string
		status        int
		kind, detail  string
		field, value  string
		function      string
	}{
		{"not found", get("/none"), 404, "not-found", "/none", "", "", ""},
		{"method", get("/t/post"), 405, "method-not-allowed", "POST", "Allow", "POST", "post"},
		{"trap", get("/t/trap"), 500, "function-failed", "out of \"bounds\"\n", "", "", "trap"},
		{"busy", get("/t/busy"), 429, "queue-full", "", "Retry-After", "2", "busy"},
		{"draining", get("/t/stop"), 503, "draining", "", "Retry-After", "1", "stop"},
		{"timeout", get("/t/late"), 504, "timeout", "", "", "", "late"},
		{"unknown error tells nothing", get("/t/plain"), 500, "", "", "", "", "plain"},
		{"header splitting", get("/t/split"), 500, "function-failed", "X-A", "Set-Cookie", "", "split"},
		{"header name", get("/t/name"), 500, "function-failed", "X A", "", "", "name"},
		{"status 101", get("/t/switch"), 500, "function-failed", "101", "", "", "switch"},
		{"deadline word", get("/t/echo", "X-Edged-Deadline-Ms: soon"), 400, "", "X-Edged-Deadline-Ms", "", "", ""},
		{"deadline zero", get("/t/echo", "X-Edged-Deadline-Ms: 0"), 400, "", "X-Edged-Deadline-Ms", "", "", ""},
		{"deadline negative", get("/t/echo", "X-Edged-Deadline-Ms: -1"), 400, "", "X-Edged-Deadline-Ms", "", "", ""},
		{"deadline twice", get("/t/echo", "X-Edged-Deadline-Ms: 1", "X-Edged-Deadline-Ms: 1"), 400, "", "X-Edged-Deadline-Ms", "", "", ""},
		{"not found with a body", post("/none", "body"), 404, "not-found", "", "", "", ""},
	}
	c := s.dial(t) // one connection: none of these is an error of framing
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c.send("%s", tc.request)
			a := c.expect(tc.status)
			var p map[string]any
			if err := json.Unmarshal([]byte(a.body), &p); err != nil {
				t.Fatalf("%q: %v", a.body, err)
			}
			if tc.kind != "" && p["type"] != "urn:edged:problem:"+tc.kind {
				t.Errorf("type %v", p["type"])
			}
			if detail, _ := p["detail"].(string); !strings.Contains(detail, tc.detail) {
				t.Errorf("detail %q", detail)
			}
			if tc.field != "" && a.Header.Get(tc.field) != tc.value {
				t.Errorf("%s is %q", tc.field, a.Header.Get(tc.field))
			}
			if tc.function != "" && (p["function"] != tc.function || p["app"] != "t" || p["id"] == nil) {
				t.Errorf("got %v", p)
			}
			if strings.Contains(a.body, "EOF") {
				t.Errorf("the cause is told: %s", a.body)
			}
		})
	}
	c.send("%s", get("/_edged/livez"))
	if a := c.expect(200); a.body != "system /_edged/livez" {
		t.Errorf("got %q", a.body)
	}
	c.send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
	if a := c.expect(204); a.Header.Get("Allow") == "" {
		t.Error("no Allow")
	}
}

func TestResponseForms(t *testing.T) {
	s := serve(t, setup{guests: map[invoke.FunctionName]guest{
		"hop": func(*invoke.Invocation) invoke.Result {
			return invoke.Result{Body: []byte("abc"), Headers: []invoke.Header{
				{Name: "connection", Value: "close"},
				{Name: "Transfer-Encoding", Value: "chunked"},
				{Name: "Keep-Alive", Value: "x"},
				{Name: "CONTENT-LENGTH", Value: "1"},
				{Name: "Server", Value: "guest"},
				{Name: "Date", Value: "never"},
				{Name: "X-Kept", Value: "1"},
				{Name: "x-kept", Value: "2"},
			}}
		},
		"head": func(*invoke.Invocation) invoke.Result {
			return invoke.Result{Headers: []invoke.Header{{Name: "Content-Length", Value: "77"}}}
		},
		"code": func(inv *invoke.Invocation) invoke.Result {
			var status int
			_, _ = fmt.Sscanf(inv.Request.PathInfo, "/%d", &status)
			return invoke.Result{Status: status, Body: []byte("body")}
		},
	}})
	c := s.dial(t)
	c.send("%s", get("/t/hop"))
	a := c.expect(200)
	if a.body != "abc" || a.ContentLength != 3 || a.Close || len(a.TransferEncoding) > 0 || a.Header.Get("Keep-Alive") != "" ||
		a.Header.Get("Server") != "edged" || len(a.Header["Date"]) != 1 || len(a.Header["X-Kept"]) != 2 {
		t.Errorf("got %q %v", a.body, a.Header)
	}
	c.send("HEAD /t/hop HTTP/1.1\r\nHost: h\r\n\r\n")
	if a := c.receive("HEAD"); a.ContentLength != 3 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.ContentLength, a.body)
	}
	c.send("HEAD /t/head HTTP/1.1\r\nHost: h\r\n\r\n")
	if a := c.receive("HEAD"); a.ContentLength != 77 {
		t.Errorf("HEAD with the guest's length: %d", a.ContentLength)
	}
	c.send("HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n")
	if a := c.receive("HEAD"); a.StatusCode != http.StatusNotFound || a.ContentLength <= 0 {
		t.Errorf("HEAD of nothing: %d", a.StatusCode)
	}
	for _, status := range []int{204, 304} {
		c.send("%s", get(fmt.Sprintf("/t/code/%d", status)))
		if a := c.expect(status); a.body != "" || a.Header.Get("Content-Length") != "" {
			t.Errorf("%d: %q %v", status, a.body, a.Header)
		}
	}
	for status, text := range map[int]string{200: "200 OK", 413: "413 Content Too Large", 299: "299 Success", 599: "599 Server Error"} {
		c.send("%s", get(fmt.Sprintf("/t/code/%d", status)))
		if a := c.expect(status); a.Status != text || a.body != "body" {
			t.Errorf("status %q", a.Status)
		}
	}
}

// TestServerTiming: who asks is told how long each stage took, and the stages add up to the total.
func TestServerTiming(t *testing.T) {
	s := serve(t, setup{})
	c := s.dial(t)
	for _, ask := range []string{"X-Edged-Timing: 1", "x-edged-timing: 1"} {
		c.send("%s", get("/t/echo", ask))
		text := c.expect(200).Header.Get("Server-Timing")
		var names []string
		sum, total := 0, 0
		for entry := range strings.SplitSeq(text, ", ") {
			name, value, _ := strings.Cut(entry, ";dur=")
			whole, micros, _ := strings.Cut(value, ".")
			took, err := strconv.Atoi(whole + micros)
			if err != nil || len(micros) != 3 || took < 0 {
				t.Fatalf("entry %q of %q is not milliseconds with three decimals", entry, text)
			}
			names = append(names, name)
			if total = took; name != "total" {
				sum += took
			}
		}
		if want := []string{"admit", "queue", "instantiate", "run", "send", "total"}; !slices.Equal(names, want) {
			t.Errorf("stages %v, want %v", names, want)
		}
		if sum != total {
			t.Errorf("the stages of %q make %d us", text, sum)
		}
	}
	for _, other := range []string{"X-Edged-Timing: 0", "X-Edged-Timing: yes", "X-Other: 1"} {
		c.send("%s", get("/t/echo", other))
		if timing := c.expect(200).Header.Get("Server-Timing"); timing != "" {
			t.Errorf("%s: Server-Timing is %q unasked", other, timing)
		}
	}
	// What was never queued has no stages but its total.
	c.send("%s", get("/t/none", "X-Edged-Timing: 1"))
	if timing := c.expect(404).Header.Get("Server-Timing"); !strings.HasPrefix(timing, "total;dur=") {
		t.Errorf("Server-Timing of a 404 is %q", timing)
	}
}

func TestKeepAlive(t *testing.T) {
	s := serve(t, setup{})
	cases := []struct {
		name, request string
		kept          bool
		connection    string
	}{
		{"1.1", "GET /t/echo HTTP/1.1\r\nHost: h\r\n\r\n", true, ""},
		{"1.1 close", "GET /t/echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false, "close"},
		{"1.0", "GET /t/echo HTTP/1.0\r\n\r\n", false, "close"},
		{"1.0 keep-alive", "GET /t/echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, "keep-alive"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn := s.dial(t)
			conn.send("%s", c.request)
			if a := conn.expect(200); a.Header.Get("Connection") != c.connection && (c.connection != "close" || !a.Close) {
				t.Errorf("Connection is %q", a.Header.Get("Connection"))
			}
			if !c.kept {
				conn.ended()
				return
			}
			conn.send("%s", c.request)
			conn.expect(200)
		})
	}
}

// TestNothingBehindTheLastRequest sends a request behind one that ends the connection: it must not run.
func TestNothingBehindTheLastRequest(t *testing.T) {
	s := serve(t, setup{})
	for _, last := range []string{get("/t/echo", "Connection: close"), "GET /t/echo HTTP/1.0\r\n\r\n"} {
		c := s.dial(t)
		c.send("%s%s", last, post("/t/post", "late"))
		c.expect(200)
		c.ended()
	}
	if n := s.called("post"); n != 0 {
		t.Errorf("%d requests ran", n)
	}
}

// TestDeadlines: of the caller's and the function's own deadline the earlier one counts.
func TestDeadlines(t *testing.T) {
	s := serve(t, setup{})
	c := s.dial(t)
	for header, want := range map[string]string{"": "1m0s", "X-Edged-Deadline-Ms: 1000": "1s", "X-Edged-Deadline-Ms: 61000": "1m0s"} {
		fields := []string{"X: y"}
		if header != "" {
			fields = append(fields, header)
		}
		for _, request := range []string{get("/t/brief", fields...), post("/t/brief", "body", fields...)} {
			c.send("%s", request)
			if a := c.expect(200); a.body != want {
				t.Errorf("%q: the deadline is after %s, want %s", header, a.body, want)
			}
		}
	}
}

func TestExpectContinue(t *testing.T) {
	gate := make(chan struct{})
	s := serve(t, setup{guests: map[invoke.FunctionName]guest{
		"wait": func(*invoke.Invocation) invoke.Result { <-gate; return invoke.Result{} },
	}})
	head := func(path string, length int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", path, length)
	}
	t.Run("wanted", func(t *testing.T) {
		c := s.dial(t)
		c.send("%s", head("/t/echo", 2))
		if a := c.receive("POST"); a.StatusCode != http.StatusContinue {
			t.Fatalf("status %d", a.StatusCode)
		}
		c.send("hi")
		if a := c.expect(200); a.body != "hi" {
			t.Errorf("got %q", a.body)
		}
	})
	t.Run("body comes along", func(t *testing.T) {
		c := s.dial(t)
		c.send("%shi%s", head("/t/echo", 2), get("/t/echo"))
		c.expect(200) // no 100: the client did not wait
		c.expect(200)
	})
	t.Run("in turn", func(t *testing.T) {
		c := s.dial(t)
		c.send("%s%s", get("/t/wait"), head("/t/echo", 2))
		close(gate)
		c.expect(200)
		if a := c.receive("POST"); a.StatusCode != http.StatusContinue {
			t.Fatalf("status %d", a.StatusCode)
		}
		c.send("hi")
		c.expect(200)
	})
	for _, tc := range []struct {
		name, head string
		status     int
	}{
		{"no route", head("/none", 2), 404},
		{"no method", strings.Replace(head("/t/post", 2), "POST", "PUT", 1), 405},
		{"too large", head("/t/echo", 1<<30), 413},
		{"bad deadline", strings.Replace(head("/t/echo", 2), "Host", "X-Edged-Deadline-Ms: x\r\nHost", 1), 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := s.dial(t)
			c.send("%s", tc.head)
			if a := c.expect(tc.status); !a.Close {
				t.Error("the connection is kept: nobody knows whether the body comes")
			}
			c.ended()
		})
	}
}

func TestBodies(t *testing.T) {
	const limit = 300 << 10
	transports(t, func(t *testing.T, unix bool) {
		t.Helper()
		s := serve(t, setup{unix: unix, opts: httptrigger.Options{Limits: httptrigger.Limits{BodyBytes: limit}}})
		c := s.dial(t)
		for _, n := range []int{0, 1, 8 << 10, 8<<10 + 1, 64 << 10, 64<<10 + 1, limit} {
			body := strings.Repeat("0123456789", n/10+1)[:n]
			c.send("%s", post("/t/echo", body))
			if a := c.expect(200); a.body != body {
				t.Fatalf("%d bytes: got %d", n, len(a.body))
			}
			var chunked strings.Builder
			chunked.WriteString("POST /t/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
			for rest := body; rest != ""; {
				k := min(len(rest), 7001)
				fmt.Fprintf(&chunked, "%x;x=y\r\n%s\r\n", k, rest[:k])
				rest = rest[k:]
			}
			c.send("%s0\r\nX-Trailer: z\r\n\r\n", chunked.String())
			if a := c.expect(200); a.body != body {
				t.Fatalf("%d bytes chunked: got %d", n, len(a.body))
			}
		}
	})
}

// TestClients runs the server against net/http's client: many at once, both ways of a body.
func TestClients(t *testing.T) {
	s := serve(t, setup{opts: httptrigger.Options{Loops: 2}})
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 50 {
				body := strings.Repeat("z", g*i*13)
				var r io.Reader = strings.NewReader(body)
				if i%2 == 0 {
					r = io.MultiReader(r) // of unknown length: chunked
				}
				res, err := client.Post("http://"+s.address+"/t/echo", "text/plain", r)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || string(got) != body {
					t.Errorf("got %d bytes, want %d, %v", len(got), len(body), err)
				}
			}
		})
	}
	wg.Wait()
}
