// Package examples_test builds every example as its README says, deploys it to a real daemon and calls it over TCP and
// over the Unix socket.
package examples_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// deploy builds and deploys an example on the shared daemon.
func deploy(t *testing.T, name string) *daemon {
	t.Helper()
	path := build(t, name)
	d := theDaemon(t)
	d.run(t, "deploy", path)
	return d
}

// exchange is a request with the answer it must get.
type exchange struct {
	name, method, target, body string
	status                     int
	want                       string // the whole body
}

// check sends the exchanges over both transports.
func check(t *testing.T, d *daemon, exchanges []exchange) {
	t.Helper()
	for _, tr := range d.transports(t) {
		for _, e := range exchanges {
			t.Run(tr.name+"/"+e.name, func(t *testing.T) {
				got := tr.must(t, e.method, e.target, []byte(e.body))
				if got.status != e.status || string(got.body) != e.want {
					t.Errorf("%s %s: status %d, body %q; want %d, %q", e.method, e.target, got.status, got.body, e.status, e.want)
				}
			})
		}
	}
}

func TestHello(t *testing.T) {
	check(t, deploy(t, "hello"), []exchange{
		{"plain", "GET", "/hello", "", 200, "hello, world\n"},
		{"query", "GET", "/hello?name=Ada+L.%20%26%20co", "", 200, "hello, Ada L. & co\n"},
		{"empty query", "GET", "/hello?name=", "", 200, "hello, world\n"},
		{"body", "POST", "/hello", "Grace", 200, "hello, Grace\n"},
		{"utf-8", "POST", "/hello", "Žofie", 200, "hello, Žofie\n"},
		{"large", "POST", "/hello", strings.Repeat("x", 100_000), 200, "hello, " + strings.Repeat("x", 100_000) + "\n"},
	})
}

func TestHelloGo(t *testing.T) {
	check(t, deploy(t, "hello-go"), []exchange{
		{"plain", "GET", "/hello-go/hello", "", 200, "hello, world, from Go\n"},
		{"query", "GET", "/hello-go/hello?name=Ada%20L.", "", 200, "hello, Ada L., from Go\n"},
	})
}

func TestCGI(t *testing.T) {
	d := deploy(t, "cgi")
	check(t, d, []exchange{
		{"upper", "POST", "/cgi/upper", "straße", 200, strings.ToUpper("straße")},
		{"not found", "GET", "/cgi/nothing", "", 404, "404 page not found\n"},
		{
			"request", "GET", "/cgi/request?a=1&b=%20", "", 200,
			"method GET\npath /request\nquery a=1&b=%20\nagent Go-http-client/1.1\n",
		},
	})
	for _, tr := range d.transports(t) {
		got := tr.must(t, http.MethodGet, "/cgi/", nil)
		if got.status != 200 || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: index: status %d, headers %v, body %q", tr.name, got.status, got.header, got.body)
		}
	}
}

// TestCounter adds from many clients at once: with a lost update the sum is too small, with one done twice too large.
func TestCounter(t *testing.T) {
	const clients, adds = 8, 25
	d := deploy(t, "counter")
	var group sync.WaitGroup
	for i, tr := range d.transports(t) {
		for range clients / 2 {
			group.Go(func() {
				for range adds {
					got, err := tr.call(t.Context(), http.MethodPost, fmt.Sprintf("/counter/add?by=%d", i+1), nil)
					if err != nil || got.status != 200 {
						t.Errorf("add over %s: status %d, body %q, %v", tr.name, got.status, got.body, err)
						return
					}
				}
			})
		}
	}
	group.Wait()
	want := strconv.Itoa(clients/2*adds*(1+2)) + "\n"
	check(t, d, []exchange{
		{"sum", "GET", "/counter/value", "", 200, want},
		{"another name", "GET", "/counter/value?name=other", "", 200, "0\n"},
		{"not a number", "POST", "/counter/add?by=many", "", 400, "by is not a whole number\n"},
	})
	for _, tr := range d.transports(t) {
		if got := tr.must(t, http.MethodGet, "/counter/add", nil); got.status != http.StatusMethodNotAllowed {
			t.Errorf("GET of add over %s: status %d, want 405", tr.name, got.status)
		}
	}
	if got := d.run(t, "kv", "get", "counter", "counter/default"); strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("edged kv get: %q, want %q", got, want)
	}
}

