package hostfn

// actorNew names an actor, which comes into being with its first message.
//
// Parameters: fn, fl, its class: a function of the same app that the manifest calls an actor; key, kl, which one of the class: 1 to
// 512 bytes.
// Result: its number, above 0, the same for the same class and key while the daemon runs; NotFound: no such function; Invalid: the
// function is no actor, or the key's length; Limit. It does not block.
func actorNew(e *Env, p []uint64) (Result, error) {
	class, err := e.bytes("fn", p[0], p[1])
	if err != nil {
		return 0, err
	}
	key, err := e.bytes("key", p[2], p[3])
	if err != nil {
		return 0, err
	}
	starter := e.starter()
	switch {
	case starter == nil:
		return Denied, nil
	case len(class) > maxTarget:
		return NotFound, nil
	}
	actors, ok := starter.(Actors)
	if !ok {
		return Unsupported, nil
	}
	actor, err := actors.Actor(string(class), key)
	if err != nil {
		return e.refused(err), nil
	}
	return Result(actor), nil
}

// actorCall sends a message to an actor and does not wait for it. An actor takes one message after the other, in the order in
// which they were sent.
//
// Parameters: a, the actor's number; fn, fl, the function to call: "" for the class itself, or another function of the same app;
// in, il, the message.
// Result: the number of the answer, above 0; errors as rcall's, and Limit when the actor's mailbox is full. It does not block.
func actorCall(e *Env, p []uint64) (Result, error) {
	name, err := e.bytes("fn", p[1], p[2])
	if err != nil {
		return 0, err
	}
	input, err := e.bytes("in", p[3], p[4])
	if err != nil {
		return 0, err
	}
	if p[0] == 0 {
		return NotFound, nil
	}
	object, result := e.start(Call{Actor: int64(p[0])}, name, input)
	if result < 0 {
		return result, nil
	}
	return Result(object), nil
}
