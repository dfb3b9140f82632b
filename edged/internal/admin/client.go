package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Client speaks to the daemon behind one socket. It may be used from any goroutine. Its errors wrap a sentinel of this
// package: [ErrUnreachable] when no daemon answers, [ErrProtocol] when the answer makes no sense or was cut off, the
// context's error when ctx has ended, else the kind that the daemon gave.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client of the daemon whose admin socket is at path. It connects at the first request.
func NewClient(path string) *Client {
	var dialer net.Dialer
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) },
		// One command makes a few requests at most; a connection that waits would keep the daemon from ending at once.
		DisableKeepAlives: true,
	}
	return &Client{path: path, http: &http.Client{Transport: transport}}
}

// Deploy uploads and activates an app. Progress is called in order from this goroutine, except for the stage "push",
// which the upload reports from its own before the first of the others.
func (c *Client) Deploy(ctx context.Context, req DeployRequest, progress func(Progress)) (DeployResult, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader, writer := io.Pipe()
	form := multipart.NewWriter(writer)
	uploaded := make(chan struct{})
	go func() {
		defer close(uploaded)
		writer.CloseWithError(writeDeploy(form, req, progress))
	}()
	defer func() {
		_ = reader.Close() // ends an upload that nobody reads any more
		<-uploaded
	}()
	response, err := c.send(ctx, http.MethodPost, "/v1/deploy", reader, form.FormDataContentType())
	if err != nil {
		return DeployResult{}, err
	}
	defer func() { _ = response.Body.Close() }()
	var result *DeployResult
	err = readEvents(ctx, response.Body, func(e event) (bool, error) {
		if e.Progress != nil {
			progress(*e.Progress)
		}
		result = e.Result
		return result != nil, nil
	})
	if err != nil {
		return DeployResult{}, err
	}
	return *result, nil
}

// pushChunk is how much of a module goes out between two reports of progress.
const pushChunk = 256 << 10

// writeDeploy writes the parts of an upload.
func writeDeploy(form *multipart.Writer, req DeployRequest, progress func(Progress)) error {
	text, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	if err := writePart(form, partRequest, "application/json", text); err != nil {
		return err
	}
	if req.Manifest != nil {
		if err := writePart(form, partManifest, "application/yaml", req.Manifest); err != nil {
			return err
		}
	}
	part, err := createPart(form, partModule, "application/wasm")
	if err != nil {
		return err
	}
	total := int64(len(req.Module))
	for rest := req.Module; len(rest) > 0; {
		n := min(len(rest), pushChunk)
		if _, err := part.Write(rest[:n]); err != nil {
			return fmt.Errorf("upload module: %w", err)
		}
		rest = rest[n:]
		progress(Progress{Stage: "push", Done: total - int64(len(rest)), Total: total})
	}
	return form.Close()
}

func writePart(form *multipart.Writer, name, mediaType string, content []byte) error {
	part, err := createPart(form, name, mediaType)
	if err != nil {
		return err
	}
	if _, err := part.Write(content); err != nil {
		return fmt.Errorf("upload %s: %w", name, err)
	}
	return nil
}

func createPart(form *multipart.Writer, name, mediaType string) (io.Writer, error) {
	part, err := form.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {fmt.Sprintf("form-data; name=%q; filename=%q", name, name)},
		"Content-Type":        {mediaType},
	})
	if err != nil {
		return nil, fmt.Errorf("upload %s: %w", name, err)
	}
	return part, nil
}

// Apps returns the deployed apps by name.
func (c *Client) Apps(ctx context.Context) ([]AppSummary, error) {
	return ask[[]AppSummary](ctx, c, http.MethodGet, "/v1/apps", nil)
}

// Inspect returns everything known of an app.
func (c *Client) Inspect(ctx context.Context, app invoke.AppName) (AppDetail, error) {
	return ask[AppDetail](ctx, c, http.MethodGet, appPath(app, ""), nil)
}

