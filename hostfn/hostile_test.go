package hostfn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/wasmedge"
)

func TestEveryFunctionIsDeclaredOnce(t *testing.T) {
	seen := map[string]bool{}
	count := map[string]int{}
	for _, f := range All() {
		full := f.Module + "." + f.Name
		if seen[full] {
			t.Errorf("%s is declared twice", full)
		}
		seen[full] = true
		count[f.Module]++
	}
	wantEq(t, "functions of preview1", count[moduleWASI], 46)
	wantEq(t, "functions of edged", count[moduleEdged], 29)
	wantEq(t, "functions of env", count[moduleEnv], len(waverlessFuncs())+len(faasmFuncs())+len(sledgeFuncs()))
}

func TestTypes(t *testing.T) {
	for name, want := range map[string]string{
		"edged.input_len":                       "() -> i32",
		"edged.error":                           "(i32, i32) -> ()",
		"edged.log":                             "(i32, i32, i32) -> ()",
		"edged.kv_cas":                          "(i32, i32, i32, i32, i32, i32) -> i32",
		"edged.kv_lock":                         "(i32, i32, i32) -> i64",
		"edged.kv_unlock":                       "(i32, i32, i64) -> i32",
		"edged.call":                            "(i32, i32, i32, i32, i32, i32) -> i32",
		"edged.rcall":                           "(i32, i32, i32, i32) -> i64",
		"edged.actor_new":                       "(i32, i32, i32, i32) -> i64",
		"edged.actor_call":                      "(i64, i32, i32, i32, i32) -> i64",
		"edged.rget":                            "(i64, i32, i32, i32) -> i32",
		"edged.rwait":                           "(i32, i32, i32, i32, i32) -> i32",
		moduleWASI + ".proc_exit":               "(i32) -> ()",
		moduleWASI + ".sched_yield":             "() -> i32",
		moduleWASI + ".clock_time_get":          "(i32, i64, i32) -> i32",
		moduleWASI + ".fd_seek":                 "(i32, i64, i32, i32) -> i32",
		moduleWASI + ".fd_readdir":              "(i32, i32, i32, i64, i32) -> i32",
		moduleWASI + ".fd_filestat_set_times":   "(i32, i64, i64, i32) -> i32",
		moduleWASI + ".path_open":               "(i32, i32, i32, i32, i32, i64, i64, i32, i32) -> i32",
		moduleWASI + ".path_filestat_set_times": "(i32, i32, i32, i32, i64, i64, i32) -> i32",
		moduleWASI + ".sock_recv":               "(i32, i32, i32, i32, i32, i32) -> i32",
	} {
		found := false
		for _, f := range All() {
			if f.Module+"."+f.Name == name {
				found = true
				wantEq(t, name, f.Type.String(), want)
			}
		}
		if !found {
			t.Errorf("no %s", name)
		}
	}
}

func TestCallWithoutInvocation(t *testing.T) {
	for _, value := range []any{nil, 1, (*Env)(nil)} {
		f := All()[0]
		err := f.Call(wasmedge.NewCaller(nil, value), make([]uint64, 8))
		if !errors.Is(err, ErrNoInvocation) {
			t.Errorf("value %v: %v", value, err)
		}
	}
}

