package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// readerC prints the file that its last argument names.
const readerC = `#include <stdio.h>
int main(int argc, char **argv)
{
	char line[64];
	FILE *in = fopen(argv[argc - 1], "r");
	if (in == NULL)
		return 4;
	while (fgets(line, sizeof line, in) != NULL)
		fputs(line, stdout);
	return fclose(in);
}
`

// TestRunFolders runs a C and a Go program with folders under the names that were given, the example of the help first.
func TestRunFolders(t *testing.T) {
	programs := map[string]string{
		"C":  testutil.BuildC(t, readerC),
		"Go": testutil.BuildGo(t, filepath.Join("testdata", "reader"), false),
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("data", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("data", "in.csv"), []byte("a,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for language, program := range programs {
		for _, args := range []string{
			"--dir ./data -- --verbose data/in.csv",
			"--dir data -- /data/in.csv",
			"--dir . -- data/in.csv",
			"--dir data:/in -- in/in.csv",
			"--dir " + dir + " -- " + dir + "/data/in.csv",
		} {
			t.Run(language+" "+strings.ReplaceAll(args, dir, "DIR"), func(t *testing.T) {
				got := edged(t, nil, append([]string{"run", program}, strings.Fields(args)...)...)
				if got.code != 0 || got.stdout != "a,b\n" {
					t.Errorf("%+v", got)
				}
			})
		}
		if got := edged(t, nil, "run", program, "--dir", "data:/other", "--", "data/in.csv"); got.code != 1 || got.stdout != "" {
			t.Errorf("%s: a folder under another name: %+v", language, got)
		}
	}
}

// TestRunWaitsNoLongerThanToldTo ends a program whose standard input never does.
func TestRunWaitsNoLongerThanToldTo(t *testing.T) {
	program := testutil.BuildC(t, readerC)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	defer read.Close()
	if got := edged(t, read, "run", program, "--timeout", "100ms"); got.code != 1 || !strings.Contains(got.stderr, "timed out after 100ms") {
		t.Errorf("%+v", got)
	}
}
