package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
)

func (p *program) kvCommand() *cli.Command {
	return &cli.Command{
		Name:  "kv",
		Usage: "look at and change what apps store",
		Description: "A space belongs to an app and has its name unless the manifest says otherwise.\n\n" +
			examples("edged kv ls", "edged kv ls counter", "edged kv get counter visits", "edged kv export counter backup.kv"),
		Subcommands: []*cli.Command{
			{
				Name: "get", Usage: "print a value", ArgsUsage: "SPACE KEY", Action: p.kvGet,
				Description: "The value is printed as it is, with nothing added.\n\n" + examples("edged kv get counter visits", "edged kv get photos cat.jpg > cat.jpg"),
				Flags:       []cli.Flag{adminFlag(), &cli.BoolFlag{Name: "json", Usage: "print key and value as JSON, the bytes in base64"}},
			},
			{
				Name: "set", Usage: "store a value", ArgsUsage: "SPACE KEY VALUE|@FILE|-", Action: p.kvSet,
				Description: examples("edged kv set counter visits 0", "edged kv set photos cat.jpg @cat.jpg", "date | edged kv set clock now -"),
				Flags:       []cli.Flag{adminFlag()},
			},
			{
				Name: "rm", Usage: "remove keys", ArgsUsage: "SPACE KEY...", Action: p.kvRemove,
				Description: examples("edged kv rm counter visits"),
				Flags:       []cli.Flag{adminFlag()},
			},
			{
				Name: "ls", Usage: "list the spaces, or the keys of one", ArgsUsage: "[SPACE]", Action: p.kvList,
				Description: examples("edged kv ls", "edged kv ls photos --prefix 2026/ --limit 20", "edged kv ls photos --json"),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "prefix", Usage: "only keys that begin with `P`"},
					&cli.StringFlag{Name: "after", Usage: "only keys that sort behind `KEY`"},
					&cli.IntFlag{Name: "limit", Usage: "at most `N` keys", DefaultText: "all"},
					adminFlag(), jsonFlag(),
				},
			},
			{
				Name: "export", Usage: "write a whole space to a file", ArgsUsage: "SPACE [FILE]", Action: p.kvExport,
				Description: "Without FILE it goes to standard output. The file appears only when it is complete.\n\n" + examples("edged kv export counter backup.kv"),
				Flags:       []cli.Flag{adminFlag()},
			},
			{
				Name: "import", Usage: "store what export wrote", ArgsUsage: "SPACE [FILE]", Action: p.kvImport,
				Description: "Without FILE, or with -, it is read from standard input. Other keys of the space stay.\n\n" + examples("edged kv import counter backup.kv"),
				Flags:       []cli.Flag{adminFlag()},
			},
		},
	}
}

func (p *program) kvGet(c *cli.Context) error {
	args, err := wantArgs(c, 2, 2)
	if err != nil {
		return err
	}
	if err := notEmpty(args[0], args[1]); err != nil {
		return err
	}
	value, err := p.client(c).KVGet(c.Context, args[0], []byte(args[1]))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(struct {
			Space string `json:"space"`
			Key   []byte `json:"key"`
			Value []byte `json:"value"`
		}{args[0], []byte(args[1]), value})
	}
	return p.printBytes(value)
}

func (p *program) kvSet(c *cli.Context) error {
	args, err := wantArgs(c, 3, 3)
	if err != nil {
		return err
	}
	if err := notEmpty(args[0], args[1]); err != nil {
		return err
	}
	value, err := p.input(args[2])
	if err != nil {
		return err
	}
	return p.client(c).KVSet(c.Context, args[0], []byte(args[1]), value)
}

// kvRemove removes every key, and fails at the end when one of them was not there.
func (p *program) kvRemove(c *cli.Context) error {
	args, err := wantArgs(c, 2, -1)
	if err != nil {
		return err
	}
	if err := notEmpty(args...); err != nil {
		return err
	}
	var missed []error
	for _, key := range args[1:] {
		existed, err := p.client(c).KVDelete(c.Context, args[0], []byte(key))
		if err != nil {
			return err
		}
		if !existed {
			missed = append(missed, fmt.Errorf("%s has no key %q", args[0], key))
		}
	}
	return errors.Join(missed...)
}