// TestPointersOutside passes for every pointer argument of every function a range that begins inside and ends outside.
func TestPointersOutside(t *testing.T) {
	const end = 1 << 17
	space := newSpace()
	rows := []struct {
		call string
		args []any
		arg  string // the argument that is outside
	}{
		{"edged.input_read", []any{0, end - 1, 2}, "buf"},
		{"edged.output_write", []any{end - 1, 2}, "ptr"},
		{"edged.output_header", []any{end - 1, 2, 0, 0}, "name"},
		{"edged.output_header", []any{0, 1, end - 1, 2}, "val"},
		{"edged.error", []any{end, 1}, "ptr"},
		{"edged.log", []any{1, end - 1, 2}, "ptr"},
		{"edged.meta_get", []any{end - 1, 2, 0, 0}, "key"},
		{"edged.meta_get", []any{0, 1, end - 1, 2}, "buf"},
		{"edged.config_get", []any{end - 1, 2, 0, 0}, "key"},
		{"edged.config_get", []any{0, 1, end - 1, 2}, "buf"},
		{"edged.secret_get", []any{end - 1, 2, 0, 0}, "key"},
		{"edged.secret_get", []any{0, 1, end - 1, 2}, "buf"},
		{"edged.kv_get", []any{end - 1, 2, 0, 0}, "k"},
		{"edged.kv_get", []any{0, 1, 0xfffffff0, 64}, "buf"},
		{"edged.kv_set", []any{end - 1, 2, 0, 0}, "k"},
		{"edged.kv_set", []any{0, 1, end - 1, 2}, "v"},
		{"edged.kv_delete", []any{end - 1, 2}, "k"},
		{"edged.kv_cas", []any{end - 1, 2, 0, 0, 0, 0}, "k"},
		{"edged.kv_cas", []any{0, 1, end - 1, 2, 0, 0}, "old"},
		{"edged.kv_cas", []any{0, 1, 0, 0, end - 1, 2}, "new"},
		{"edged.kv_scan", []any{end - 1, 2, 0, 0, 0}, "prefix"},
		{"edged.kv_scan", []any{0, 1, end - 15, 0, 0}, "cursor_ptr"},
		{"edged.kv_scan", []any{0, 1, 16, end - 1, 2}, "buf"},
		{"edged.kv_batch", []any{end - 1, 2, 0, 0}, "ops"},
		{"edged.kv_batch", []any{0, 0, end - 1, 2}, "out"},
		{"edged.kv_lock", []any{end - 1, 2, 1}, "k"},
		{"edged.kv_unlock", []any{end - 1, 2, 1}, "k"},
		{"edged.call", []any{end - 1, 2, 0, 0, 0, 0}, "fn"},
		{"edged.call", []any{0, 1, end - 1, 2, 0, 0}, "in"},
		{"edged.call", []any{0, 1, 0, 0, end - 1, 2}, "buf"},
		{"edged.result_read", []any{0, end - 1, 2}, "buf"},
		{"edged.rcall", []any{end - 1, 2, 0, 0}, "fn"},
		{"edged.rcall", []any{0, 1, end - 1, 2}, "in"},
		{"edged.rput", []any{end - 1, 2}, "ptr"},
		{"edged.rget", []any{1, end - 1, 2, 0}, "buf"},
		{"edged.actor_new", []any{end - 1, 2, 0, 1}, "fn"},
		{"edged.actor_new", []any{0, 1, end - 1, 2}, "key"},
		{"edged.actor_call", []any{1, end - 1, 2, 0, 0}, "fn"},
		{"edged.actor_call", []any{1, 0, 1, end - 1, 2}, "in"},
		{"edged.rwait", []any{end - 7, 1, 1, 0, 0}, "handles_ptr"},
		{"edged.rwait", []any{0, 1, 1, 0, end}, "ready_ptr"},
		{"scratch_storage.get_size", []any{end - 1, 2}, "key"},
		{"scratch_storage.get", []any{end - 1, 2, 0, 0}, "key"},
		{"scratch_storage.get", []any{0, 1, end - 1, 2}, "buf"},
		{"scratch_storage.set", []any{end - 1, 2, 0, 0}, "key"},
		{"scratch_storage.set", []any{0, 1, end - 1, 2}, "value"},
		{"scratch_storage.delete", []any{end - 1, 2}, "key"},
		{"scratch_storage.upsert", []any{end - 1, 2, 0, 0}, "key"},
		{"scratch_storage.upsert", []any{0, 1, end - 1, 2}, "value"},
		{"env.kv_set", []any{end - 1, 2, 0, 0}, "k"},
		{"env.kv_set", []any{0, 1, end - 1, 2}, "v"},
		{"env.kv_get_len", []any{end - 1, 2, 0, 0}, "k"},
		{"env.kv_get_len", []any{0, 1, end - 3, 0}, "len_out"},
		{"env.kv_get_len", []any{0, 1, 0, end - 3}, "id_out"},
		{"env.kv_batch_ope", []any{end - 4, 2, 0}, "ops"},
		{"env.kv_batch_ope", []any{0, uint32(1 << 31), 0}, "ops"},
		{"env.kv_batch_ope", []any{0, 1, end - 3}, "id_out"},
		{"env.kv_batch_res", []any{1, end - 4, 2}, "args"},
		{"env.open_file", []any{end - 1, 2, 0}, "name"},
		{"env.open_file", []any{0, 1, end - 3}, "fd_out"},
		{"env.read_file_at", []any{3, end - 1, 2, 0, 0}, "buf"},
		{"env.read_file_at", []any{3, 0, 1, 0, end - 3}, "read_out"},
		{"env.write_result", []any{end - 1, 2}, "ptr"},
		{"ray.get", []any{0, 0, end - 3}, "len"},
		{"ray.put", []any{0, end - 1, 2}, "buf"},
		{"ray.log_write", []any{end - 1, 2}, "ptr"},
		{"env.__faasm_chain_name", []any{end - 1, 0, 0}, "name"},
		{"env.__faasm_chain_ptr", []any{0, end - 1, 2}, "input"},
		{"env.__faasm_await_call_output", []any{1, end - 3, 0}, "output"},
		{"env.__faasm_await_call_output", []any{1, 0, end - 3}, "length"},
		{"env.__faasm_read_input", []any{end - 1, 2}, "buffer"},
		{"env.__faasm_write_output", []any{end - 1, 2}, "output"},
		{"env.__faasm_read_state", []any{end - 1, 0, 0}, "key"},
		{"env.__faasm_read_state", []any{0, end - 1, 2}, "buffer"},
		{"env.__faasm_write_state", []any{end, 0, 0}, "key"},
		{"env.__faasm_write_state", []any{0, end - 1, 2}, "data"},
		{"env.__faasm_read_state_offset", []any{end - 1, 0, 0, 0, 0}, "key"},
		{"env.__faasm_read_state_offset", []any{0, 0, 0, end - 1, 2}, "buffer"},
		{"env.__faasm_write_state_offset", []any{end - 1, 0, 0, 0, 0}, "key"},
		{"env.__faasm_write_state_offset", []any{0, 0, 0, end - 1, 2}, "data"},
		{"env.__faasm_append_state", []any{uint32(0xffffffff), 0, 0}, "key"},
		{"env.__faasm_append_state", []any{0, end - 1, 2}, "data"},
		{"env.__faasm_read_appended_state", []any{end - 1, 0, 0, 0}, "key"},
		{"env.__faasm_read_appended_state", []any{0, end - 1, 2, 0}, "buffer"},
		{"env.__faasm_clear_appended_state", []any{end - 1}, "key"},
		{"env.__faasm_push_state", []any{end - 1}, "key"},
		{"env.__faasm_pull_state", []any{end - 1, 0}, "key"},
		{"env.__faasm_lock_state_read", []any{end - 1}, "key"},
		{"env.__faasm_unlock_state_read", []any{end - 1}, "key"},
		{"env.__faasm_lock_state_write", []any{end - 1}, "key"},
		{"env.__faasm_unlock_state_write", []any{end - 1}, "key"},
		{"wasi_snapshot_preview1.args_get", []any{end - 3, 0}, "argv"},
		{"wasi_snapshot_preview1.args_get", []any{0, end - 1}, "argv_buf"},
		{"wasi_snapshot_preview1.args_sizes_get", []any{end - 3, 0}, "argc"},
		{"wasi_snapshot_preview1.args_sizes_get", []any{0, end - 3}, "argv_buf_size"},
		{"wasi_snapshot_preview1.environ_sizes_get", []any{end - 3, 0}, "environc"},
		{"wasi_snapshot_preview1.environ_sizes_get", []any{0, end - 3}, "environ_buf_size"},
		{"wasi_snapshot_preview1.environ_get", []any{end + 1, 0}, "environ"},
		{"wasi_snapshot_preview1.environ_get", []any{0, end + 1}, "environ_buf"},
		{"wasi_snapshot_preview1.clock_res_get", []any{0, end - 7}, "ptr"},
		{"wasi_snapshot_preview1.clock_time_get", []any{0, 0, end - 7}, "ptr"},
		{"wasi_snapshot_preview1.random_get", []any{end - 1, 2}, "buf"},
		{"wasi_snapshot_preview1.fd_read", []any{0, end - 7, 1, 0}, "iovs"},
		{"wasi_snapshot_preview1.fd_read", []any{0, 0, 1, end - 3}, "nbytes"},
		{"wasi_snapshot_preview1.fd_read", []any{0, 64, 1, 0}, "iovs[].buf"},
		{"wasi_snapshot_preview1.fd_pread", []any{0, end - 7, 1, 0, 0}, "iovs"},
		{"wasi_snapshot_preview1.fd_pread", []any{0, 0, 1, 0, end - 3}, "nbytes"},
		{"wasi_snapshot_preview1.fd_write", []any{1, end - 7, 1, 0}, "iovs"},
		{"wasi_snapshot_preview1.fd_write", []any{1, 0, 1, end - 3}, "nbytes"},
		{"wasi_snapshot_preview1.fd_write", []any{1, 64, 1, 0}, "iovs[].buf"},
		{"wasi_snapshot_preview1.fd_pwrite", []any{1, end - 7, 1, 0, 0}, "iovs"},
		{"wasi_snapshot_preview1.fd_pwrite", []any{1, 0, 1, 0, end - 3}, "nbytes"},
		{"wasi_snapshot_preview1.fd_seek", []any{3, 0, 0, end - 7}, "ptr"},
		{"wasi_snapshot_preview1.fd_tell", []any{3, end - 7}, "ptr"},
		{"wasi_snapshot_preview1.fd_fdstat_get", []any{0, end - 23}, "ptr"},
		{"wasi_snapshot_preview1.fd_filestat_get", []any{0, end - 63}, "ptr"},
		{"wasi_snapshot_preview1.fd_prestat_get", []any{3, end - 7}, "ptr"},
		{"wasi_snapshot_preview1.fd_prestat_dir_name", []any{3, end - 1, 2}, "path"},
		{"wasi_snapshot_preview1.fd_readdir", []any{3, end - 1, 2, 0, 0}, "buf"},
		{"wasi_snapshot_preview1.fd_readdir", []any{3, 0, 0, 0, end - 3}, "ptr"},
		{"wasi_snapshot_preview1.path_open", []any{3, 0, end - 1, 2, 0, 0, 0, 0, 0}, "path"},
		{"wasi_snapshot_preview1.path_open", []any{3, 0, 0, 1, 0, 0, 0, 0, end - 3}, "ptr"},
		{"wasi_snapshot_preview1.path_create_directory", []any{3, end - 1, 2}, "path"},
		{"wasi_snapshot_preview1.path_remove_directory", []any{3, end - 1, 2}, "path"},
		{"wasi_snapshot_preview1.path_unlink_file", []any{3, end - 1, 2}, "path"},
		{"wasi_snapshot_preview1.path_rename", []any{3, end - 1, 2, 3, 0, 1}, "old_path"},
		{"wasi_snapshot_preview1.path_rename", []any{3, 0, 1, 3, end - 1, 2}, "new_path"},
		{"wasi_snapshot_preview1.path_link", []any{3, 0, end - 1, 2, 3, 0, 1}, "old_path"},
		{"wasi_snapshot_preview1.path_link", []any{3, 0, 0, 1, 3, end - 1, 2}, "new_path"},
		{"wasi_snapshot_preview1.path_symlink", []any{end - 1, 2, 3, 0, 1}, "old_path"},
		{"wasi_snapshot_preview1.path_symlink", []any{0, 1, 3, end - 1, 2}, "new_path"},
		{"wasi_snapshot_preview1.path_readlink", []any{3, end - 1, 2, 0, 1, 0}, "path"},
		{"wasi_snapshot_preview1.path_readlink", []any{3, 0, 1, end - 1, 2, 0}, "buf"},
		{"wasi_snapshot_preview1.path_readlink", []any{3, 0, 1, 0, 1, end - 3}, "ptr"},
		{"wasi_snapshot_preview1.path_filestat_get", []any{3, 0, end - 1, 2, 0}, "path"},
		{"wasi_snapshot_preview1.path_filestat_get", []any{3, 0, 0, 1, end - 63}, "ptr"},
		{"wasi_snapshot_preview1.path_filestat_set_times", []any{3, 0, end - 1, 2, 0, 0, 0}, "path"},
		{"wasi_snapshot_preview1.poll_oneoff", []any{end - 47, 0, 1, 0}, "in"},
		{"wasi_snapshot_preview1.poll_oneoff", []any{0, end - 31, 1, 0}, "out"},
		{"wasi_snapshot_preview1.poll_oneoff", []any{0, 0, 1, end - 3}, "nevents"},
	}
	for _, row := range rows {
		t.Run(row.call+"/"+row.arg, func(t *testing.T) {
			g := newGuest(t, AppOptions{ABI: ABICGI, Space: space, Dirs: []Dir{{Guest: "/", Host: t.TempDir()}}})
			g.begin(request{})
			before := bytes.Clone(g.mem)
			_, err := g.try(row.call, row.args...)
			var outside *PointerError
			if !errors.As(err, &outside) {
				t.Fatalf("error = %v, want a pointer error", err)
			}
			wantEq(t, "argument", outside.Arg, row.arg)
			wantEq(t, "function", outside.Func, row.call)
			if !bytes.Equal(before, g.mem) {
				t.Error("memory was written")
			}
		})
	}
	if len(space.values) != 0 {
		t.Error("a call with a bad pointer wrote to the space")
	}
}

