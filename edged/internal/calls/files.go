package calls

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// files keeps objects in a folder, one a file, written by a goroutine of its own.
type files struct {
	dir     string
	written func(*object, error)
	work    sync.WaitGroup

	mu     sync.Mutex
	ready  *sync.Cond // on mu
	queue  []order    // guarded by mu
	closed bool       // guarded by mu
}

// order is an object to be written, or with a nil object a file to be removed.
type order struct {
	object *object
	id     int64
	body   []byte
}

// openFiles makes the folder, or empties it: nobody knows the numbers of what an earlier process has left there.
func openFiles(dir string, written func(*object, error)) (*files, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("empty the folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	f := &files{dir: dir, written: written}
	f.ready = sync.NewCond(&f.mu)
	f.work.Go(f.run)
	return f, nil
}

func (f *files) path(id int64) string { return filepath.Join(f.dir, strconv.FormatInt(id, 10)) }

// put has an object written; f.written is called then. It does not block.
func (f *files) put(o *object, body []byte) { f.order(order{object: o, id: o.id, body: body}) }

// remove has a file removed, after what was asked for before. It does not block.
func (f *files) remove(id int64) { f.order(order{id: id}) }

func (f *files) order(one order) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, one)
	f.ready.Signal()
}

// write writes an object now. Nobody reads a file after a crash, so it is not synced.
func (f *files) write(id int64, body []byte) error { return os.WriteFile(f.path(id), body, 0o600) }

func (f *files) read(id int64) ([]byte, error) { return os.ReadFile(f.path(id)) }

func (f *files) run() {
	for {
		f.mu.Lock()
		for len(f.queue) == 0 && !f.closed {
			f.ready.Wait()
		}
		list := f.queue
		f.queue = nil
		f.mu.Unlock()
		if list == nil {
			return
		}
		for _, one := range list {
			if one.object == nil {
				_ = os.Remove(f.path(one.id)) // what is left goes at the next start
				continue
			}
			f.written(one.object, f.write(one.id, one.body))
		}
	}
}

// close ends the goroutine and removes what is left.
func (f *files) close() error {
	f.mu.Lock()
	f.closed = true
	f.queue = nil
	f.ready.Signal()
	f.mu.Unlock()
	f.work.Wait()
	return os.RemoveAll(f.dir)
}
