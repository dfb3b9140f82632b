package main

import (
	"bytes"
	"image"
	"image/color"
	"testing"

	"edged.dev/edge/sdk/go/edgedtest"
)

// striped is red with alpha on the left half, blue on the right.
func striped(width, height int) image.Image {
	picture := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			if x < width/2 {
				picture.SetNRGBA(x, y, color.NRGBA{R: 200, A: 128})
			} else {
				picture.SetNRGBA(x, y, color.NRGBA{B: 100, A: 255})
			}
		}
	}
	return picture
}

func encoded(t *testing.T, picture image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := encode(&out, "png", picture); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestThumbnail(t *testing.T) {
	big := striped(640, 480)
	huge := encoded(t, image.NewGray(image.Rect(0, 0, 1<<15, 1<<10)))
	var asJPEG bytes.Buffer
	if err := encode(&asJPEG, "jpeg", big); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		body   []byte
		query  string
		status int
		kind   string
		size   image.Point
	}{
		{"width zero", encoded(t, big), "w=0", 400, "", image.Point{}},
		{"width too large", encoded(t, big), "w=2049", 400, "", image.Point{}},
		{"width not a number", encoded(t, big), "w=ten", 400, "", image.Point{}},
		{"too many pixels", huge, "w=64", 413, "", image.Point{}},
		{"no picture", []byte("GIF89a is not supported"), "w=64", 415, "", image.Point{}},
		{"no body", nil, "w=64", 415, "", image.Point{}},
		{"cut off", encoded(t, big)[:200], "w=64", 415, "", image.Point{}},
	}
	host := edgedtest.New()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := host.Call(edgedtest.Request{Method: "POST", RawQuery: test.query, Body: test.body}, scale)
			if got.Status != test.status {
				t.Fatalf("status %d, error %q, body %.80q; want status %d", got.Status, got.Error, got.Body, test.status)
			}
			if test.status != 200 {
				return
			}
			if kind := got.Header("Content-Type"); kind != test.kind {
				t.Errorf("content type %q, want %q", kind, test.kind)
			}
			picture, _, err := image.Decode(bytes.NewReader(got.Body))
			if err != nil {
				t.Fatal(err)
			}
			if size := picture.Bounds().Size(); size != test.size {
				t.Errorf("size %v, want %v", size, test.size)
			}
		})
	}
}

func TestShrinkKeepsColours(t *testing.T) {
	small := shrink(striped(400, 100), 4)
	want := []color.NRGBA{{R: 199, A: 128}, {R: 199, A: 128}, {B: 100, A: 255}, {B: 100, A: 255}}
	for x, c := range want {
		if got := color.NRGBAModel.Convert(small.At(x, 0)); got != c {
			t.Errorf("pixel %d is %v, want %v", x, got, c)
		}
	}
}

func TestShrinkAverages(t *testing.T) {
	board := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range board.Pix {
		if (i+i/64)%2 == 0 {
			board.Pix[i] = 255
		}
	}
	got := color.GrayModel.Convert(shrink(board, 8).At(3, 3)).(color.Gray)
	if got.Y < 127 || got.Y > 128 {
		t.Errorf("a chessboard shrinks to grey %d, want 127 or 128", got.Y)
	}
}
