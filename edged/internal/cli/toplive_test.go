package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/admin/admintest"
	"edged.dev/edge/edged/internal/invoke"
)

// fakeScreen is a terminal whose user and size the test plays.
type fakeScreen struct {
	keys   *io.PipeReader
	typed  *io.PipeWriter
	frames chan string // one for each Write
	width  chan int    // capacity 1: holds the width
	gone   chan error  // what the next Write fails with
}

func newFakeScreen(width int) *fakeScreen {
	f := &fakeScreen{frames: make(chan string), width: make(chan int, 1), gone: make(chan error, 1)}
	f.keys, f.typed = io.Pipe()
	f.width <- width
	return f
}

func (f *fakeScreen) Read(p []byte) (int, error) { return f.keys.Read(p) }
func (f *fakeScreen) Interrupt()                 { _ = f.keys.CloseWithError(os.ErrDeadlineExceeded) }
func (f *fakeScreen) Write(p []byte) (int, error) {
	select {
	case err := <-f.gone:
		return 0, err
	case f.frames <- string(p):
		return len(p), nil
	}
}

func (f *fakeScreen) Size() (width, height int, err error) {
	width = <-f.width
	f.width <- width
	return width, 14, nil
}

// resize changes the width.
func (f *fakeScreen) resize(width int) {
	<-f.width
	f.width <- width
}

// liveTest is a running live table.
type liveTest struct {
	*fakeScreen
	t       *testing.T
	ticks   chan time.Time
	looks   chan time.Time
	answers chan snapshot // what the daemon answers, one for each fetch
	ended   chan error
	cancel  context.CancelFunc
}

func startLive(t *testing.T, first admin.Top) *liveTest {
	t.Helper()
	l := &liveTest{
		fakeScreen: newFakeScreen(100), t: t, ticks: make(chan time.Time), looks: make(chan time.Time), answers: make(chan snapshot),
		ended: make(chan error, 1),
	}
	live := topLive{
		screen: l.fakeScreen, ticks: l.ticks, looks: l.looks, view: topView{order: byCPU}, last: first, sample: newTopSample(nil, &first),
		fetch: func(ctx context.Context) (admin.Top, error) {
			select {
			case s := <-l.answers:
				return s.top, s.err
			case <-ctx.Done():
				return admin.Top{}, ctx.Err()
			}
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	go func() { l.ended <- live.run(ctx) }()
	t.Cleanup(cancel)
	return l
}

// frame returns the next frame as its lines.
func (l *liveTest) frame() []string {
	l.t.Helper()
	var text string
	select {
	case text = <-l.frames:
	case err := <-l.ended:
		l.t.Fatalf("ended with %v instead of drawing", err)
	}
	inner, begins := strings.CutPrefix(text, cursorHome)
	inner, ends := strings.CutSuffix(inner, clearRest+clearBelow)
	if !begins || !ends {
		l.t.Fatalf("frame %q", text)
	}
	return strings.Split(inner, clearRest+"\r\n")
}

// want draws the next frame and looks for texts in it, in order.
func (l *liveTest) want(texts ...string) {
	l.t.Helper()
	frame := strings.Join(l.frame(), "\n")
	rest := frame
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			l.t.Fatalf("no %q in order in:\n%s", text, frame)
		}
		rest = after
	}
}

func (l *liveTest) press(keys string) {
	l.t.Helper()
	if _, err := io.WriteString(l.typed, keys); err != nil {
		l.t.Fatal(err)
	}
}

// sample lets the table take a sample.
func (l *liveTest) sample(top admin.Top, err error) {
	l.ticks <- time.Time{}
	l.answers <- snapshot{top, err}
}

func (l *liveTest) wantEnd() {
	l.t.Helper()
	select {
	case err := <-l.ended:
		if err != nil {
			l.t.Errorf("ended with %v", err)
		}
	case frame := <-l.frames:
		l.t.Errorf("drew instead of ending: %q", frame)
	}
}

func TestTopLive(t *testing.T) {
	before, now := topPair()
	l := startLive(t, before)
	l.want("requests -/s", "hello/hi")
	l.sample(now, nil)
	l.want("requests 41.2k/s", "resize/thumb", "hello/hi", "again/f")
	l.press("n")
	l.want("again/f", "hello/hi", "resize/thumb")
	l.press("r")
	l.want("hello/hi", "again/f", "resize/thumb")
	l.press("p")
	l.want("resize/thumb", "hello/hi", "again/f")
	l.looks <- time.Time{} // nothing has changed: the next frame is that of the key
	l.press("n")
	l.want("again/f", "hello/hi", "resize/thumb")
	l.press("p")
	l.want("resize/thumb", "hello/hi", "again/f")
	l.resize(40)
	l.looks <- time.Time{}
	if frame := l.frame(); len(frame) != 14 || slices.ContainsFunc(frame, func(line string) bool { return len([]rune(line)) > 40 }) {
		t.Errorf("after resizing: %q", frame)
	}
	l.resize(100)
	l.looks <- time.Time{}
	l.want("resize/thumb")
	l.sample(admin.Top{}, admin.ErrUnreachable)
	l.want("resize/thumb", "no answer since", "cannot reach the daemon")
	later := now
	later.Uptime += time.Second
	l.sample(later, nil)
	l.want("requests 0/s", "q quit")
	l.press("c\x1b[Bq")
	l.wantEnd()
}

