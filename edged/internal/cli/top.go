package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
)

// leastInterval keeps a watcher from becoming the load that it watches.
const leastInterval = 100 * time.Millisecond

func (p *program) topCommand() *cli.Command {
	return &cli.Command{
		Name:  "top",
		Usage: "watch cores and functions at work",
		Description: "On a terminal a table that is renewed every second; docs/OPERATING.md explains its columns. Keys: q quits,\n" +
			"c, r, p and n sort by cpu, rate, p99 and name, the arrow keys scroll. Elsewhere, and with --once, one sample as\n" +
			"text. With --json a line of JSON a sample, until interrupted or, with --once, one.\n\n" +
			examples("edged top", "edged top --interval 5s --sort p99", "edged top --once",
				"edged top --json | jq -c '[.rate, .p99_ns]'", "edged top --once --json | jq '.functions[] | select(.errors_per_s > 0)'"),
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Usage: "take a sample every `T`", Value: time.Second},
			&cli.StringFlag{Name: "sort", Usage: "sort functions by `ORDER`: cpu, rate, p99 or name", Value: string(byCPU)},
			&cli.BoolFlag{Name: "once", Usage: "print one sample and end"},
			adminFlag(), &cli.BoolFlag{Name: "json", Usage: "print a line of JSON for each sample"},
		},
		Action: p.top,
	}
}

func (p *program) top(c *cli.Context) error {
	if _, err := wantArgs(c, 0, 0); err != nil {
		return err
	}
	order, err := parseTopOrder(c.String("sort"))
	if err != nil {
		return err
	}
	interval := c.Duration("interval")
	if interval < leastInterval {
		return usagef("--interval %v is shorter than %v", interval, leastInterval)
	}
	fetch := p.client(c).Top
	once := c.Bool("once")
	switch {
	case c.Bool("json"):
		return p.topJSON(c.Context, fetch, interval, order, once)
	case once || !p.StdoutTerminal:
		return p.topOnce(c.Context, fetch, interval, order)
	}
	return p.topLive(c.Context, fetch, interval, order)
}

// topFetch gets a snapshot.
type topFetch func(context.Context) (admin.Top, error)

// topOnce prints one sample as text, with nothing left out.
func (p *program) topOnce(ctx context.Context, fetch topFetch, interval time.Duration, order topOrder) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	view := topView{order: order, style: p.outStyle()}
	return eachSample(ctx, fetch, ticker.C, func(s *topSample) (bool, error) {
		s.sortBy(order)
		for _, line := range view.lines(s) {
			p.printf("%s\n", line)
		}
		return true, nil
	})
}

// topJSON prints samples as lines of JSON until ctx ends, or one.
func (p *program) topJSON(ctx context.Context, fetch topFetch, interval time.Duration, order topOrder, once bool) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	encoder := json.NewEncoder(p.Stdout)
	encoder.SetEscapeHTML(false)
	err := eachSample(ctx, fetch, ticker.C, func(s *topSample) (bool, error) {
		s.sortBy(order)
		if err := encoder.Encode(s); err != nil {
			return true, fmt.Errorf("print: %w", err)
		}
		return once, nil
	})
	if !once && ctx.Err() != nil {
		return nil // interrupting is how watching ends
	}
	return err
}

// eachSample takes a snapshot now and one at every tick, and gives show the difference of each to the one before. It ends
// when show says that it was the last, or with the first error.
func eachSample(ctx context.Context, fetch topFetch, ticks <-chan time.Time, show func(*topSample) (last bool, err error)) error {
	before, err := fetch(ctx)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks:
		}
		now, err := fetch(ctx)
		if err != nil {
			return err
		}
		last, err := show(newTopSample(&before, &now))
		if err != nil || last {
			return err
		}
		before = now
	}
}

// topLive shows samples on the terminal until the user has enough.
func (p *program) topLive(ctx context.Context, fetch topFetch, interval time.Duration, order topOrder) (err error) {
	first, err := fetch(ctx) // before the screen is taken: an error has to be read
	if err != nil {
		return err
	}
	tty, err := openTTY(ttyPath)
	if err != nil {
		return withRemedy(fmt.Errorf("take the terminal: %w", err), "'edged top --once' needs none")
	}
	defer func() { err = errors.Join(err, tty.Close()) }()
	ticks, looks := time.NewTicker(interval), time.NewTicker(lookInterval)
	defer ticks.Stop()
	defer looks.Stop()
	live := topLive{
		screen: tty, fetch: fetch, ticks: ticks.C, looks: looks.C,
		view: topView{order: order, style: p.outStyle()}, last: first, sample: newTopSample(nil, &first),
	}
	return live.run(ctx)
}
