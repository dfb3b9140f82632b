package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/asynccall"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/metric"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/scheduler"
	"edged.dev/edge/edged/internal/trigger"
)

// submitter implements trigger.Batcher over the scheduler. An invocation whose version is retired between routing and
// admission is routed again, so that none is lost at the switch to a new version.
type submitter Daemon

var _ trigger.Batcher = (*submitter)(nil)

// Submit implements trigger.Submitter.
func (s *submitter) Submit(inv *invoke.Invocation) error { return s.submit(inv, s.scheduler.Submit) }

// SubmitMore implements trigger.Batcher.
func (s *submitter) SubmitMore(inv *invoke.Invocation) error {
	return s.submit(inv, s.scheduler.SubmitMore)
}

// Flush implements trigger.Batcher.
func (s *submitter) Flush() { s.scheduler.Flush() }

func (s *submitter) submit(inv *invoke.Invocation, admit func(*invoke.Invocation) error) error {
	if (inv.Source == invoke.SourceHTTP || inv.Source == invoke.SourceUDS) && asynccall.Wanted(&inv.Request) {
		return s.async.Accept(inv)
	}
	if inv.Request.RawQuery != "" && (inv.Source == invoke.SourceHTTP || inv.Source == invoke.SourceUDS) {
		if query, asked := withoutGraphParam(inv.Request.RawQuery); asked {
			(*Daemon)(s).holdBack(inv, query)
		}
	}
	return s.admit(inv, admit)
}

// admit is submit for a request whose caller waits, or that is run now.
func (s *submitter) admit(inv *invoke.Invocation, admit func(*invoke.Invocation) error) error {
	d := (*Daemon)(s)
	if fn, ok := inv.Target.(*pool.Function); ok {
		switch {
		case fn.Actor:
			return d.tell(inv)
		case fn.Then != nil:
			d.calls.Follow(inv, fn.Then)
		}
	}
	for {
		err := admit(inv)
		if !errors.Is(err, scheduler.ErrRetired) {
			return err
		}
		if err := d.again(inv); err != nil {
			return err
		}
	}
}

// system answers the paths under /_edged/ on the data ports.
func (d *Daemon) system(inv *invoke.Invocation) {
	switch inv.Request.Path {
	case "/_edged/livez":
		inv.Done(inv, text(200, "ok\n"))
	case "/_edged/readyz":
		if d.draining.Load() {
			inv.Done(inv, text(503, "draining\n"))
			return
		}
		inv.Done(inv, text(200, "ok\n"))
	case "/_edged/metrics":
		go d.answerMetrics(inv) // writing them takes longer than an event loop may be held
	default:
		if strings.HasPrefix(inv.Request.Path, asynccall.Path) {
			go d.async.Answer(inv) // it reads the disk
			return
		}
		inv.Done(inv, invoke.Result{Err: &invoke.Error{
			Kind:   invoke.ErrNotFound,
			Detail: "the paths below /_edged/ are livez, readyz, metrics and calls/ID",
		}})
	}
}

func (d *Daemon) answerMetrics(inv *invoke.Invocation) {
	var out bytes.Buffer
	if err := d.metrics.WritePrometheus(&out); err != nil {
		inv.Done(inv, invoke.Result{Err: err})
		return
	}
	inv.Done(inv, invoke.Result{
		Status: 200, Body: out.Bytes(),
		Headers: []invoke.Header{{Name: "Content-Type", Value: "text/plain; version=0.0.4; charset=utf-8"}},
	})
}

func text(status int, body string) invoke.Result {
	return invoke.Result{
		Status: status, Body: []byte(body),
		Headers: []invoke.Header{{Name: "Content-Type", Value: "text/plain; charset=utf-8"}},
	}
}

// sent counts an invocation that has been answered.
func (d *Daemon) sent(inv *invoke.Invocation, status int) {
	fn, ok := inv.Target.(*pool.Function)
	if !ok {
		return
	}
	fn.Metric.Ended(inv.Source, status)
	fn.Metric.ObserveStamps(&inv.Stamps)
	d.metrics.ObserveStamps(&inv.Stamps)
	if !inv.Deadline.IsZero() && inv.Stamps.Ended.After(inv.Deadline) {
		d.metrics.DeadlineMisses.Inc()
	}
}

// probes are the gauges.
func (d *Daemon) probes() metric.Probes {
	return metric.Probes{
		LiveInstances: func() float64 { return float64(d.engine.LiveMemories()) },
		QueueLength:   func() float64 { queued, _ := d.scheduler.Load(); return float64(queued) },
		Connections:   func() float64 { return float64(d.http.Connections() + d.uds.Connections()) },
		Apps:          func() float64 { return float64(len(d.deployed())) },
		KV:            d.store.Stats,
		Cores:         d.coreLoads,
		Triggers:      d.triggerCounts,
	}
}

