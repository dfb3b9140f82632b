module edged.dev/edge/bench

go 1.26.0

replace edged.dev/edge => ../

require (
	edged.dev/edge v0.0.0-00010101000000-000000000000
	github.com/bytecodealliance/wasmtime-go/v37 v37.0.0
	github.com/panjf2000/gnet/v2 v2.9.7
	github.com/second-state/WasmEdge-go v0.14.0
	github.com/tetratelabs/wazero v1.12.0
	go.etcd.io/bbolt v1.5.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/panjf2000/ants/v2 v2.11.3 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	go.uber.org/zap v1.27.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	gopkg.in/natefinch/lumberjack.v2 v2.2.1 // indirect
)
