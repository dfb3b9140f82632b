package engines

import (
	"context"
	"errors"

	"edged.dev/edge/bench/hostabi"
	"edged.dev/edge/bench/inprocess/contest"
	pooling "edged.dev/edge/bench/wasmtime"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
)

// body is a request that has nothing but a body.
type body struct{ bytes []byte }

func (*body) Meta(string) (string, bool)            { return "", false }
func (*body) Headers(func(name, value string) bool) {}
func (*body) Origin() any                           { return nil }
func (b *body) Body() []byte                        { return b.bytes }

var _ hostfn.Request = (*body)(nil)

// invocation runs exports of an instance with the daemon's host functions.
type invocation struct {
	env     *hostfn.Env
	thread  *wasmedge.Thread
	request body
}

// enter calls an export once, as one invocation. request is nil for a start-up.
func (v *invocation) enter(instance *wasmedge.Instance, name string, typ wasmedge.FuncType, request hostfn.Request) ([]byte, error) {
	fn, err := instance.Func(name, typ)
	if err != nil {
		return nil, err
	}
	var stack [1]uint64
	v.env.Begin(context.Background(), request)
	out := v.env.Finish(v.thread.Call(instance, fn, v.env, stack[:]))
	return out.Body, out.Err
}

// startUp calls the export that a reactor has for it, where it has one.
func (v *invocation) startUp(instance *wasmedge.Instance) error {
	_, err := v.enter(instance, "_initialize", wasmedge.FuncType{}, nil)
	if errors.Is(err, wasmedge.ErrNoEntry) {
		return nil
	}
	return err
}

// daemonGuest starts the guest up with the daemon's host functions and hands an instance that is in its template's state to
// serve, on the guest thread.
func daemonGuest(setup Setup, serve func(v *invocation, instance *wasmedge.Instance) error) error {
	e, err := openEdged(setup, hostfn.All())
	if err != nil {
		return err
	}
	app, err := hostfn.NewApp(hostfn.AppOptions{Name: "bench"})
	if err != nil {
		return err
	}
	defer func() { _ = app.Close() }() // it grants no directories
	return e.on(func(t *wasmedge.Thread) error {
		v := &invocation{env: app.NewEnv(), thread: t}
		template, err := e.template(t, v.startUp)
		if err != nil {
			return err
		}
		instance, err := t.InstantiateFrom(template)
		if err != nil {
			return err
		}
		return serve(v, instance)
	})
}

// edgedDaemon is edgedReset with the daemon's own host functions and all they keep for a request.
func edgedDaemon(setup Setup, serve func(contest.Perform) error) error {
	return daemonGuest(setup, func(v *invocation, instance *wasmedge.Instance) error {
		x := newExchange()
		v.request.bytes = x.request[:]
		return serve(x.fresh(func() error {
			answer, err := v.enter(instance, "handle", handleType, &v.request)
			if err != nil {
				return err
			}
			x.take(answer)
			return instance.Reset()
		}))
	})
}

// edgedGo runs the stock Go guest of testdata/gohello as a reactor, put back to its template after every request. As the daemon
// does, it lets the guest renew before each request what must not be the same twice.
func edgedGo(setup Setup, serve func(contest.Perform) error) error {
	return daemonGuest(setup, func(v *invocation, instance *wasmedge.Instance) error {
		hello := newGreeting()
		v.request.bytes = hello.request
		return serve(hello.fresh(func() error {
			if _, err := v.enter(instance, "edged_restore", wasmedge.FuncType{}, nil); err != nil {
				return err
			}
			answer, err := v.enter(instance, "hello", handleType, &v.request)
			hello.answer = append(hello.answer[:0], answer...)
			return errors.Join(err, instance.Reset())
		}))
	})
}

// residentBytes is how much of a memory wasmtime's pool clears by copying instead of giving it back to the kernel: more than
// the guest has, which was fastest.
const residentBytes = 1 << 20

// wasmtimePooling makes an instance from wasmtime's pooling allocator for every request, from Go and back in one crossing.
func wasmtimePooling(setup Setup, serve func(contest.Perform) error) error {
	text, err := readGuest(setup)
	if err != nil {
		return err
	}
	host, err := pooling.New(text, pooling.Options{Resident: residentBytes})
	if err != nil {
		return err
	}
	x := newExchange()
	var call hostabi.Call
	target := []byte("/handle")
	return serve(x.fresh(func() error {
		call.Reset(target, x.request[:])
		if err := host.Run(&call); err != nil {
			return err
		}
		x.take(call.Out)
		return nil
	}))
}
