//go:build !wasip1

package edgedtest

import (
	"slices"

	"edged.dev/edge/sdk/go/internal/abi"
)

// Limits of calls and objects.
const (
	MaxObject = 32 << 20 // bytes of an input or an object
	MaxDepth  = 64       // functions that call each other
	maxWait   = 65536    // objects that one wait names
)

// outcome is what a call ended with, or an object.
type outcome struct {
	code   int32 // below zero: it failed
	status int
	body   []byte // or the text of the error
}

// object is what a handle stands for.
type object struct {
	outcome
	dropped bool
}

// actor is what an actor's number stands for.
type actor struct{ class, key string }

// maxActorKey bounds the key of an actor.
const maxActorKey = 512

// run calls a function of the host and returns what it ended with.
func (c *call) run(function string, input []byte) outcome {
	entry, found := c.host.Functions[function]
	switch {
	case !found:
		return outcome{code: notFound, body: []byte("no function " + function)}
	case len(input) > MaxObject:
		return outcome{code: tooLarge}
	case c.depth >= MaxDepth:
		return outcome{code: limit, body: []byte("functions call each other too deep")}
	}
	request := Request{Method: "POST", Path: "/" + function, Body: append([]byte(nil), input...), Trigger: "call"}
	callee := &call{host: c.host, request: request, meta: c.host.meta(request), response: Response{Status: 200}, depth: c.depth + 1}
	callee.meta["function"] = function
	abi.Within(callee, func() { callee.response.Result = entry() })
	if callee.response.Result != 0 || callee.response.Error != "" {
		return outcome{code: internal, body: []byte(callee.response.Error)}
	}
	return outcome{status: callee.response.Status, body: callee.response.Body}
}

// take makes an outcome the last one and gives as much of it as fits.
func (c *call) take(o outcome, buf []byte) int32 {
	c.last = o
	if o.code < 0 {
		return o.code
	}
	return give(string(o.body), true, buf)
}

func (c *call) Call(function string, input, buf []byte) int32 {
	if c.host.Classes[function] {
		return c.take(outcome{code: invalid, body: []byte("a class of actors takes messages")}, buf)
	}
	return c.take(c.run(function, input), buf)
}

func (c *call) ResultRead(off int32, buf []byte) int32 {
	if off < 0 || int(off) >= len(c.last.body) {
		return 0
	}
	return int32(copy(buf, c.last.body[off:]))
}

// RCall runs the function at once. What it fails with is the object's.
func (c *call) RCall(function string, input []byte) int64 {
	if c.host.Classes[function] {
		return invalid
	}
	return c.start(function, input)
}

func (c *call) start(function string, input []byte) int64 {
	o := c.run(function, input)
	if _, found := c.host.Functions[function]; !found || o.code == tooLarge || o.code == limit {
		c.last = o
		return int64(o.code)
	}
	return c.keep(o)
}

func (c *call) keep(o outcome) int64 {
	c.host.objects = append(c.host.objects, object{outcome: o})
	return int64(len(c.host.objects))
}

func (c *call) RPut(data []byte) int64 {
	if len(data) > MaxObject {
		return tooLarge
	}
	return c.keep(outcome{status: 200, body: append([]byte(nil), data...)})
}

// object returns what a handle stands for; nil when there is nothing.
func (c *call) object(handle int64) *object {
	if handle < 1 || handle > int64(len(c.host.objects)) || c.host.objects[handle-1].dropped {
		return nil
	}
	return &c.host.objects[handle-1]
}

func (c *call) RGet(handle int64, buf []byte, _ int32) int32 {
	o := c.object(handle)
	if o == nil {
		return c.take(outcome{code: notFound}, buf)
	}
	return c.take(o.outcome, buf)
}

func (c *call) RLen(handle int64) int32 {
	o := c.object(handle)
	switch {
	case o == nil:
		return notFound
	case o.code < 0:
		return o.code
	}
	return int32(len(o.body))
}

func (c *call) RWait(handles []int64, want, _ int32, ready []byte) int32 {
	switch {
	case len(handles) > maxWait:
		return limit
	case want < 0 || int(want) > len(handles):
		return invalid
	}
	for i, handle := range handles {
		if c.object(handle) == nil {
			return notFound
		}
		ready[i] = 1
	}
	return int32(len(handles))
}

func (c *call) RCancel(handle int64) int32 {
	if c.object(handle) == nil {
		return notFound
	}
	return 0 // it has ended
}

func (c *call) RDrop(handle int64) int32 {
	o := c.object(handle)
	if o == nil {
		return notFound
	}
	*o = object{dropped: true}
	return 0
}

func (c *call) ActorNew(class, key string) int64 {
	if !c.host.Classes[class] || key == "" || len(key) > maxActorKey {
		return invalid
	}
	wanted := actor{class, key}
	at := slices.Index(c.host.actors, wanted)
	if at < 0 {
		at = len(c.host.actors)
		c.host.actors = append(c.host.actors, wanted)
	}
	return int64(at) + 1
}

// ActorCall runs the message at once.
func (c *call) ActorCall(number int64, function string, input []byte) int64 {
	if number < 1 || number > int64(len(c.host.actors)) {
		return notFound
	}
	if function == "" {
		function = c.host.actors[number-1].class
	}
	return c.start(function, input)
}
