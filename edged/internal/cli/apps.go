package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/invoke"
)

func (p *program) listCommand() *cli.Command {
	return &cli.Command{
		Name:        "ls",
		Usage:       "list the deployed apps",
		Description: examples("edged ls", "edged ls --json | jq -r '.[].name'"),
		Flags:       []cli.Flag{adminFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if _, err := wantArgs(c, 0, 0); err != nil {
				return err
			}
			apps, err := p.client(c).Apps(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return p.printJSON(apps)
			}
			p.printApps(apps)
			return nil
		},
	}
}

func (p *program) printApps(apps []admin.AppSummary) {
	if len(apps) == 0 {
		p.printf("no apps are deployed; 'edged deploy' deploys one\n")
		return
	}
	t := table{head: []string{"APP", "VERSION", "STATE", "FUNCTIONS", "INSTANCES", "AGE"}}
	for _, a := range apps {
		t.row(string(a.Name), a.Version, a.State, strconv.Itoa(a.Functions), strconv.Itoa(a.Instances), ageText(time.Since(a.Deployed)))
		t.rows[len(t.rows)-1][2].color = stateColor(a.State)
	}
	t.write(p.Stdout, p.outStyle())
}

func stateColor(state string) color {
	switch state {
	case "ready":
		return green
	case "failed":
		return red
	default:
		return yellow
	}
}

func (p *program) inspectCommand() *cli.Command {
	return &cli.Command{
		Name:        "inspect",
		Usage:       "show an app: functions, limits, imports, versions",
		ArgsUsage:   "APP",
		Description: examples("edged inspect hello", "edged inspect hello --json | jq .versions"),
		Flags:       []cli.Flag{adminFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			args, err := wantArgs(c, 1, 1)
			if err != nil {
				return err
			}
			detail, err := p.client(c).Inspect(c.Context, invoke.AppName(args[0]))
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return p.printJSON(detail)
			}
			p.printDetail(detail)
			return nil
		},
	}
}

func (p *program) printDetail(d admin.AppDetail) {
	s := p.outStyle()
	facts := table{head: []string{"APP", string(d.Name)}}
	facts.row("version", d.Version)
	facts.row("state", d.State)
	facts.rows[1][1].color = stateColor(d.State)
	facts.row("interface", orDash(d.ABI))
	facts.row("module", fmt.Sprintf("%s, sha256 %s", sizeText(d.ModuleBytes), orDash(d.ModuleSHA)))
	facts.row("space", orDash(d.Space))
	facts.row("limits", fmt.Sprintf("memory %s, timeout %s, concurrency %d", sizeText(d.Limits.MemoryBytes), durationText(d.Limits.Timeout), d.Limits.Concurrency))
	for _, grant := range []struct {
		name  string
		items []string
	}{{"folders", d.Grants.Dirs}, {"hosts", d.Grants.Hosts}, {"config", d.Grants.Config}, {"secrets", d.Grants.Secrets}} {
		if len(grant.items) > 0 {
			facts.row(grant.name, strings.Join(grant.items, ", "))
		}
	}
	facts.row("instances", strconv.Itoa(d.Instances))
	facts.row("deployed", d.Deployed.Local().Format(time.RFC3339))
	facts.write(p.Stdout, s)

	functions := table{head: []string{"FUNCTION", "ROUTE", "METHODS", "ENTRY"}}
	for _, f := range d.FunctionSet {
		methods := "any"
		if len(f.Methods) > 0 {
			methods = strings.Join(f.Methods, ",")
		}
		functions.row(string(f.Name), orDash(f.Route), methods, orDash(f.Entry))
	}
	imports := table{head: []string{"IMPORT", "TYPE", "STATUS", ""}}
	for _, i := range d.Imports {
		imports.row(i.Module+"."+i.Name, i.Type, i.Status, i.Detail)
	}
	versions := table{head: []string{"VERSION", "DEPLOYED", ""}}
	for _, v := range d.Versions {
		active := ""
		if v.Active {
			active = "active"
		}
		versions.row(v.Version, v.Deployed.Local().Format(time.RFC3339), active)
	}
	for _, t := range []table{functions, imports, versions} {
		if len(t.rows) > 0 {
			p.printf("\n")
			t.write(p.Stdout, s)
		}
	}
	for _, warning := range d.Warnings {
		p.printf("\n%s %s\n", s.paint(yellow, "warning:"), p.safe(warning, p.StdoutTerminal))
	}
}

func (p *program) rollbackCommand() *cli.Command {
	return &cli.Command{
		Name:        "rollback",
		Usage:       "activate an earlier version of an app",
		ArgsUsage:   "APP [VERSION]",
		Description: "Without VERSION it is the one that was active before; doing it twice goes back and forth.\n'edged inspect APP' lists the versions.\n\n" + examples("edged rollback hello", "edged rollback hello 3"),
		Flags:       []cli.Flag{adminFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			args, err := wantArgs(c, 1, 2)
			if err != nil {
				return err
			}
			version := ""
			if len(args) == 2 {
				version = args[1]
			}
			before := p.activeVersion(c, invoke.AppName(args[0]))
			result, err := p.client(c).Rollback(c.Context, invoke.AppName(args[0]), version)
			if err != nil {
				return err
			}
			return p.printRolledBack(c, result, before)
		},
	}
}

// activeVersion returns the version that serves now, or "" when that cannot be told; it is only for a message.
func (p *program) activeVersion(c *cli.Context, app invoke.AppName) string {
	detail, err := p.client(c).Inspect(c.Context, app)
	if err != nil {
		return ""
	}
	return detail.Version
}

// printRolledBack prints the version that is active now and the one that was.
func (p *program) printRolledBack(c *cli.Context, result admin.DeployResult, before string) error {
	if c.Bool("json") {
		return p.printJSON(result)
	}
	was := ""
	if before != "" {
		was = fmt.Sprintf(" (was %s)", before)
	}
	p.printf("%s %s to %s%s\n", p.outStyle().paint(green, "rolled back"), result.App, result.Version, was)
	p.printRoutes(result)
	return nil
}

func (p *program) removeCommand() *cli.Command {
	return &cli.Command{
		Name:        "rm",
		Usage:       "remove an app and its versions; its space stays",
		ArgsUsage:   "APP",
		Description: "Requests in flight are answered first. What the app stored stays: see 'edged kv'.\n\n" + examples("edged rm hello"),
		Flags:       []cli.Flag{adminFlag()},
		Action: func(c *cli.Context) error {
			args, err := wantArgs(c, 1, 1)
			if err != nil {
				return err
			}
			if err := p.client(c).Remove(c.Context, invoke.AppName(args[0])); err != nil {
				return err
			}
			p.printf("removed %s\n", args[0])
			return nil
		},
	}
}
