package suite

import (
	"strings"
	"testing"
	"time"

	"edged.dev/edge/bench/load"
	"edged.dev/edge/bench/server"
)

func TestTable(t *testing.T) {
	table := table{title: "T", notes: []string{"Why."}, columns: []string{"name", "value:"}}
	table.add("a", "1")
	table.add("longer", "1,000")
	var b strings.Builder
	if err := table.write(&b); err != nil {
		t.Fatal(err)
	}
	want := "### T\n\nWhy.\n\n| name   | value |\n|--------|------:|\n| a      |     1 |\n| longer | 1,000 |\n\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		thousands(0): "0", thousands(999): "999", thousands(1234567.4): "1,234,567", duration(0): "-", duration(1.234): "1.23 us", duration(999): "999 us",
		duration(12_345): "12.3 ms", duration(2_500_000): "2.50 s", percent(.9987): "99.87 %", mebibytes(3 << 19): "1.50 MiB",
		spread(0, 0, 0): "-", spread(1.5, 1, 2): "1.50 (1.00 to 2.00)", signed(-time.Millisecond): "-1.00 ms", signed(2 * time.Second): "+2.00 s",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// samples of two sides in three rounds: 100, 200, 300 answers a second against 50, 200, 100.
func rounds() []*sample {
	var list []*sample
	for side, counts := range map[string][]uint64{"edged": {100, 200, 300}, "peer": {50, 200, 100}} {
		for round, n := range counts {
			tally := &load.Tally{OK: n}
			tally.Latency.Record(time.Millisecond)
			list = append(list, &sample{
				workload: "w", setup: "c=1", side: side, round: round, elapsed: time.Second, tally: tally, requests: n,
				usage: server.Usage{CPU: 10 * time.Millisecond},
			})
		}
	}
	return list
}

func TestRatioIsOfOneRound(t *testing.T) {
	all := rounds()
	mid, low, high := ratio(pick(all, "", "edged", ""), pick(all, "", "peer", ""), (*sample).rate)
	if mid != 2 || low != 1 || high != 3 {
		t.Errorf("%v (%v to %v), want 2 (1 to 3)", mid, low, high)
	}
	if got := median(pick(all, "", "edged", ""), (*sample).cost); got != .5 {
		t.Errorf("%v CPU seconds for 10,000 requests", got)
	}
	if got := median(nil, (*sample).rate); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	text := new(strings.Builder)
	if err := comparison("T", nil, []*side{{name: "edged"}, {name: "peer"}}, all).write(text); err != nil || !strings.Contains(text.String(), "2.00 (1.00 to 3.00)") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestRecordFitsColumns(t *testing.T) {
	if got := rounds()[0].record(); len(got) != len(columns()) {
		t.Errorf("%d values in %d columns", len(got), len(columns()))
	}
}

func TestCSV(t *testing.T) {
	l := &Lab{options: Options{Results: t.TempDir() + "/results"}}
	if err := l.keep(rounds()); err != nil {
		t.Fatal(err)
	}
	one := &table{columns: []string{"a", "b:"}, rows: [][]string{{"1", "2,000"}}}
	for _, name := range []string{"w", "x"} { // w has samples, so its table is not in the file
		if err := l.end(name, []*table{one}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(readText(l.options.Results+"/w.csv"), "\n"); got != 6 {
		t.Errorf("%d lines behind the first for 6 samples", got)
	}
	if got := readText(l.options.Results + "/x.csv"); got != "a,b\n1,\"2,000\"" {
		t.Errorf("%q", got)
	}
}

func TestReadWrk(t *testing.T) {
	const out = `Running 1s test
  Latency Distribution
     50%   92.00us
     75%  110.00us
     90%    1.00ms
     99%    7.64ms
  208530 requests in 2.00s, 21.88MB read
Requests/sec: 104226.76
`
	if got := strings.Join(readWrk(out), " "); got != "104226.76 92.00us 110.00us 1.00ms 7.64ms 208530" {
		t.Error(got)
	}
	if got := strings.Join(readWrk("unable to connect"), " "); got != "- - - - - -" {
		t.Error(got)
	}
}

func TestFib(t *testing.T) {
	for n, want := range map[uint32]uint32{0: 0, 1: 1, 2: 1, 10: 55, 40: 102334155} {
		if got := number(n); got != want {
			t.Errorf("fib(%d) is %d", n, got)
		}
	}
	class := function{"short", 10, time.Second}.class("app")
	if !strings.HasPrefix(string(class.Request), "GET /app/short?10 HTTP/1.1\r\n") || string(class.Expect) != "55" || class.Deadline != time.Second {
		t.Errorf("%+v", class)
	}
}
