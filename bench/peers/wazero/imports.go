package main

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"edged.dev/edge/bench/hostabi"
)

// closed stands for the instance of a command, which wazero has closed when it returned.
type closed struct{ api.Module }

// Close does nothing.
func (closed) Close(context.Context) error { return nil }

// imports makes module "edged". Its functions take the stack as it is, which is wazero's fastest way.
func imports(ctx context.Context, runtime wazero.Runtime) error {
	const i32 = api.ValueTypeI32
	type function func(call *hostabi.Call, memory api.Memory, stack []uint64)
	rows := []struct {
		name            string
		params, results int
		call            function
	}{
		{"input_len", 0, 1, func(c *hostabi.Call, _ api.Memory, s []uint64) { s[0] = uint64(len(c.Body)) }},
		{"input_read", 3, 1, func(c *hostabi.Call, m api.Memory, s []uint64) {
			s[0] = result(c.Read(uint32(s[0]), view(m, s[1], s[2])))
		}},
		{"output_write", 2, 1, func(c *hostabi.Call, m api.Memory, s []uint64) { s[0] = result(c.Write(view(m, s[0], s[1]))) }},
		{"output_header", 4, 1, func(c *hostabi.Call, m api.Memory, s []uint64) {
			s[0] = result(c.Header(view(m, s[0], s[1]), view(m, s[2], s[3])))
		}},
		{"meta_get", 4, 1, func(c *hostabi.Call, m api.Memory, s []uint64) {
			s[0] = result(c.Meta(view(m, s[0], s[1]), view(m, s[2], s[3])))
		}},
		{"error", 2, 0, func(c *hostabi.Call, m api.Memory, s []uint64) { c.Fail(view(m, s[0], s[1])) }},
	}
	builder := runtime.NewHostModuleBuilder("edged")
	for _, row := range rows {
		params, results := make([]api.ValueType, row.params), make([]api.ValueType, row.results)
		for i := range params {
			params[i] = i32
		}
		for i := range results {
			results[i] = i32
		}
		call := row.call
		builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			if c, ok := ctx.Value(callKey{}).(*hostabi.Call); ok {
				call(c, m.Memory(), stack)
			}
		}), params, results).Export(row.name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		return fmt.Errorf("make module edged: %w", err)
	}
	return nil
}

func result(code int32) uint64 { return uint64(uint32(code)) }

// view returns a range of the guest's memory; outside of it, an empty one.
func view(m api.Memory, ptr, length uint64) []byte {
	data, _ := m.Read(uint32(ptr), uint32(length))
	return data
}
