package cli

import (
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
)

func (p *program) callsCommand() *cli.Command {
	return &cli.Command{
		Name:  "calls",
		Usage: "look at and cancel asynchronous calls",
		Description: "A request with 'Prefer: respond-async' is answered 202 at once; its Location names the call. The answer is kept for a day.\n\n" +
			examples("edged calls ls", "edged calls show ID", "edged calls cancel ID"),
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list the calls that wait, run, or have an answer", Action: p.callsList,
				Description: examples("edged calls ls", "edged calls ls --json"),
				Flags:       []cli.Flag{adminFlag(), jsonFlag()},
			},
			{
				Name: "show", Usage: "show a call and its answer", ArgsUsage: "ID", Action: p.callsShow,
				Description: "With --json the answer's body is in base64.\n\n" + examples("edged calls show ID", "edged calls show ID --json"),
				Flags:       []cli.Flag{adminFlag(), jsonFlag()},
			},
			{
				Name: "cancel", Usage: "end calls, or remove the answers of those that have ended", ArgsUsage: "ID...", Action: p.callsCancel,
				Description: examples("edged calls cancel ID"),
				Flags:       []cli.Flag{adminFlag()},
			},
		},
	}
}

func (p *program) callsList(c *cli.Context) error {
	if _, err := wantArgs(c, 0, 0); err != nil {
		return err
	}
	list, err := p.client(c).Calls(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(list)
	}
	t := table{head: []string{"ID", "FUNCTION", "STATE", "STATUS", "AGE", "SIZE"}}
	for _, call := range list {
		t.row(call.ID, string(call.App)+"/"+string(call.Function), call.State, statusText(call.Status), ageText(time.Since(call.Created)), sizeText(call.Bytes))
	}
	t.write(p.Stdout, p.outStyle())
	return nil
}

// statusText is an HTTP status, or a dash while there is none.
func statusText(status int) string {
	if status == 0 {
		return orDash("")
	}
	return strconv.Itoa(status)
}

func (p *program) callsShow(c *cli.Context) error {
	args, err := wantArgs(c, 1, 1)
	if err != nil {
		return err
	}
	if err := notEmpty(args[0]); err != nil {
		return err
	}
	call, err := p.client(c).Call(c.Context, args[0])
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(call)
	}
	p.showCall(&call)
	if len(call.Body) > 0 {
		p.printf("\n")
		return p.printBytes(call.Body)
	}
	return nil
}

func (p *program) showCall(call *admin.CallDetail) {
	p.printf("call      %s\nfunction  %s/%s\nstate     %s\ncreated   %s\n", call.ID, call.App, call.Function, call.State,
		call.Created.Local().Format(time.DateTime))
	if !call.Finished.IsZero() {
		p.printf("finished  %s\nstatus    %d\n", call.Finished.Local().Format(time.DateTime), call.Status)
	}
	if call.Error != "" {
		p.printf("error     %s\n", p.safe(call.Error, p.StdoutTerminal))
	}
	for _, header := range call.Headers {
		p.printf("header    %s: %s\n", p.safe(header.Name, p.StdoutTerminal), p.safe(header.Value, p.StdoutTerminal))
	}
}

func (p *program) callsCancel(c *cli.Context) error {
	args, err := wantArgs(c, 1, -1)
	if err != nil {
		return err
	}
	if err := notEmpty(args...); err != nil {
		return err
	}
	for _, id := range args {
		if err := p.client(c).CancelCall(c.Context, id); err != nil {
			return err
		}
	}
	return nil
}
