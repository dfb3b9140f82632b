package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func (p *program) serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run the daemon",
		Description: "Deploys what was deployed before and answers requests until it gets SIGTERM. Then it drains and ends\n" +
			"with 0; a second SIGTERM ends it at once. When it accepts requests it writes one line of JSON to standard\n" +
			"output, {\"event\":\"ready\",\"http\":...,\"uds\":...,\"admin\":...}; its log goes to standard error.\n\n" +
			examples("edged serve", "edged serve --data ./data --http 127.0.0.1:8080", "edged serve --http 127.0.0.1:0 --cores 2"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "keep everything in `DIR`"},
			&cli.StringFlag{Name: "http", Usage: "answer HTTP on `ADDR`; port 0 takes a free one"},
			&cli.StringFlag{Name: "uds", Usage: "answer HTTP on the Unix socket `PATH` too"},
			&cli.StringFlag{Name: "admin", Usage: "serve the management API on the Unix socket `PATH`"},
			&cli.StringFlag{Name: "cores", Usage: "run functions on `N` cores (default: all)"},
			&cli.StringFlag{Name: "log-level", Usage: "log from `LEVEL` on: debug, info, warn or error"},
			&cli.StringFlag{Name: "log-format", Usage: "log as `FORMAT`: text or json"},
			&cli.StringFlag{Name: "config", Usage: "read the daemon's configuration from `FILE`; options win over it"},
		},
		Action: p.serve,
	}
}

func (p *program) serve(c *cli.Context) error {
	if _, err := wantArgs(c, 0, 0); err != nil {
		return err
	}
	if p.Serve == nil {
		return missing("serve")
	}
	flags := make(map[string]string)
	for _, name := range []string{"data", "http", "uds", "admin", "cores", "log-level", "log-format"} {
		if c.IsSet(name) {
			flags[strings.ReplaceAll(name, "-", ".")] = c.String(name)
		}
	}
	err := p.Serve(c.Context, ServeOptions{ConfigFile: c.String("config"), Flags: flags, Stderr: p.Stderr, Ready: p.printReady})
	if err != nil && c.Err() != nil && errors.Is(err, c.Err()) {
		return nil // told to stop, and it did
	}
	return err
}

// printReady prints the line that scripts wait for.
func (p *program) printReady(ready Ready) error {
	line, err := json.Marshal(struct {
		Event string `json:"event"`
		Ready
	}{"ready", ready})
	if err != nil {
		return fmt.Errorf("encode ready line: %w", err)
	}
	if _, err := p.Stdout.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("print ready line: %w", err)
	}
	return nil
}
