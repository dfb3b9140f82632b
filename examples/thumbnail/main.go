// Command thumbnail scales a picture: PNG or JPEG in the request's body, the same format, smaller, in the answer's.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"strconv"

	edged "edged.dev/edge/sdk/go"
)

// Limits. maxPixels keeps a decoded picture (4 bytes a pixel) far below limits.memory in edged.yaml: a file of a few
// kilobytes can claim to be gigapixels.
const (
	defaultWidth = 128
	maxWidth     = 2048
	maxPixels    = 16 << 20
	jpegQuality  = 85
)

// requestError is an answer for the client, in contrast to a failure of the function.
type requestError struct {
	status int
	reason string
}

// Error returns the reason.
func (e *requestError) Error() string { return e.reason }

//go:wasmexport scale
func scale() int32 { return edged.Run(thumbnail) }

func thumbnail() error {
	out, format, err := convert(edged.Input(), edged.Request().Query("w"))
	var bad *requestError
	if errors.As(err, &bad) {
		return answer(bad.status, "text/plain; charset=utf-8", []byte(bad.reason+"\n"))
	}
	if err != nil {
		return err
	}
	return answer(200, "image/"+format, out)
}

// answer writes the whole response.
func answer(status int, contentType string, body []byte) error {
	if err := edged.Status(status); err != nil {
		return err
	}
	if err := edged.Header("Content-Type", contentType); err != nil {
		return err
	}
	_, err := edged.Output().Write(body)
	return err
}

// convert decodes, scales to the width and encodes. It never makes a picture larger.
func convert(in []byte, widthText string) (out []byte, format string, err error) {
	width := defaultWidth
	if widthText != "" {
		if width, err = strconv.Atoi(widthText); err != nil || width < 1 || width > maxWidth {
			return nil, "", &requestError{400, fmt.Sprintf("w is %q; it must be a number from 1 to %d", widthText, maxWidth)}
		}
	}
	config, format, err := image.DecodeConfig(bytes.NewReader(in))
	if err != nil {
		return nil, "", &requestError{415, "the body is not a PNG or JPEG picture: " + err.Error()}
	}
	if int64(config.Width)*int64(config.Height) > maxPixels {
		return nil, "", &requestError{413, fmt.Sprintf("%d x %d is more than %d pixels", config.Width, config.Height, maxPixels)}
	}
	picture, _, err := image.Decode(bytes.NewReader(in))
	if err != nil {
		return nil, "", &requestError{415, "the picture is damaged: " + err.Error()}
	}
	var encoded bytes.Buffer
	if err := encode(&encoded, format, shrink(picture, width)); err != nil {
		return nil, "", fmt.Errorf("encode %s: %w", format, err)
	}
	return encoded.Bytes(), format, nil
}

func encode(to *bytes.Buffer, format string, picture image.Image) error {
	if format == "jpeg" {
		return jpeg.Encode(to, picture, &jpeg.Options{Quality: jpegQuality})
	}
	return png.Encode(to, picture)
}

func main() {} // never called; the Go linker wants it
