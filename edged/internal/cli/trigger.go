package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
)

// deadPage is how many events are asked for at a time.
const deadPage = 500

func (p *program) triggerCommand() *cli.Command {
	id := []cli.Flag{adminFlag()}
	return &cli.Command{
		Name:  "trigger",
		Usage: "look at what starts functions beside requests",
		Description: "Functions are started by changes of keys and by timers: see 'on' in the manifest. An event that has failed as often as\n" +
			"its trigger allows is given up and kept.\n\n" +
			examples("edged trigger ls", "edged trigger dead ls", "edged trigger dead replay ID"),
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list the triggers and what waits for them", Action: p.triggerList,
				Description: "LAG is the age of the oldest event that is worked on. What waits for a trigger of the kind gone has none any more.\n\n" +
					examples("edged trigger ls", "edged trigger ls --json | jq '.[] | select(.pending > 0)'"),
				Flags: []cli.Flag{adminFlag(), jsonFlag()},
			},
			{
				Name: "dead", Usage: "look at events that were given up",
				Description: examples("edged trigger dead ls", "edged trigger dead show ID", "edged trigger dead replay --all", "edged trigger dead drop ID"),
				Subcommands: []*cli.Command{
					{
						Name: "ls", Usage: "list the events that were given up", Action: p.deadList,
						Description: examples("edged trigger dead ls", "edged trigger dead ls --json | jq -r '.[].id'"),
						Flags:       []cli.Flag{adminFlag(), jsonFlag()},
					},
					{
						Name: "show", Usage: "show one of them, with its error", ArgsUsage: "ID", Action: p.deadShow,
						Description: examples("edged trigger dead show ID"), Flags: []cli.Flag{adminFlag(), jsonFlag()},
					},
					{
						Name: "replay", Usage: "have their functions started again", ArgsUsage: "[ID...]", Action: p.deadReplay,
						Description: "Each keeps its ID and has all its attempts again.\n\n" + examples("edged trigger dead replay ID", "edged trigger dead replay --all"),
						Flags:       append(id, &cli.BoolFlag{Name: "all", Usage: "all that there are"}),
					},
					{
						Name: "drop", Usage: "forget them", ArgsUsage: "[ID...]", Action: p.deadDrop,
						Description: examples("edged trigger dead drop ID", "edged trigger dead drop --all"),
						Flags:       append(id, &cli.BoolFlag{Name: "all", Usage: "all that there are"}),
					},
				},
			},
		},
	}
}

func (p *program) triggerList(c *cli.Context) error {
	if _, err := wantArgs(c, 0, 0); err != nil {
		return err
	}
	list, err := p.client(c).Triggers(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(list)
	}
	if len(list) == 0 {
		p.printf("nothing starts functions beside requests; 'on' in a manifest does\n")
		return nil
	}
	t := table{head: []string{"FUNCTION", "KIND", "ON", "PENDING", "RUNNING", "LAG", "DEAD"}}
	for _, one := range list {
		on, lag := one.On, ""
		if one.Events != "" {
			on += " (" + one.Events + ")"
		}
		if one.Space != "" && one.Space != string(one.App) {
			on = one.Space + ": " + on
		}
		if one.Lag > 0 {
			lag = durationText(one.Lag.Round(time.Millisecond))
		}
		t.row(string(one.App)+"/"+string(one.Function), one.Kind, p.safe(on, p.StdoutTerminal), strconv.FormatInt(one.Pending, 10),
			strconv.Itoa(one.InFlight), orDash(lag), strconv.FormatInt(one.Dead, 10))
	}
	t.write(p.Stdout, p.outStyle())
	p.printTimers(list)
	return nil
}

