package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/invoke"
)

func (p *program) logsCommand() *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "show what functions logged",
		ArgsUsage: "[APP]",
		Description: "The daemon keeps the last lines of every app in memory. Without APP all apps are shown.\n\n" +
			examples("edged logs hello", "edged logs -f", "edged logs hello --since 10m", "edged logs hello -f --json | jq .text"),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until interrupted"},
			&cli.StringFlag{Name: "since", Usage: "only what is not older than `T`: 90s, 10m, 2h, 3d, or an RFC 3339 time"},
			adminFlag(), &cli.BoolFlag{Name: "json", Usage: "print a line of JSON for each"},
		},
		Action: p.logs,
	}
}

func (p *program) logs(c *cli.Context) error {
	args, err := wantArgs(c, 0, 1)
	if err != nil {
		return err
	}
	req := admin.LogsRequest{Follow: c.Bool("follow")}
	if len(args) == 1 {
		req.App = invoke.AppName(args[0])
	}
	if text := c.String("since"); text != "" {
		if req.Since, err = parseSince(text, time.Now()); err != nil {
			return err
		}
	}
	show := p.printEntry
	if c.Bool("json") {
		encoder := json.NewEncoder(p.Stdout)
		show = func(e admin.LogEntry) error { return encoder.Encode(e) }
	}
	err = p.client(c).Logs(c.Context, req, show)
	if req.Follow && c.Err() != nil {
		return nil //nolint:nilerr // interrupting is how following ends
	}
	if req.Follow && (errors.Is(err, admin.ErrProtocol) || errors.Is(err, admin.ErrUnavailable)) {
		return errStopped
	}
	return err
}

// printEntry prints one line: time, level, function, text.
func (p *program) printEntry(e admin.LogEntry) error {
	s := p.outStyle()
	if e.Lost > 0 {
		p.printf("%s\n", s.paint(yellow, fmt.Sprintf("... %d lines lost: they came faster than this command took them", e.Lost)))
	}
	name := string(e.App)
	if e.Function != "" {
		name += "/" + string(e.Function)
	}
	levels := map[string]color{"warn": yellow, "error": red, "debug": dim}
	_, err := fmt.Fprintf(p.Stdout, "%s %s %s %s\n",
		s.paint(dim, e.Time.Local().Format("2006-01-02T15:04:05.000Z07:00")),
		s.paint(levels[e.Level], fmt.Sprintf("%-5s", e.Level)),
		name, p.safe(e.Text, p.StdoutTerminal))
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// parseSince reads a moment: how long ago ("90s", "1h30m", "3d"), or an RFC 3339 time, or a day.
func parseSince(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	ago, err := time.ParseDuration(text)
	if number, ok := strings.CutSuffix(text, "d"); ok && err != nil {
		days, daysErr := strconv.ParseUint(number, 10, 16)
		ago, err = time.Duration(days)*24*time.Hour, daysErr
	}
	if err != nil || ago < 0 {
		return time.Time{}, usagef("--since %q is neither a time such as 2026-01-31T08:00:00Z nor a duration such as 10m, 2h or 3d", text)
	}
	return now.Add(-ago), nil
}
