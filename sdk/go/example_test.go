package edged_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	edged "edged.dev/edge/sdk/go"
	"edged.dev/edge/sdk/go/edgedtest"
)

// A function and a native test of it.
func Example() {
	greet := func() error {
		_, err := fmt.Fprintln(edged.Output(), "hello,", edged.Request().Query("name"))
		return err
	}
	// On edged this is an exported function: //go:wasmexport hello
	hello := func() int32 { return edged.Run(greet) }

	got := edgedtest.New().Call(edgedtest.Request{Path: "/app/hello", RawQuery: "name=Ada"}, hello)
	fmt.Print(got.Status, " ", string(got.Body))
	// Output: 200 hello, Ada
}

// Count visits: Update reads, changes and writes with compare-and-set until nobody is faster.
func ExampleStore_Update() {
	host := edgedtest.New()
	visit := func() int32 {
		return edged.Run(func() error {
			return edged.KV.Update("visits", func(old []byte) ([]byte, error) {
				n := uint64(0)
				if old != nil {
					n = binary.LittleEndian.Uint64(old)
				}
				return binary.LittleEndian.AppendUint64(nil, n+1), nil
			})
		})
	}
	for range 3 {
		host.Call(edgedtest.Request{}, visit)
	}
	fmt.Println(binary.LittleEndian.Uint64(host.KV["visits"]))
	// Output: 3
}

// Take an item from stock and place an order, both or neither.
func ExampleStore_Batch() {
	host := edgedtest.New()
	host.KV["stock"] = []byte("1")
	order := func() int32 {
		return edged.Run(func() error {
			_, err := edged.KV.Batch(
				edged.OpCAS("stock", []byte("1"), []byte("0")),
				edged.OpSet("order/17", []byte("one item")),
			)
			if errors.Is(err, edged.ErrConflict) {
				return errors.New("sold out")
			}
			return err
		})
	}
	fmt.Println(host.Call(edgedtest.Request{}, order).Status)
	second := host.Call(edgedtest.Request{}, order)
	fmt.Println(second.Status, second.Error)
	// Output:
	// 200
	// 500 sold out
}

// Walk over keys with a prefix.
func ExampleStore_Scan() {
	host := edgedtest.New()
	host.KV["user/ada"], host.KV["user/grace"], host.KV["version"] = []byte("1815"), []byte("1906"), []byte("1")
	got := host.Call(edgedtest.Request{}, func() int32 {
		return edged.Run(func() error {
			var names []string
			for pair, err := range edged.KV.Scan("user/") {
				if err != nil {
					return err
				}
				names = append(names, pair.Key[len("user/"):])
			}
			_, err := fmt.Fprint(edged.Output(), slices.Sorted(slices.Values(names)))
			return err
		})
	})
	fmt.Println(string(got.Body))
	// Output: [ada grace]
}
