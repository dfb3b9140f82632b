package pool

import (
	"sync/atomic"

	"edged.dev/edge/wasmedge"
)

// Program is what there is to run of an app.
type Program struct {
	Module *wasmedge.Module
	// StartUp are the exports to call once in a fresh instance, all of type () -> (), the start function first.
	StartUp []string
	// Entries are the types of the functions' entries by export name: () -> () or () -> i32, or with (i32, i32) as parameters.
	Entries map[string]wasmedge.FuncType
	// Resettable says that memory and globals are all the state of an instance, so that it can start from a template and be
	// reset to it. Otherwise every request gets an instance that has been started the long way.
	Resettable bool
	// Globals are the export names of all mutable globals.
	Globals []string
	// Restore is an export of type () -> () to call whenever an instance has been put into the template's state: there the
	// guest renews what must not be the same twice, such as random seeds. Empty when it has none.
	Restore string

	template atomic.Pointer[wasmedge.Template] // nil until the first instance has been started
	bytes    atomic.Int64                      // of linear memory that a new instance has; 0 until one has been made
}

// close gives the module and the template up.
func (p *Program) close() {
	if template := p.template.Load(); template != nil {
		template.Close()
	}
	p.Module.Close()
}

// capture makes the template of an instance that has just been started, unless there is one.
func (p *Program) capture(instance *wasmedge.Instance) error {
	if !p.Resettable || p.template.Load() != nil {
		return nil
	}
	template, err := instance.Capture(p.Globals)
	if err != nil {
		return err
	}
	if !p.template.CompareAndSwap(nil, template) {
		template.Close()
	}
	return nil
}
