package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/admin/admintest"
)

func TestKVCommands(t *testing.T) {
	store := map[string]string{}
	var limits []int
	deps := daemon(t, &admintest.Service{
		KVSetFunc: func(_ context.Context, space string, k, v []byte) error {
			store[space+"/"+string(k)] = string(v)
			return nil
		},
		KVGetFunc: func(_ context.Context, space string, k []byte) ([]byte, error) {
			v, ok := store[space+"/"+string(k)]
			if !ok {
				return nil, &admin.Error{Kind: admin.ErrNotFound, Detail: "no such key"}
			}
			return []byte(v), nil
		},
		KVDeleteFunc: func(_ context.Context, space string, k []byte) (bool, error) {
			_, ok := store[space+"/"+string(k)]
			delete(store, space+"/"+string(k))
			return ok, nil
		},
		KVListFunc: func(_ context.Context, _ string, req admin.ListRequest) (admin.ListPage, error) {
			limits = append(limits, req.Limit)
			var page admin.ListPage
			for n := nextKey(req.After); n < 2500 && len(page.Entries) < req.Limit; n++ {
				page.Entries = append(page.Entries, admin.KeyEntry{Key: fmt.Appendf(nil, "k%05d", n), Bytes: int64(n)})
				page.More = n+1 < 2500
			}
			return page, nil
		},
		KVExportFunc: func(_ context.Context, space string, w io.Writer) error {
			_, err := io.WriteString(w, "dump of "+space)
			if space == "broken" {
				return errors.Join(err, errors.New("damaged value"))
			}
			return err
		},
		KVImportFunc: func(_ context.Context, _ string, r io.Reader) (int64, error) {
			text, err := io.ReadAll(r)
			return int64(len(text)), err
		},
	})
	steps := []struct {
		args string
		code int
		out  string
	}{
		{"kv set s visits 41", 0, ""},
		{"kv set s negative -1", 0, ""},
		{"kv set s piped -", 0, ""},
		{"kv get s visits", 0, "41"},
		{"kv get s negative", 0, "-1"},
		{"kv get s piped", 0, "stdin"},
		{"kv get s visits --json", 0, "{\n  \"space\": \"s\",\n  \"key\": \"dmlzaXRz\",\n  \"value\": \"NDE=\"\n}\n"},
		{"kv rm s visits negative", 0, ""},
		{"kv rm s visits", 1, ""},
		{"kv get s visits", 1, ""},
		{"kv ls s --limit 2", 0, "KEY     BYTES\nk00000  0\nk00001  1\n"},
		{"kv ls s --after k00005 --limit 1", 0, "KEY     BYTES\nk00006  6\n"},
		{"kv ls s --limit 1 --json", 0, "[\n  {\n    \"key\": \"k00000\",\n    \"key_base64\": \"azAwMDAw\",\n    \"bytes\": 0\n  }\n]\n"},
		{"kv export s", 0, "dump of s"},
		{"kv import s", 0, "imported 5 entries into s\n"},
	}
	for _, step := range steps {
		deps := deps
		deps.Stdin = strings.NewReader("stdin")
		if r := run(t, deps, strings.Fields(step.args)...); r.code != step.code || r.out != step.out {
			t.Errorf("%s: %+v, want code %d and %q", step.args, r, step.code, step.out)
		}
	}
	limits = nil
	if r := run(t, deps, "kv", "ls", "s"); strings.Count(r.out, "\n") != 2501 || len(limits) != 3 {
		t.Errorf("all keys: %d lines in pages of %v", strings.Count(r.out, "\n"), limits)
	}
	dir := t.TempDir()
	if r := run(t, deps, "kv", "export", "broken", filepath.Join(dir, "out")); r.code != 1 {
		t.Errorf("broken export: %+v", r)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("a broken export left %v", left)
	}
	if r := run(t, deps, "kv", "export", "s", filepath.Join(dir, "out")); r.code != 0 {
		t.Errorf("export: %+v", r)
	}
	if r := run(t, deps, "kv", "import", "s", filepath.Join(dir, "out")); r.out != "imported 9 entries into s\n" {
		t.Errorf("import: %+v", r)
	}
}

// nextKey is the number behind the key k%05d.
func nextKey(after []byte) int {
	var n int
	if _, err := fmt.Sscanf(string(after), "k%05d", &n); err != nil {
		return 0
	}
	return n + 1
}