// Invoke implements admin.Invoker.
func (d *Daemon) Invoke(ctx context.Context, req admin.InvokeRequest) (admin.InvokeResponse, error) {
	inv, err := d.invocation(req)
	if err != nil {
		return admin.InvokeResponse{}, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		inv.Deadline = deadline
	}
	answer := make(chan invoke.Result, 1)
	inv.Done = func(_ *invoke.Invocation, r invoke.Result) { answer <- r }
	if err := (*submitter)(d).Submit(inv); err != nil {
		return admin.InvokeResponse{}, err
	}
	select {
	case <-ctx.Done():
		return admin.InvokeResponse{}, ctx.Err() // it runs on to its own timeout; nobody waits for it
	case result := <-answer:
		return d.answered(inv, result)
	}
}

func (d *Daemon) answered(inv *invoke.Invocation, result invoke.Result) (admin.InvokeResponse, error) {
	inv.Stamps.Sent = time.Now()
	if result.Err != nil {
		d.sent(inv, invoke.Status(result.Err))
		return admin.InvokeResponse{}, result.Err
	}
	if result.Status == 0 {
		result.Status = 200
	}
	d.sent(inv, result.Status)
	return admin.InvokeResponse{Status: result.Status, Headers: result.Headers, Body: result.Body}, nil
}

// invocation makes an invocation of a function by its name.
func (d *Daemon) invocation(req admin.InvokeRequest) (*invoke.Invocation, error) {
	one, err := d.find(req.App)
	if err != nil {
		return nil, err
	}
	name := req.Function
	if name == "" {
		if name, err = only(one); err != nil {
			return nil, err
		}
	}
	fn := one.app.Function(name)
	if fn == nil {
		return nil, &admin.Error{
			Kind: admin.ErrNotFound, Detail: fmt.Sprintf("app %s has no function %q", req.App, name),
			Remedy: fmt.Sprintf("'edged inspect %s' lists its functions", req.App),
		}
	}
	method, err := d.invokeMethod(req, one.version.Manifest.Functions[name].HTTP.Methods)
	if err != nil {
		return nil, err
	}
	if limit := int(d.config.Limits.Body); len(req.Body) > limit {
		return nil, &admin.Error{
			Kind: admin.ErrTooLarge, Detail: fmt.Sprintf("the body has %d bytes, %d is the limit", len(req.Body), limit),
			Remedy: "raise limits.body in the daemon's configuration",
		}
	}
	route := basePath(one.version.Manifest.Route(name))
	path, query, _ := strings.Cut(req.Path, "?")
	return &invoke.Invocation{
		ID: d.ids.Add(1), App: req.App, Function: name, Source: invoke.SourceCLI, Target: fn,
		Request: invoke.Request{
			Method: method, Path: route + path, RawQuery: query, Proto: "HTTP/1.1", Host: "localhost", Headers: req.Headers,
			Body: req.Body, Remote: "@", Route: route, PathInfo: path,
		},
		Stamps: invoke.Stamps{Arrived: time.Now()},
	}, nil
}

// invokeMethod picks the method of a call by name: the one asked for, which the function must take as it must on HTTP, else
// POST with a body and GET without, else the first that the function takes.
func (d *Daemon) invokeMethod(req admin.InvokeRequest, takes []string) (string, error) {
	allowed := func(method string) bool { return len(takes) == 0 || slices.Contains(takes, method) }
	if req.Method != "" {
		if !allowed(req.Method) {
			return "", &admin.Error{Kind: admin.ErrInvalid, Detail: fmt.Sprintf("the function takes %s, not %s", strings.Join(takes, ", "), req.Method)}
		}
		return req.Method, nil
	}
	method := "GET"
	if len(req.Body) > 0 {
		method = "POST"
	}
	if !allowed(method) {
		method = takes[0]
	}
	return method, nil
}

// basePath returns a route without the /* that stands for everything below it.
func basePath(route string) string {
	if n := len(route) - len("/*"); n >= 0 && route[n:] == "/*" {
		return route[:n]
	}
	return route
}

// only returns the function of an app that has one.
func only(one *deployed) (invoke.FunctionName, error) {
	m := one.version.Manifest
	if name, ok := m.Command(); ok {
		return name, nil
	}
	if len(m.Functions) != 1 {
		return "", &admin.Error{
			Kind: admin.ErrInvalid, Detail: fmt.Sprintf("app %s has %d functions", m.App, len(m.Functions)),
			Remedy: fmt.Sprintf("name one: 'edged invoke %s/FUNCTION'; 'edged inspect %s' lists them", m.App, m.App),
		}
	}
	for name := range m.Functions {
		return name, nil
	}
	return "", nil
}
