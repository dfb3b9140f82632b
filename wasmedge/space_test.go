//go:build cgo

package wasmedge

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// exhaustArgument makes the test binary instantiate a module after it has used up its address space.
const exhaustArgument = "exhaust-address-space"

// TestNoAddressSpace: without its reservation a linear memory would have a null base, and its guest would read this
// process. It runs in a process of its own, which has nothing left to live on afterwards.
func TestNoAddressSpace(t *testing.T) {
	if os.Getenv("EDGED_TEST_EMULATOR") != "" {
		t.Skip("the emulator itself needs memory for each page of address space that is mapped")
	}
	for _, pages := range []int{0, 1} {
		t.Run(fmt.Sprintf("pages=%d", pages), func(t *testing.T) {
			dir := t.TempDir()
			keeper, guest := filepath.Join(dir, "keeper.so"), filepath.Join(dir, "guest.so")
			a := &assembled{
				types: []FuncType{{[]ValType{I32}, []ValType{I32}}}, pages: pages,
				funcs: []assembledFunc{{"load", 0, []byte{0, opLocalGet, 0, 0x28, 2, 0, opEnd}}},
			}
			for path, module := range map[string][]byte{keeper: KeeperModule(), guest: a.bytes()} {
				if err := compile(module, path, 2); err != nil {
					t.Fatal(err)
				}
			}
			self, err := itself()
			if err != nil {
				t.Fatal(err)
			}
			output, err := exec.Command(self[0], append(self[1:], exhaustArgument, keeper, guest)...).CombinedOutput()
			if err != nil || !strings.Contains(string(output), "no address space left") {
				t.Errorf("%v: %s", err, output)
			}
		})
	}
}

// exhaust is the child process of TestNoAddressSpace; it prints how instantiating ended.
func exhaust(keeper, guest string) error {
	engine, err := Open(Options{Keeper: keeper})
	if err != nil {
		return err
	}
	module, err := engine.Load(guest, ModuleOptions{MemoryExport: "memory"})
	if err != nil {
		return err
	}
	done := make(chan error)
	err = engine.Go(func(thread *Thread) {
		const reservation = 12 << 30
		for size := uintptr(1) << 46; size >= reservation/2; {
			if _, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE); err != nil {
				size /= 2
			}
		}
		instance, err := thread.Instantiate(module)
		if err == nil {
			err = fmt.Errorf("instantiated with %d bytes", len(instance.Memory()))
		}
		done <- err
	})
	if err != nil {
		return err
	}
	fmt.Println(<-done)
	return nil
}
