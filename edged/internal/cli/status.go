package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
)

// errUnfit is the error of a doctor that found something that does not work.
var errUnfit = errors.New("something on this machine does not work")

func (p *program) statusCommand() *cli.Command {
	return &cli.Command{
		Name:        "status",
		Usage:       "show how the daemon is",
		Description: "Ends with 3 when no daemon answers.\n\n" + examples("edged status", "edged status --json | jq .queue_length"),
		Flags:       []cli.Flag{adminFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if _, err := wantArgs(c, 0, 0); err != nil {
				return err
			}
			status, err := p.client(c).Status(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return p.printJSON(status)
			}
			p.printStatus(status)
			return nil
		},
	}
}

func (p *program) printStatus(s admin.Status) {
	state := "serving"
	if s.Draining {
		state = "draining"
	}
	t := table{head: []string{"EDGED", s.Version}}
	t.row("state", fmt.Sprintf("%s for %s, process %d", state, ageText(s.Uptime), s.PID))
	t.row("engine", orDash(s.Engine))
	t.row("http", orDash(s.HTTP))
	t.row("uds", orDash(s.UDS))
	t.row("admin", orDash(s.Admin))
	t.row("data", orDash(s.DataDir))
	t.row("cores", strconv.Itoa(s.Cores))
	t.row("apps", fmt.Sprintf("%d with %d functions", s.Apps, s.Functions))
	t.row("requests", fmt.Sprintf("%d running, %d waiting", s.Running, s.QueueLength))
	t.row("instances", strconv.Itoa(s.LiveInstances))
	t.row("connections", strconv.Itoa(s.Connections))
	t.row("memory", sizeText(s.MemoryBytes))
	t.write(p.Stdout, p.outStyle())
}

func (p *program) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:        "doctor",
		Usage:       "look for what is missing or wrong on this machine",
		Description: "Ends with 1 when something does not work, and with 3 when no daemon answers; what can be seen without one is\nshown then. With --all, and as JSON, it has every value of the configuration too and where it comes from.\n\n" + examples("edged doctor", "edged doctor --all", "edged doctor --json"),
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "show the configuration too"}, adminFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if _, err := wantArgs(c, 0, 0); err != nil {
				return err
			}
			return p.doctor(c)
		},
	}
}

// doctor prints the daemon's checks. When no daemon answers, which may be what is wrong, it prints those that need none
// and fails as unreachable all the same.
func (p *program) doctor(c *cli.Context) error {
	checks, err := p.client(c).Doctor(c.Context)
	if err != nil && (!errors.Is(err, admin.ErrUnreachable) || p.LocalChecks == nil) {
		return err
	}
	if err != nil {
		checks = p.LocalChecks(c.Context)
	}
	if c.Bool("json") {
		if printErr := p.printJSON(checks); printErr != nil {
			return printErr
		}
	} else {
		if !c.Bool("all") {
			checks = slices.DeleteFunc(checks, isSetting)
		}
		p.printChecks(checks)
	}
	if err != nil {
		return err
	}
	return verdict(checks)
}

func (p *program) printChecks(checks []admin.Check) {
	s := p.outStyle()
	colors := map[admin.CheckState]color{admin.CheckOK: green, admin.CheckWarn: yellow, admin.CheckFail: red}
	for _, check := range checks {
		p.printf("%s %s: %s\n", s.paint(colors[check.State], fmt.Sprintf("%-4s", check.State)), check.Name, p.safe(check.Detail, p.StdoutTerminal))
		if check.Remedy != "" && check.State != admin.CheckOK {
			p.printf("     %s\n", p.safe(check.Remedy, p.StdoutTerminal))
		}
	}
}

// isSetting reports whether a check only tells a value of the configuration.
func isSetting(check admin.Check) bool {
	return check.State == admin.CheckOK && strings.HasPrefix(check.Name, "setting ")
}

func verdict(checks []admin.Check) error {
	for _, check := range checks {
		if check.State == admin.CheckFail {
			return errUnfit
		}
	}
	return nil
}