func TestPointerErrorText(t *testing.T) {
	g := newGuest(t, AppOptions{Space: newSpace()})
	_, err := g.try("edged.kv_get", 0, 1, 0xfffffff0, 64)
	wantEq(t, "text", fmt.Sprint(err), "edged.kv_get: buf: [0xfffffff0, +64) is outside the guest's memory of 131072 bytes")
}

// boundaries are the values that sums and signs go wrong at.
var boundaries = []uint64{
	0, 1, 2, 3, 4, 8, 16, 48, 64, 255, 1 << 15, 65535, 65536, 65537, 1 << 17, 1<<31 - 1, 1 << 31, 1<<32 - 64, 1<<32 - 1,
	1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1,
}

// hostileEnv is an invocation with everything granted, and a deadline so near that waiting functions come back.
func hostileEnv(tb testing.TB) (*Env, func()) {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "?"), []byte("content"), 0o600); err != nil {
		tb.Fatal(err)
	}
	app, err := NewApp(AppOptions{
		Name: "app", ABI: ABICGI, Space: newSpace(), Config: map[string]string{"?": "v"}, Log: &sink{},
		Dirs: []Dir{{Guest: "/", Host: dir}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	env := app.NewEnv()
	env.Begin(ctx, request{body: "body", headers: []Header{{"Host", "x"}}})
	return env, func() {
		cancel()
		env.Finish(nil)
		if err := app.Close(); err != nil {
			tb.Error(err)
		}
	}
}

// hostileCall runs one function over a memory that lies between guards, and fails when it writes outside of it.
func hostileCall(tb testing.TB, env *Env, f wasmedge.HostFunc, size int, stack []uint64) {
	tb.Helper()
	const margin = 4096
	whole := bytes.Repeat([]byte{guard}, margin+size+margin)
	memory := whole[margin : margin+size : margin+size]
	args := fmt.Sprintf("%#x", stack)
	err := f.Call(wasmedge.NewCaller(memory, env), stack)
	for i, b := range whole {
		if b != guard && (i < margin || i >= margin+size) {
			tb.Fatalf("%s(%s) wrote at %d, outside its memory of %d bytes", f.Name, args, i-margin, size)
		}
	}
	if env.mem != nil {
		tb.Fatalf("%s kept the guest's memory", f.Name)
	}
	var outside *PointerError
	var exited *wasmedge.ExitError
	var ended *endedError
	switch {
	case err == nil, errors.As(err, &outside), errors.As(err, &exited), errors.As(err, &ended), errors.Is(err, context.DeadlineExceeded):
	default:
		tb.Fatalf("%s(%s): %v", f.Name, args, err)
	}
	if err == nil && len(f.Type.Results) == 1 && f.Type.Results[0] == wasmedge.I32 && stack[0] > 1<<32-1 {
		tb.Fatalf("%s(%s): result %#x is no i32", f.Name, args, stack[0])
	}
}

func TestHostileStacks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, f := range All() {
		t.Run(f.Module+"."+f.Name, func(t *testing.T) {
			env, done := hostileEnv(t)
			defer done()
			slots := max(len(f.Type.Params), len(f.Type.Results))
			for _, size := range []int{0, 65536} {
				for range 300 {
					stack := make([]uint64, slots)
					for i := range stack {
						switch random.IntN(3) {
						case 0:
							stack[i] = boundaries[random.IntN(len(boundaries))]
						case 1:
							stack[i] = random.Uint64N(70000)
						default:
							stack[i] = random.Uint64N(80)
						}
					}
					hostileCall(t, env, f, size, stack)
				}
			}
		})
	}
}

func FuzzHostileStacks(f *testing.F) {
	all := All()
	f.Add(byte(0), []byte("?????????"), uint64(0), uint64(1), uint64(2), uint64(3), uint64(4), uint64(5), uint64(6), uint64(7), uint64(8))
	f.Add(byte(40), []byte("/../.."), uint64(3), uint64(0), uint64(6), uint64(1<<32-1), uint64(1<<63), uint64(64), uint64(0), uint64(0), uint64(32))
	f.Fuzz(func(t *testing.T, which byte, content []byte, a0, a1, a2, a3, a4, a5, a6, a7, a8 uint64) {
		fn := all[int(which)%len(all)]
		if strings.HasPrefix(fn.Name, "path_symlink") && len(content) > 4096 {
			return
		}
		env, done := hostileEnv(t)
		defer done()
		stack := []uint64{a0, a1, a2, a3, a4, a5, a6, a7, a8}[:max(len(fn.Type.Params), len(fn.Type.Results))]
		const margin = 512
		whole := bytes.Repeat([]byte{guard}, margin+65536+margin)
		memory := whole[margin : margin+65536 : margin+65536]
		copy(memory, content)
		_ = fn.Call(wasmedge.NewCaller(memory, env), stack)
		for i := range margin {
			if whole[i] != guard || whole[margin+65536+i] != guard {
				t.Fatalf("%s wrote outside its memory", fn.Name)
			}
		}
	})
}