func TestThumbnail(t *testing.T) {
	d := deploy(t, "thumbnail")
	picture := image.NewNRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			picture.SetNRGBA(x, y, color.NRGBA{R: uint8(x * 255 / 639), G: uint8(y * 255 / 479), B: 90, A: 255})
		}
	}
	var asPNG, asJPEG bytes.Buffer
	if err := png.Encode(&asPNG, picture); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&asJPEG, picture, nil); err != nil {
		t.Fatal(err)
	}
	for _, tr := range d.transports(t) {
		for format, body := range map[string][]byte{"png": asPNG.Bytes(), "jpeg": asJPEG.Bytes()} {
			t.Run(tr.name+"/"+format, func(t *testing.T) {
				checkThumbnail(t, tr.must(t, http.MethodPost, "/thumbnail?w=64", body), format)
			})
		}
		t.Run(tr.name+"/no picture", func(t *testing.T) {
			if got := tr.must(t, http.MethodPost, "/thumbnail", []byte("text")); got.status != 415 {
				t.Errorf("status %d, body %q; want 415", got.status, got.body)
			}
		})
	}
}

// checkThumbnail decodes the answer and compares it with the gradient it was made from.
func checkThumbnail(t *testing.T, got reply, format string) {
	t.Helper()
	if got.status != 200 || got.header.Get("Content-Type") != "image/"+format {
		t.Fatalf("status %d, headers %v, body %.200q", got.status, got.header, got.body)
	}
	small, decoded, err := image.Decode(bytes.NewReader(got.body))
	if err != nil || decoded != format || small.Bounds().Size() != image.Pt(64, 48) {
		t.Fatalf("decoded %q %v, %v; want a %s of 64 x 48", decoded, small.Bounds(), err, format)
	}
	tolerance := 2 // of 255: the source's numbers are rounded down
	if format == "jpeg" {
		tolerance = 16 // it is encoded twice, with colours at half the resolution
	}
	for y := range 48 {
		for x := range 64 {
			c := color.NRGBAModel.Convert(small.At(x, y)).(color.NRGBA)
			want := [3]int{(10*x + 5) * 255 / 639, (10*y + 5) * 255 / 479, 90}
			for i, v := range [3]uint8{c.R, c.G, c.B} {
				if off := int(v) - want[i]; off < -tolerance || off > tolerance {
					t.Fatalf("pixel %d,%d is %v, want about %v", x, y, c, want)
				}
			}
		}
	}
}

func TestWordCount(t *testing.T) {
	d := deploy(t, "word_count")
	const text = "The cat saw the CAT.\r\ncaf\u00e9 \u2014 caf\u00e9!\nthe end"
	const want = "caf 2\ncat 2\nend 1\nsaw 1\nthe 3\n"
	for _, tr := range d.transports(t) {
		if got := tr.must(t, http.MethodPost, "/word_count/split_file?wait=graph", []byte(text)); got.status != 200 || string(got.body) != "1 slices\n" {
			t.Errorf("split over %s: status %d, body %q", tr.name, got.status, got.body)
		}
		if got := tr.must(t, http.MethodGet, "/word_count/result", nil); got.status != 200 || string(got.body) != want {
			t.Errorf("result over %s: status %d, body %q; want %q", tr.name, got.status, got.body, want)
		}
	}
}

func TestLongChain(t *testing.T) {
	d := deploy(t, "longchain")
	for i, tr := range d.transports(t) {
		run := fmt.Sprintf("run=r%d", i)
		if got := tr.must(t, http.MethodGet, "/longchain/end?"+run, nil); string(got.body) != "not yet\n" {
			t.Errorf("before over %s: %q", tr.name, got.body)
		}
		if got := tr.must(t, http.MethodPost, "/longchain/start?wait=graph&"+run, nil); got.status != 200 {
			t.Errorf("start over %s: status %d, body %q", tr.name, got.status, got.body)
		}
		if got := tr.must(t, http.MethodGet, "/longchain/end?"+run, nil); string(got.body) != "100\n" {
			t.Errorf("end over %s: %q, want 100", tr.name, got.body)
		}
	}
}