// Rollback activates an earlier version; "" means the one before the active one.
func (c *Client) Rollback(ctx context.Context, app invoke.AppName, version string) (DeployResult, error) {
	return ask[DeployResult](ctx, c, http.MethodPost, appPath(app, "/rollback"), rollbackRequest{version})
}

// Remove takes an app out of service.
func (c *Client) Remove(ctx context.Context, app invoke.AppName) error {
	return c.do(ctx, http.MethodDelete, appPath(app, ""), nil)
}

// Invoke calls a function and waits for its answer.
func (c *Client) Invoke(ctx context.Context, req InvokeRequest) (InvokeResponse, error) {
	return ask[InvokeResponse](ctx, c, http.MethodPost, "/v1/invoke", req)
}

// Logs calls yield for each entry in order, and returns nil at the end: the last entry there is, or with Follow, when the
// app was removed. It stops at the first error of yield and returns it.
func (c *Client) Logs(ctx context.Context, req LogsRequest, yield func(LogEntry) error) error {
	query := url.Values{"app": {string(req.App)}}
	if !req.Since.IsZero() {
		query.Set("since", req.Since.Format(time.RFC3339Nano))
	}
	if req.Follow {
		query.Set("follow", "1")
	}
	response, err := c.send(ctx, http.MethodGet, "/v1/logs?"+query.Encode(), nil, "")
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	return readEvents(ctx, response.Body, func(e event) (bool, error) {
		if e.Entry == nil {
			return e.End, nil
		}
		return false, yield(*e.Entry)
	})
}

// KVSpaces returns the spaces by name.
func (c *Client) KVSpaces(ctx context.Context) ([]SpaceSummary, error) {
	return ask[[]SpaceSummary](ctx, c, http.MethodGet, "/v1/kv", nil)
}

// KVGet returns a value.
func (c *Client) KVGet(ctx context.Context, space string, key []byte) ([]byte, error) {
	response, err := c.send(ctx, http.MethodGet, valuePath(space, key), nil, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	value, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, cutOff(ctx, err)
	}
	return value, nil
}

// KVSet stores a value.
func (c *Client) KVSet(ctx context.Context, space string, key, value []byte) error {
	return c.do(ctx, http.MethodPut, valuePath(space, key), bytes.NewReader(value))
}

// KVDelete removes a key and reports whether it was there.
func (c *Client) KVDelete(ctx context.Context, space string, key []byte) (bool, error) {
	result, err := ask[deleted](ctx, c, http.MethodDelete, valuePath(space, key), nil)
	return result.Existed, err
}

// KVList returns a part of a space.
func (c *Client) KVList(ctx context.Context, space string, req ListRequest) (ListPage, error) {
	query := url.Values{"prefix": {string(req.Prefix)}, "after": {string(req.After)}}
	if req.Limit != 0 {
		query.Set("limit", strconv.Itoa(req.Limit))
	}
	return ask[ListPage](ctx, c, http.MethodGet, spacePath(space, "?"+query.Encode()), nil)
}

// KVExport copies a whole space to w. On an error what was written is not a whole export.
func (c *Client) KVExport(ctx context.Context, space string, w io.Writer) error {
	response, err := c.send(ctx, http.MethodGet, spacePath(space, "/export"), nil, "")
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	target := &faultyWriter{w: w}
	if _, err := io.Copy(target, response.Body); err != nil {
		if target.err != nil {
			return fmt.Errorf("write export: %w", target.err)
		}
		return cutOff(ctx, err)
	}
	text := response.Trailer.Get(exportTrailer)
	if text == "" {
		return nil
	}
	var p problem
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return &Error{Kind: ErrProtocol, Detail: "the export broke off, and its reason cannot be read", Cause: err}
	}
	return p.asError()
}

// KVImport stores what KVExport wrote and returns how many entries there were.
func (c *Client) KVImport(ctx context.Context, space string, r io.Reader) (int64, error) {
	response, err := c.send(ctx, http.MethodPost, spacePath(space, "/import"), io.NopCloser(r), "application/octet-stream")
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	result, err := decodeAnswer[imported](ctx, response.Body)
	return result.Entries, err
}

