// Command gnet answers without any guest: what a core can do at most with this network library, with no isolation and
// nearly no HTTP. A request with a body is echoed, one without is greeted.
package main

import (
	"context"
	"os"

	"edged.dev/edge/bench/front"
	"edged.dev/edge/bench/hostabi"
)

func main() { os.Exit(front.Main(serve)) } //nolint:forbidigo // the entry of the program

func serve(ctx context.Context) error {
	return front.Serve(ctx, front.Loop, func(call *hostabi.Call) error {
		if len(call.Body) > 0 {
			call.Write(call.Body)
			return nil
		}
		call.Header([]byte("Content-Type"), []byte("text/plain; charset=utf-8"))
		call.Write([]byte("hello, world\n"))
		return nil
	})
}
