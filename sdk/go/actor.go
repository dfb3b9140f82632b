package edged

import "edged.dev/edge/sdk/go/internal/abi"

// Actor is an instance with state: of a class, a function with `actor: true` in the manifest, there is one for each key. Its
// variables stay from message to message, and it works on one message at a time, in the order in which they came. Its number means
// the same to every function of the app.
//
// A program that exports edged_save and edged_load has its actors' state kept over restarts and new versions:
//
//	//go:wasmexport edged_save
//	func save() { edged.Output().Write(state) } // after every message
//
//	//go:wasmexport edged_load
//	func load() { state = edged.Input() } // in a new instance, before its first message
type Actor int64

// ActorOf returns the actor of a class and a key, which is made for its first message. [ErrInvalid] when there is no such class, or
// the key has not 1 to 512 bytes; [ErrLimit].
func ActorOf(class, key string) (Actor, error) {
	a := abi.ActorNew(class, key)
	return Actor(max(a, 0)), check(a, "actor", class)
}

// Send sends a message: function, one of the app's, "" for the class itself, runs in the actor's instance with the input. It does not
// wait for the answer: the object is like that of [Start]. [ErrLimit] when too many messages wait for the actor.
func (a Actor) Send(function string, input []byte) (Object, error) {
	h := abi.ActorCall(int64(a), function, input)
	return Object(max(h, 0)), withText(check(h, "send", function))
}
