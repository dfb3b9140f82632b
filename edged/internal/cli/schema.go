package cli

import (
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"
)

func (p *program) schemaCommand() *cli.Command {
	return &cli.Command{
		Name:        "schema",
		Usage:       "print the JSON Schema of " + manifestName,
		Description: "Editors check and complete the manifest with it.\n\n" + examples("edged schema > edged.schema.json"),
		// The output is JSON with and without --json; a script that always gives it need not know.
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if _, err := wantArgs(c, 0, 0); err != nil {
				return err
			}
			if p.ManifestSchema == nil {
				return missing("print the schema")
			}
			schema, err := p.ManifestSchema()
			if err != nil {
				return fmt.Errorf("schema: %w", err)
			}
			if _, err := p.Stdout.Write(schema); err != nil {
				return fmt.Errorf("print: %w", err)
			}
			return nil
		},
	}
}

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "print the version",
		Description: examples("edged version", "edged version --json"),
		Flags:       []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if _, err := wantArgs(c, 0, 0); err != nil {
				return err
			}
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if c.Bool("json") {
				return p.printJSON(map[string]string{"version": p.Version, "engine": p.Engine, "go": runtime.Version(), "platform": platform})
			}
			p.printf("edged %s (%s, %s, %s)\n", p.Version, orDash(p.Engine), runtime.Version(), platform)
			return nil
		},
	}
}
