package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"edged.dev/edge/bench/load"
	"edged.dev/edge/bench/server"
)

// The fleet has that many apps, with that many functions each.
const (
	fleetApps      = 100
	fleetFunctions = 10
)

// app makes the folder of an app of the basic module with a name of its own. With functions its hello is there under those names.
func (l *Lab) app(dir, name string, functions []string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	module, err := os.ReadFile(l.path("basic", "basic.wasm"))
	if err != nil {
		return err
	}
	manifest := strings.ReplaceAll(readText(l.path("basic", "edged.yaml"))+"\n", "basic", name)
	manifest = strings.Replace(manifest, "module: "+name, "module: basic", 1)
	for _, function := range functions {
		manifest += fmt.Sprintf("  %s:\n    entry: hello\n    http:\n      path: /%s/%s\n", function, name, function)
	}
	//nolint:gosec // below the lab's folder
	return errors.Join(os.WriteFile(filepath.Join(dir, "basic.wasm"), module, 0o600), writeText(filepath.Join(dir, "edged.yaml"), manifest))
}

// deployed returns the home of a daemon with all apps of the fleet, deployed once for all workloads, and what its memory did.
func (l *Lab) deployed(ctx context.Context) (home *server.Edged, err error) {
	if l.fleet != nil {
		return l.fleet, nil
	}
	if home, err = l.home("", l.serverCPUs); err != nil {
		return nil, err
	}
	s, err := home.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l.say("deploying %d apps", fleetApps)
	var names []string
	for i := range fleetFunctions - 3 { // hello, echo and fib are there
		names = append(names, fmt.Sprintf("f%d", i))
	}
	for i := range fleetApps {
		dir, name := l.path(fmt.Sprintf("fleet%d", i)), fmt.Sprintf("app%d", i)
		if err := l.app(dir, name, names); err != nil {
			return nil, err
		}
		if err := home.Deploy(ctx, dir); err != nil {
			return nil, err
		}
	}
	l.fleet = home
	return home, nil
}

// settled waits until the resident memory of a server has not fallen for a while, and returns it.
func settled(ctx context.Context, s *server.Server) (int64, error) {
	lowest, since := int64(0), time.Now()
	for {
		u, err := s.Usage()
		if err != nil {
			return 0, err
		}
		if lowest == 0 || u.RSS < lowest-lowest/200 {
			lowest, since = u.RSS, time.Now()
		}
		if time.Since(since) > 3*time.Second {
			return u.RSS, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// density is B17: memory of idle functions and of live instances.
func (l *Lab) density(ctx context.Context) (tables []*table, err error) {
	home, err := l.deployed(ctx)
	if err != nil {
		return nil, err
	}
	empty, err := l.home("", l.serverCPUs)
	if err != nil {
		return nil, err
	}
	l.say("b17: memory of a daemon without apps, and with the fleet")
	base, err := l.idle(ctx, empty)
	if err != nil {
		return nil, err
	}
	s, err := home.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	idle, err := settled(ctx, s)
	if err != nil {
		return nil, err
	}
	live, count, err := l.touch(ctx, home, s)
	if err != nil {
		return nil, err
	}
	t := &table{
		title: fmt.Sprintf("B17: memory, %d apps with %d functions each", fleetApps, fleetFunctions),
		notes: []string{"Resident memory of the whole daemon, after a restart, once it has stopped falling. Live: each app was called 20 times on 8 connections, and the instances that its pool keeps were " +
			"counted at once (`edged ls`); code and templates that the calls loaded are in the difference."},
		columns: []string{"state", "resident memory:", "functions:", "live instances:", "more than before, for each:"},
	}
	t.add("no apps", mebibytes(float64(base)), "0", "0", "")
	t.add("deployed, never called", mebibytes(float64(idle)), itoa(fleetApps*fleetFunctions), "0", fmt.Sprintf("%.1f KiB a function", float64(idle-base)/1024/fleetApps/fleetFunctions))
	each := "no instance was kept"
	if count > 0 {
		each = fmt.Sprintf("%.1f KiB an instance", float64(live-idle)/1024/float64(count))
	}
	t.add("called", mebibytes(float64(live)), itoa(fleetApps*fleetFunctions), itoa(count), each)
	return []*table{t}, nil
}

func (l *Lab) idle(ctx context.Context, home *server.Edged) (rss int64, err error) {
	s, err := home.Start(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return settled(ctx, s)
}

// touch calls every app and returns the memory and the number of instances that are there then.
func (l *Lab) touch(ctx context.Context, home *server.Edged, s *server.Server) (rss int64, instances int, err error) {
	stream := load.Stream{Connections: 8}
	for i := range fleetApps {
		stream.Classes = append(stream.Classes, load.Class{Request: load.Request(fmt.Sprintf("/app%d/hello", i), nil), Expect: []byte("hello, world\n")})
	}
	stream.Rate, stream.Constant = 20*fleetApps/2, true
	result, err := load.Run(ctx, load.Options{Address: s.Address(), CPU: l.loadCPU, Duration: 2 * time.Second, Streams: []load.Stream{stream}})
	if err != nil {
		return 0, 0, err
	}
	if t := result.Stream(""); t.OK != t.Total() {
		return 0, 0, fmt.Errorf("%w: of %d calls of the fleet %d were right", ErrAnswer, t.Total(), t.OK)
	}
	u, err := s.Usage()
	if err != nil {
		return 0, 0, err
	}
	out, err := home.Run(ctx, "ls", "--json", "--admin", home.Admin())
	if err != nil {
		return 0, 0, err
	}
	var apps []struct{ Instances int }
	if err := json.Unmarshal(out, &apps); err != nil {
		return 0, 0, fmt.Errorf("list of apps: %w", err)
	}
	for _, app := range apps {
		instances += app.Instances
	}
	return u.RSS, instances, nil
}

// boot is B18: from the start of the process to the first answer.
func (l *Lab) boot(ctx context.Context) ([]*table, error) {
	home, err := l.deployed(ctx)
	if err != nil {
		return nil, err
	}
	var ready, first, all []float64
	for round := range max(3, l.options.Rounds) {
		l.say("b18: start %d", round+1)
		r, f, a, err := l.bootOnce(ctx, home)
		if err != nil {
			return nil, err
		}
		ready, first, all = append(ready, r), append(first, f), append(all, a)
	}
	t := &table{
		title:   fmt.Sprintf("B18: start of a daemon with %d apps of %d functions", fleetApps, fleetFunctions),
		notes:   []string{fmt.Sprintf("From the start of the process, on one core, with files in the page cache; median of %d starts. Nothing is compiled.", len(ready))},
		columns: []string{"until", "time:"},
	}
	t.add("it says that it serves", duration(middle(ready)))
	t.add("the first answer of an app", duration(middle(first)))
	t.add("every app has answered once", duration(middle(all)))
	return []*table{t}, nil
}

func (l *Lab) bootOnce(ctx context.Context, home *server.Edged) (ready, first, all float64, err error) {
	s, err := home.Start(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ready = micros(time.Since(s.Started()))
	for i := range fleetApps {
		if err := ask(ctx, "http://"+s.Address()+fmt.Sprintf("/app%d/hello", fleetApps-1-i), "hello, world\n"); err != nil {
			return 0, 0, 0, err
		}
		if i == 0 {
			first = micros(time.Since(s.Started()))
		}
	}
	return ready, first, micros(time.Since(s.Started())), nil
}
