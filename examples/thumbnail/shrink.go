package main

import (
	"image"
	"image/color"
	"image/draw"
)

// shrink returns the picture at the given width with its proportions kept, or as it is when it is not wider. Each new
// pixel is the mean of the pixels it covers, so fine patterns turn grey instead of flickering; pixels at the border of
// two are counted to the one that holds their middle, which is enough for a thumbnail.
func shrink(picture image.Image, width int) image.Image {
	size := picture.Bounds().Size()
	if size.X <= width {
		return picture
	}
	height := max(1, (size.Y*width+size.X/2)/size.X)
	// One conversion up front: reading pixels through the image.Image interface allocates for each.
	source := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(source, source.Bounds(), picture, picture.Bounds().Min, draw.Src)
	result := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		rows := span{y * size.Y / height, (y + 1) * size.Y / height}
		for x := range width {
			columns := span{x * size.X / width, (x + 1) * size.X / width}
			result.SetRGBA(x, y, mean(source, columns, rows))
		}
	}
	return result
}

// span is a half-open range of pixels.
type span struct{ from, to int }

// mean returns the average colour of a rectangle. RGBA is premultiplied, so transparent pixels weigh in as they should.
// Spans are never empty: a picture only gets smaller in both directions.
func mean(source *image.RGBA, columns, rows span) color.RGBA {
	var sum [4]int
	for y := rows.from; y < rows.to; y++ {
		line := source.Pix[y*source.Stride+4*columns.from : y*source.Stride+4*columns.to]
		for i, v := range line {
			sum[i&3] += int(v)
		}
	}
	n := (columns.to - columns.from) * (rows.to - rows.from)
	return color.RGBA{
		R: rounded(sum[0], n), G: rounded(sum[1], n), B: rounded(sum[2], n), A: rounded(sum[3], n),
	}
}

// rounded returns sum / n to the nearest; both are such that the result is at most 255.
func rounded(sum, n int) uint8 { return uint8((sum + n/2) / n) }
