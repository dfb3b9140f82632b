package httptrigger_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"edged.dev/edge/edged/internal/router"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
)

func ExampleServer() {
	table, err := router.Build([]router.Entry{{App: "t", Function: "hi", Target: target{"hi", nil}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	var r router.Router
	r.Swap(table)
	s := httptrigger.New(httptrigger.Options{Addr: "127.0.0.1:0", Router: &r, Submitter: inline{}})
	ctx := context.Background()
	if err := s.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	res, err := http.Get("http://" + s.Addr().String() + "/t/hi")
	if err != nil {
		fmt.Println(err)
		return
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	fmt.Println(res.Status, string(body))
	fmt.Println(s.Close(ctx))
	// Output:
	// 200 OK hello
	// <nil>
}
