package hostfn

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// TestHammerOneApp runs invocations of one app on many goroutines, each over files, store and log of its own names.
func TestHammerOneApp(t *testing.T) {
	testutil.NoLeaks(t)
	main := newGuest(t, AppOptions{
		ABI: ABIStdio, Space: newSpace(), Log: &sink{}, Dirs: []Dir{{Guest: "/", Host: t.TempDir()}},
	})
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			g := &guest{t: t, app: main.app, env: main.app.NewEnv(), mem: make([]byte, 1<<17), top: 64, funcs: main.funcs}
			for round := range 50 {
				g.rewind()
				body := fmt.Sprintf("worker %d round %d", worker, round)
				g.env.Begin(context.Background(), request{body: body})
				in, _ := g.read(0, 64)
				name := fmt.Sprintf("dir%d/file", worker)
				g.mkdir(name[:4])
				fd := g.openRW(name, openCreate|openTruncate, 0)
				g.write(fd, in)
				g.seek(fd, 0, 0)
				back, _ := g.read(fd, 64)
				g.set(name, back)
				g.write(1, g.value(name))
				g.write(2, "done\n")
				wantEq(t, "rmdir", g.rmdir(name[:4]), eNotempty)
				if got := string(g.env.Finish(nil).Body); got != body {
					t.Errorf("body %q, want %q", got, body)
				}
			}
		})
	}
	group.Wait()
	wantEq(t, "lines", len(main.app.Log.(*sink).texts()), 8*50)
}