// Status returns the daemon's numbers.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Doctor returns what the daemon found on its machine.
func (c *Client) Doctor(ctx context.Context) ([]Check, error) {
	return ask[[]Check](ctx, c, http.MethodGet, "/v1/doctor", nil)
}

func appPath(app invoke.AppName, rest string) string {
	return "/v1/apps/" + url.PathEscape(string(app)) + rest
}

func spacePath(space, rest string) string { return "/v1/kv/" + url.PathEscape(space) + rest }

func valuePath(space string, key []byte) string {
	return spacePath(space, "/value?"+url.Values{"key": {string(key)}}.Encode())
}

// ask sends a JSON request, or none, and decodes the JSON answer.
func ask[T any](ctx context.Context, c *Client, method, path string, request any) (T, error) {
	var zero T
	var body io.Reader
	if request != nil {
		text, err := json.Marshal(request)
		if err != nil {
			return zero, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	response, err := c.send(ctx, method, path, body, "application/json")
	if err != nil {
		return zero, err
	}
	defer func() { _ = response.Body.Close() }()
	return decodeAnswer[T](ctx, response.Body)
}

func decodeAnswer[T any](ctx context.Context, body io.Reader) (T, error) {
	var value T
	if err := json.NewDecoder(body).Decode(&value); err != nil {
		return value, cutOff(ctx, err)
	}
	return value, nil
}

// do sends a request whose answer has no body.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader) error {
	response, err := c.send(ctx, method, path, body, "application/octet-stream")
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// send sends a request and returns the answer if it is a success; the caller closes its body.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader, mediaType string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://edged"+path, body) //nolint:gosec // the transport dials one socket whatever the URL says
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", mediaType)
	}
	response, err := c.http.Do(request) //nolint:gosec // as above
	if err != nil {
		return nil, c.transportError(ctx, err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	var p problem
	if err := json.NewDecoder(io.LimitReader(response.Body, maxEventBytes)).Decode(&p); err != nil || p.Kind == "" {
		return nil, &Error{
			Kind:   ErrProtocol,
			Detail: fmt.Sprintf("%s answered %s %s with %s and no problem document", c.path, method, path, response.Status),
			Remedy: "check that the path is the admin socket of an edged daemon",
			Cause:  err,
		}
	}
	return nil, p.asError()
}

// transportError tells a daemon that is not there from an exchange that broke.
func (c *Client) transportError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var opErr *net.OpError
	if !errors.As(err, &opErr) || opErr.Op != "dial" {
		return cutOff(ctx, err)
	}
	e := &Error{
		Kind:   ErrUnreachable,
		Detail: fmt.Sprintf("cannot reach the daemon at %s", c.path),
		Remedy: "start it with 'edged serve', or name its socket with --admin PATH or EDGED_ADMIN",
		Cause:  err,
	}
	if errors.Is(err, fs.ErrPermission) {
		e.Detail += ": permission denied"
		e.Remedy = "run the command as root or as the user the daemon runs as"
	}
	return e
}

// cutOff is the error of an answer that ended early or cannot be read.
func cutOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &Error{
		Kind:   ErrProtocol,
		Detail: fmt.Sprintf("the daemon's answer broke off: %v", err),
		Remedy: "see the daemon's log; it may have stopped",
		Cause:  err,
	}
}

// maxEventBytes bounds one line of a stream: a log line, or a deploy's result with its import table.
const maxEventBytes = 4 << 20

// readEvents calls handle for each line of a stream until it says that this was the last, and fails when the stream ends
// before.
func readEvents(ctx context.Context, r io.Reader, handle func(event) (last bool, err error)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxEventBytes)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return cutOff(ctx, err)
		}
		if e.Error != nil {
			return e.Error.asError()
		}
		last, err := handle(e)
		if err != nil || last {
			return err
		}
	}
	err := lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return cutOff(ctx, err)
}

// faultyWriter remembers that it was the writer, not the reader, that failed in a copy.
type faultyWriter struct {
	w   io.Writer
	err error
}

// Write passes p on and keeps the error.
func (f *faultyWriter) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.err = err
	return n, err
}