func (p *program) kvList(c *cli.Context) error {
	args, err := wantArgs(c, 0, 1)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return p.kvSpaces(c)
	}
	if err := notEmpty(args[0]); err != nil {
		return err
	}
	entries, err := p.keys(c, args[0])
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(keysJSON(entries))
	}
	t := table{head: []string{"KEY", "BYTES"}}
	for _, e := range entries {
		t.row(keyText(e.Key), strconv.FormatInt(e.Bytes, 10))
	}
	t.write(p.Stdout, p.outStyle())
	return nil
}

// notEmpty refuses an empty space or key, which the daemon has no place for.
func notEmpty(names ...string) error {
	for i, name := range names {
		if name == "" && i == 0 {
			return usagef("the name of a space cannot be empty")
		}
		if name == "" {
			return usagef("a key cannot be empty")
		}
	}
	return nil
}

// keyJSON is a key for programs: as text when it is UTF-8, and its bytes in any case.
type keyJSON struct {
	Key    string `json:"key,omitempty"`
	Base64 []byte `json:"key_base64"`
	Bytes  int64  `json:"bytes"` // of the value
}

func keysJSON(entries []admin.KeyEntry) []keyJSON {
	list := make([]keyJSON, len(entries))
	for i, e := range entries {
		list[i] = keyJSON{Base64: e.Key, Bytes: e.Bytes}
		if utf8.Valid(e.Key) {
			list[i].Key = string(e.Key)
		}
	}
	return list
}

// pageKeys is how many keys are asked for at once; the server's own default.
const pageKeys = 1000

// keys lists a space page by page up to the limit.
func (p *program) keys(c *cli.Context, space string) ([]admin.KeyEntry, error) {
	limit := c.Int("limit")
	if c.IsSet("limit") && limit < 1 {
		return nil, usagef("--limit %d: there must be at least 1", limit)
	}
	entries := []admin.KeyEntry{}
	after := []byte(c.String("after"))
	for {
		ask := pageKeys
		if limit > 0 {
			ask = min(ask, limit-len(entries))
		}
		page, err := p.client(c).KVList(c.Context, space, admin.ListRequest{Prefix: []byte(c.String("prefix")), After: after, Limit: ask})
		if err != nil {
			return nil, err
		}
		entries = append(entries, page.Entries...)
		if !page.More || len(page.Entries) == 0 || (limit > 0 && len(entries) >= limit) {
			return entries, nil
		}
		after = page.Entries[len(page.Entries)-1].Key
	}
}

// keyText shows a key as it is when it is plain text, else quoted.
func keyText(key []byte) string {
	text := string(key)
	if text == "" || !utf8.ValidString(text) || visible(text) != text {
		return strconv.QuoteToASCII(text)
	}
	return text
}

func (p *program) kvSpaces(c *cli.Context) error {
	spaces, err := p.client(c).KVSpaces(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(spaces)
	}
	t := table{head: []string{"SPACE", "DURABILITY", "KEYS", "SIZE"}}
	for _, s := range spaces {
		t.row(s.Name, s.Durability, strconv.FormatInt(s.Keys, 10), sizeText(s.Bytes))
	}
	t.write(p.Stdout, p.outStyle())
	return nil
}

func (p *program) kvExport(c *cli.Context) error {
	args, err := wantArgs(c, 1, 2)
	if err != nil {
		return err
	}
	if err := notEmpty(args[0]); err != nil {
		return err
	}
	if len(args) == 1 || args[1] == "-" {
		return p.client(c).KVExport(c.Context, args[0], p.Stdout)
	}
	return writeWhole(args[1], func(w io.Writer) error { return p.client(c).KVExport(c.Context, args[0], w) })
}

// writeWhole writes a file that appears under its name only when it is complete and on disk.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if err := write(file); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func (p *program) kvImport(c *cli.Context) error {
	args, err := wantArgs(c, 1, 2)
	if err != nil {
		return err
	}
	if err := notEmpty(args[0]); err != nil {
		return err
	}
	source := p.Stdin
	if len(args) == 2 && args[1] != "-" {
		file, err := os.Open(args[1])
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		defer func() { _ = file.Close() }()
		source = file
	}
	entries, err := p.client(c).KVImport(c.Context, args[0], source)
	if err != nil {
		return err
	}
	p.printf("imported %d entries into %s\n", entries, args[0])
	return nil
}