func TestTopLiveScrolls(t *testing.T) {
	top := admin.Top{Started: time.Unix(1, 0)}
	for i := range 50 {
		top.Functions = append(top.Functions, admin.FunctionLoad{App: "a", Function: invoke.FunctionName(fmt.Sprintf("f%02d", i))})
	}
	l := startLive(t, top)
	l.want("FUNCTION", "a/f00", "1-7 of 50")
	for _, step := range []struct{ key, first, shown string }{
		{"\x1b[B", "a/f01", "2-8 of 50"},
		{"j", "a/f02", "3-9 of 50"},
		{"\x1b[A", "a/f01", "2-8 of 50"},
		{"kkkkkk", "a/f00", "1-7 of 50"},
		{"\x1b[6~", "a/f07", "8-14 of 50"},
		{"\x1b[5~", "a/f00", "1-7 of 50"},
		{"G", "a/f43", "44-50 of 50"},
		{" ", "a/f43", "44-50 of 50"},
		{"\x1b[H", "a/f00", "1-7 of 50"},
	} {
		l.press(step.key)
		l.want("FUNCTION", step.first, step.shown)
	}
	l.press("q")
	l.wantEnd()
}

func TestTopLiveEnds(t *testing.T) {
	before, _ := topPair()
	cases := map[string]func(*liveTest){
		"ctrl-C":                 func(l *liveTest) { l.press("\x03") },
		"interrupted":            func(l *liveTest) { l.cancel() },
		"terminal closed":        func(l *liveTest) { _ = l.typed.Close() },
		"interrupted in a fetch": func(l *liveTest) { l.ticks <- time.Time{}; l.cancel() },
		"quit in a fetch":        func(l *liveTest) { l.ticks <- time.Time{}; l.press("q") },
	}
	for name, end := range cases {
		t.Run(name, func(t *testing.T) {
			l := startLive(t, before)
			l.frame()
			end(l)
			l.wantEnd()
		})
	}
	t.Run("terminal cannot be written to", func(t *testing.T) {
		l := startLive(t, before)
		l.frame()
		l.gone <- unix.EIO
		l.press("n")
		if err := <-l.ended; !errors.Is(err, unix.EIO) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestParseKeys(t *testing.T) {
	cases := []struct {
		sent string
		want []topKey
		rest string
	}{
		{"", nil, ""},
		{"q", []topKey{keyQuit}, ""},
		{"xyz", nil, ""},
		{"rpcn", []topKey{keyRate, keyP99, keyCPU, keyName}, ""},
		{"\x1b[A\x1b[B\x1b[5~\x1b[6~", []topKey{keyUp, keyDown, keyPageUp, keyPageDown}, ""},
		{"\x1bOA\x1bOq", []topKey{keyUp}, ""},
		{"\x1b[1;5c", nil, ""}, // ctrl with a key that is not ours: no "c"
		{"\x1b", nil, "\x1b"},
		{"\x1b[", nil, "\x1b["},
		{"n\x1b[5", []topKey{keyName}, "\x1b[5"},
		{"\x1bq", []topKey{keyQuit}, ""},
		{"\x1b[12\x03", []topKey{keyQuit}, ""},
		{"\x1b[" + strings.Repeat("1", 40), nil, ""},
		{"é\xff", nil, ""},
	}
	for _, tc := range cases {
		t.Run(fmt.Sprintf("%q", tc.sent), func(t *testing.T) {
			got, rest := parseKeys([]byte(tc.sent))
			if !slices.Equal(got, tc.want) || string(rest) != tc.rest {
				t.Errorf("got %v, rest %q, want %v, rest %q", got, rest, tc.want, tc.rest)
			}
		})
	}
}

// FuzzParseKeys sends the same bytes whole and one at a time: what comes in parts must mean the same.
func FuzzParseKeys(f *testing.F) {
	for _, known := range topKeys {
		f.Add([]byte(known.sent))
	}
	f.Add([]byte("\x1b[1;5A\x1bOq\x03\x1b[99\x1b"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		whole, rest := parseKeys(slices.Clone(sent))
		if len(rest) >= longestSequence {
			t.Fatalf("%d bytes are kept", len(rest))
		}
		var parts []topKey
		var pending []byte
		for _, b := range sent {
			var pressed []topKey
			pressed, pending = parseKeys(append(pending, b))
			parts = append(parts, pressed...)
		}
		if longest := len(sent); longest < longestSequence && !slices.Equal(whole, parts) {
			t.Errorf("%q: whole %v, in parts %v", sent, whole, parts)
		}
	})
}

// openPTY returns the end of a pseudo terminal that a user would sit at, and the path of the other.
func openPTY(t *testing.T, width, height int) (master *os.File, path string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("this machine has no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	var failed error
	if err := raw.Control(func(fd uintptr) {
		number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		failed = errors.Join(failed, unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0),
			unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)}))
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return master, fmt.Sprintf("/dev/pts/%d", number)
}

// termios returns the settings of the terminal at path.
func termios(t *testing.T, path string) unix.Termios {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	settings, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *settings
}

func TestTTYIsLeftAsItWas(t *testing.T) {
	master, path := openPTY(t, 97, 31)
	keep, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0) // as a shell has it: the settings stay
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keep.Close() }()
	before := termios(t, path)
	screen, err := openTTY(path)
	if err != nil {
		t.Fatal(err)
	}
	if during := termios(t, path); during.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG) != 0 {
		t.Errorf("not raw: %#x", during.Lflag)
	}
	if width, height, err := screen.Size(); err != nil || width != 97 || height != 31 {
		t.Errorf("size %dx%d, %v", width, height, err)
	}
	keys := make(chan []topKey)
	go readKeys(t.Context(), screen, keys)
	if _, err := master.WriteString("n\x1b[A\x03"); err != nil {
		t.Fatal(err)
	}
	var pressed []topKey
	for len(pressed) < 3 {
		pressed = append(pressed, <-keys...)
	}
	if !slices.Equal(pressed, []topKey{keyName, keyUp, keyQuit}) {
		t.Errorf("pressed %v", pressed)
	}
	screen.Interrupt()
	if _, ok := <-keys; ok {
		t.Error("a key after the interruption")
	}
	if _, err := io.WriteString(screen, "frame"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := screen.Close(); err != nil {
			t.Error(err)
		}
	}
	if after := termios(t, path); after != before {
		t.Errorf("settings %+v, before %+v", after, before)
	}
	want := enterScreen + "frame" + leaveScreen
	got := make([]byte, len(want))
	if _, err := io.ReadFull(master, got); err != nil || string(got) != want {
		t.Errorf("the terminal got %q, %v", got, err)
	}
}

