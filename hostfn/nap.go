package hostfn

// Napper is a [Core] on which an invocation can be woken together with getting a core again, by whoever has what it waits for: one
// wake-up of its thread in place of two. A context that a [Caller] is given may be one.
type Napper interface {
	// Nap begins a nap, after Leave and in place of Return, and returns its number; 0: it cannot be had here.
	Nap() uint64
	// Rouse ends the nap of that number; later calls do nothing. Any goroutine may call it; it does not block.
	Rouse(nap uint64)
	// Sleep waits, on the guest's thread, until the nap has been ended and the invocation has a core again.
	Sleep(nap uint64)
}

var _ Napper = (*patient)(nil)

// Nap implements Napper.
func (p *patient) Nap() uint64 {
	if core, ok := p.core.(Napper); ok && p.state.Load() == patientAway {
		return core.Nap()
	}
	return 0
}

// Rouse implements Napper.
func (p *patient) Rouse(nap uint64) { p.core.(Napper).Rouse(nap) } //nolint:forcetypeassert // Nap has given a number

// Sleep implements Napper.
func (p *patient) Sleep(nap uint64) {
	p.core.(Napper).Sleep(nap) //nolint:forcetypeassert // as in Rouse
	p.state.Store(patientHere)
}
