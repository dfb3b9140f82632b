package hostfn_test

import (
	"context"
	"fmt"

	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
)

// greeting is a request without header fields.
type greeting struct{ body string }

func (greeting) Meta(key string) (string, bool)        { return "GET", key == "method" }
func (greeting) Headers(func(name, value string) bool) {}
func (greeting) Origin() any                           { return nil }

func (g greeting) Body() []byte { return []byte(g.body) }

// What the engine does when a guest calls a host function, here with a memory of our own in place of a guest's.
func ExampleEnv() {
	app, err := hostfn.NewApp(hostfn.AppOptions{Name: "hello"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = app.Close() }()
	env := app.NewEnv()
	env.Begin(context.Background(), greeting{body: "hello"})
	memory := make([]byte, 65536)
	for _, f := range hostfn.All() {
		switch f.Name {
		case "input_read":
			stack := []uint64{0, 100, 50} // offset, buf, cap
			fmt.Println(f.Type, f.Call(wasmedge.NewCaller(memory, env), stack), stack[0])
		case "output_write":
			stack := []uint64{100, 5} // ptr, len
			fmt.Println(f.Type, f.Call(wasmedge.NewCaller(memory, env), stack), stack[0])
			stack = []uint64{65535, 5}
			fmt.Println(f.Call(wasmedge.NewCaller(memory, env), stack))
		}
	}
	out := env.Finish(nil)
	fmt.Println(out.Status, string(out.Body), out.Err)
	// Output:
	// (i32, i32, i32) -> i32 <nil> 5
	// (i32, i32) -> i32 <nil> 5
	// edged.output_write: ptr: [0xffff, +5) is outside the guest's memory of 65536 bytes
	// 200 hello <nil>
}

func ExampleDetect() {
	for _, exports := range [][]string{{"_start"}, {"_initialize", "hello"}, {"_initialize"}} {
		abi, err := hostfn.Detect(exports)
		if err != nil {
			fmt.Println("nothing to call")
			continue
		}
		fmt.Println(abi, abi.Command(), hostfn.StartUp(exports, abi))
	}
	// Output:
	// cgi true []
	// edged false [_initialize]
	// nothing to call
}