func TestTTYThatIsNone(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, t.TempDir() + "/none"} {
		if screen, err := openTTY(path); err == nil {
			t.Errorf("%s was taken for a terminal", path)
			_ = screen.Close()
		}
	}
}

func TestTopOnceAndJSON(t *testing.T) {
	before, now := topPair()
	snapshots := []admin.Top{before, now}
	asked := 0
	deps := daemon(t, &admintest.Service{TopFunc: func(context.Context) (admin.Top, error) {
		asked++
		return snapshots[(asked-1)%2], nil
	}})
	for name, args := range map[string][]string{
		"once":       {"top", "--once", "--interval", "100ms", "--sort", "name"},
		"a pipe":     {"top", "--interval", "100ms", "--sort", "name"},
		"once, JSON": {"top", "--once", "--interval", "100ms", "--json"},
	} {
		got := run(t, deps, args...)
		if got.code != 0 || got.errOut != "" || strings.Contains(got.out, "\x1b") {
			t.Errorf("%s: %+v", name, got)
		}
		if strings.Contains(name, "JSON") {
			if strings.Count(got.out, "\n") != 1 || !strings.HasPrefix(got.out, `{"time":"2026-01-02T03:01:02Z","interval_ns":2000000000,"node":"edge-7"`) {
				t.Errorf("%s: %s", name, got.out)
			}
		} else if !strings.Contains(got.out, "requests 41.2k/s") || strings.Contains(got.out, "q quit") {
			t.Errorf("%s: %s", name, got.out)
		}
	}
}

func TestTopJSONGoesOnUntilInterrupted(t *testing.T) {
	before, now := topPair()
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	deps := daemon(t, &admintest.Service{TopFunc: func(context.Context) (admin.Top, error) {
		asked++
		if asked > 4 {
			cancel()
		}
		if asked%2 == 1 {
			return before, nil
		}
		return now, nil
	}})
	got := runContext(ctx, deps, "top", "--json", "--interval", "100ms")
	if got.code != 0 || got.errOut != "" || strings.Count(got.out, "\n") < 3 {
		t.Errorf("%+v", got)
	}
}

func TestTopRefuses(t *testing.T) {
	deps := daemon(t, &admintest.Service{})
	for args, want := range map[string]string{
		"top --interval 10ms":  "shorter than 100ms",
		"top --interval soon":  "interval",
		"top --sort latency":   `--sort "latency" is not one of cpu, rate, p99, name`,
		"top --sort p9":        `did you mean "p99"?`,
		"top extra":            `does not take "extra"`,
		"top --intervall 100s": `did you mean "--interval"?`,
	} {
		if got := run(t, deps, strings.Fields(args)...); got.code != 2 || !strings.Contains(got.errOut, want) {
			t.Errorf("%s: %+v", args, got)
		}
	}
	if got := run(t, deps, "top", "--once"); got.code != 1 || !strings.Contains(got.errOut, "not supported") {
		t.Errorf("a daemon that cannot: %+v", got)
	}
}
