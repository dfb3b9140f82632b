// Command forkexec starts a program for every request: the isolation of a process, as CGI has it. The program gets the
// last segment of the path as its argument and the body as standard input; what it writes is the response.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"

	"edged.dev/edge/bench/front"
	"edged.dev/edge/bench/hostabi"
)

func main() { os.Exit(front.Main(serve)) } //nolint:forbidigo // the entry of the program

func serve(ctx context.Context) error {
	program := flag.String("program", "", "start `FILE`")
	kind := flag.String("front", front.Loop, "serve by gnet's loop or by net/http: `KIND`")
	flag.Parse()
	return front.Serve(ctx, *kind, func(call *hostabi.Call) error {
		command := exec.CommandContext(ctx, *program, string(call.Entry)) //nolint:gosec // the runner says which
		command.Env = []string{}
		if len(call.Body) > 0 {
			command.Stdin = bytes.NewReader(call.Body)
		}
		out, err := command.Output()
		if err != nil {
			return fmt.Errorf("run %s: %w", *program, err)
		}
		call.Header([]byte("Content-Type"), []byte("text/plain; charset=utf-8"))
		call.Write(out)
		return nil
	})
}
