package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/invoke"
)

// maxInputBytes bounds what is read from a file or standard input for a call or a value; the daemon's own limits are the
// ones that count, this one keeps the command from filling the memory.
const maxInputBytes = 64 << 20

func (p *program) invokeCommand() *cli.Command {
	return &cli.Command{
		Name:      "invoke",
		Usage:     "call a function",
		ArgsUsage: "APP[/FN]",
		Description: "Prints the body of the answer, and ends with 1 when its status is 400 or above. FN may be left out when\n" +
			"the app has one function.\n\n" +
			examples("edged invoke hello", "edged invoke shop/cart --data '{\"item\":7}' --header 'Content-Type: application/json'",
				"edged invoke thumbnail --data @photo.jpg > small.jpg", "date | edged invoke hello --data -"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "send `S`, the content of a file (@FILE), or standard input (-)"},
			&cli.StringSliceFlag{Name: "header", Usage: "send the header `K:V`; may be given several times"},
			&cli.StringFlag{Name: "method", Usage: "use the HTTP `METHOD` (default: POST with --data, else GET)"},
			&cli.StringFlag{Name: "path", Usage: "call `PATH` below the function's route; a query may follow"},
			adminFlag(), jsonFlag(),
		},
		Action: p.invoke,
	}
}

func (p *program) invoke(c *cli.Context) error {
	args, err := wantArgs(c, 1, 1)
	if err != nil {
		return err
	}
	app, fn, _ := strings.Cut(args[0], "/")
	req := admin.InvokeRequest{
		App: invoke.AppName(app), Function: invoke.FunctionName(fn),
		Method: strings.ToUpper(c.String("method")), Path: c.String("path"),
	}
	for _, text := range c.StringSlice("header") {
		header, err := parseHeader(text)
		if err != nil {
			return err
		}
		req.Headers = append(req.Headers, header)
	}
	if c.IsSet("data") {
		if req.Body, err = p.input(c.String("data")); err != nil {
			return err
		}
		if req.Body == nil {
			req.Body = []byte{}
		}
	}
	if req.Method == "" && c.IsSet("data") {
		req.Method = "POST"
	}
	response, err := p.client(c).Invoke(c.Context, req)
	if err != nil {
		return err
	}
	if err := p.printResponse(c, response); err != nil {
		return err
	}
	if response.Status >= 400 {
		return fmt.Errorf("%s answered with status %d", args[0], response.Status)
	}
	return nil
}

func (p *program) printResponse(c *cli.Context, response admin.InvokeResponse) error {
	if c.Bool("json") {
		return p.printJSON(responseJSON(response))
	}
	return p.printBytes(response.Body)
}

// headerJSON is a header field for programs.
type headerJSON struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// responseJSON returns an answer as JSON shows it.
func responseJSON(r admin.InvokeResponse) any {
	headers := make([]headerJSON, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = headerJSON(h)
	}
	return struct {
		Status  int          `json:"status"`
		Headers []headerJSON `json:"headers,omitempty"`
		Body    []byte       `json:"body,omitempty"`
	}{r.Status, headers, r.Body}
}

// printBytes prints a body or a value as it is. On a terminal, text gets a line end when it has none, and anything else
// is only named: bytes could do anything to a terminal.
func (p *program) printBytes(data []byte) error {
	text := string(data)
	if p.StdoutTerminal && visible(text) != text {
		p.printf("(%s that are not plain text; write them to a file or a pipe)\n", sizeText(int64(len(data))))
		return nil
	}
	if p.StdoutTerminal && text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if _, err := io.WriteString(p.Stdout, text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// input returns the bytes that an argument names: itself, @FILE, or - for standard input.
func (p *program) input(arg string) ([]byte, error) {
	switch {
	case arg == "-":
		return readInput(p.Stdin, "standard input")
	case strings.HasPrefix(arg, "@"):
		file, err := os.Open(arg[1:])
		if err != nil {
			return nil, fmt.Errorf("read data: %w", err)
		}
		defer func() { _ = file.Close() }()
		return readInput(file, arg[1:])
	default:
		return []byte(arg), nil
	}
}

func readInput(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInputBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxInputBytes {
		return nil, fmt.Errorf("%s is above the limit of %s", name, sizeText(maxInputBytes))
	}
	return data, nil
}

// parseHeader reads "Name: value". The name is a token of RFC 9110; spaces around the value do not belong to it, and a
// control character in it is refused, a line end above all.
func parseHeader(text string) (invoke.Header, error) {
	name, value, ok := strings.Cut(text, ":")
	if !ok || name == "" {
		return invoke.Header{}, usagef("--header %q is not of the form NAME:VALUE", text)
	}
	for i := range len(name) {
		if !isToken(name[i]) {
			return invoke.Header{}, usagef("--header %q: %q cannot be part of a header's name", text, name[i])
		}
	}
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		if c := value[i]; c != '\t' && (c < ' ' || c == 0x7f) {
			return invoke.Header{}, usagef("--header %q: its value has the control character %q", text, c)
		}
	}
	return invoke.Header{Name: name, Value: value}, nil
}

func isToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