// printTimers writes what timers did and do next; nothing when there are none.
func (p *program) printTimers(list []admin.TriggerSummary) {
	t := table{head: []string{"TIMER", "NEXT", "LAST", "RUNS", "FAILED", "SKIPPED", "MISSED", ""}}
	moment := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return at.Local().Format(time.RFC3339)
	}
	for _, one := range list {
		if timer := one.Timer; timer != nil {
			t.row(string(one.App)+"/"+string(one.Function), moment(one.Next), moment(timer.Last), strconv.FormatUint(timer.Runs, 10),
				strconv.FormatUint(timer.Failed, 10), strconv.FormatUint(timer.Skipped, 10), strconv.FormatUint(timer.Missed, 10),
				p.safe(timer.Error, p.StdoutTerminal))
		}
	}
	if len(t.rows) > 0 {
		p.printf("\n")
		t.write(p.Stdout, p.outStyle())
	}
}

// allDead reads all pages.
func (p *program) allDead(c *cli.Context) ([]admin.DeadEvent, error) {
	all, after := []admin.DeadEvent{}, ""
	for {
		page, err := p.client(c).DeadEvents(c.Context, after, deadPage)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < deadPage {
			return all, nil
		}
		after = page[len(page)-1].ID
	}
}

func (p *program) deadList(c *cli.Context) error {
	if _, err := wantArgs(c, 0, 0); err != nil {
		return err
	}
	list, err := p.allDead(c)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(list)
	}
	if len(list) == 0 {
		p.printf("no event was given up\n")
		return nil
	}
	t := table{head: []string{"ID", "FUNCTION", "KEY", "ATTEMPTS", "AGE", "ERROR"}}
	for _, e := range list {
		t.row(e.ID, string(e.App)+"/"+string(e.Function), p.safe(shorten(e.Key, 40), p.StdoutTerminal), strconv.Itoa(e.Attempts),
			ageText(time.Since(e.Died)), p.safe(shorten(e.Error, 60), p.StdoutTerminal))
	}
	t.write(p.Stdout, p.outStyle())
	return nil
}

func (p *program) deadShow(c *cli.Context) error {
	args, err := wantArgs(c, 1, 1)
	if err != nil {
		return err
	}
	if err := notEmpty(args[0]); err != nil {
		return err
	}
	e, err := p.client(c).DeadEvent(c.Context, args[0])
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(e)
	}
	p.printf("event     %s\nfunction  %s/%s\nspace     %s\nkey       %s\nchange    %s, %s\ngiven up  %s, after %d attempts\nerror     %s\n", e.ID, e.App,
		e.Function, e.Space, p.safe(e.Key, p.StdoutTerminal), e.Kind, e.Changed.Local().Format(time.DateTime), e.Died.Local().Format(time.DateTime),
		e.Attempts, p.safe(e.Error, p.StdoutTerminal))
	if len(e.Trail) > 0 {
		p.printf("led to by %s\n", strings.Join(e.Trail, " -> "))
	}
	return nil
}

func (p *program) deadReplay(c *cli.Context) error {
	return p.eachDead(c, "replayed", func(id string) error { return p.client(c).ReplayEvent(c.Context, id) })
}

func (p *program) deadDrop(c *cli.Context) error {
	return p.eachDead(c, "dropped", func(id string) error { return p.client(c).DropEvent(c.Context, id) })
}

// eachDead does something with the events that are named, or with all.
func (p *program) eachDead(c *cli.Context, what string, do func(id string) error) error {
	ids, err := wantArgs(c, 0, -1)
	if err != nil {
		return err
	}
	if c.Bool("all") == (len(ids) > 0) {
		return usagef("name events by their IDs, or all of them with --all")
	}
	if err := notEmpty(ids...); err != nil {
		return err
	}
	if c.Bool("all") {
		list, err := p.allDead(c)
		if err != nil {
			return err
		}
		for _, e := range list {
			ids = append(ids, e.ID)
		}
	}
	for n, id := range ids {
		if err := do(id); err != nil {
			return fmt.Errorf("%d %s; then event %s: %w", n, what, id, err)
		}
	}
	p.printf("%d %s\n", len(ids), what)
	return nil
}
