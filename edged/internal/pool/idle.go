package pool

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxIdle bounds the instances that an app keeps between requests besides one a core, so that one app cannot hold all
// linear memories.
const maxIdle = 64

// idleTime is how long idle instances are kept when nothing asks for them: then half go, then half of the rest.
const idleTime = 10 * time.Second

// idle are the instances of an app that wait to be used again. The one that was used last on a core lies on that core's
// shelf: the caches there know it, and it is taken and put without a lock. Others are in a list. Its methods may be called
// from any goroutine; an instance belongs to who has taken it.
type idle struct {
	shelves []shelf
	watched atomic.Bool // the janitor is about
	touched atomic.Bool // an instance was put or taken since the janitor came last
	listed  atomic.Int64

	mu   sync.Mutex
	list []*cell // guarded by mu; the one put last is the last
}

// shelf is a place for one instance. Each has a cache line of its own.
type shelf struct {
	cell atomic.Pointer[cell]
	_    [56]byte
}

// init makes a shelf for each processor.
func (i *idle) init() { i.shelves = make([]shelf, runtime.NumCPU()) }

// touch notes that the instances are in use. It writes only when that is news: many cores read the flag.
func (i *idle) touch() {
	if !i.touched.Load() {
		i.touched.Store(true)
	}
}

// take returns an instance for that core, nil when there is none.
func (i *idle) take(core int) *cell {
	if c := i.shelves[core%len(i.shelves)].cell.Swap(nil); c != nil {
		i.touch()
		return c
	}
	if c := i.pop(); c != nil {
		i.touch()
		return c
	}
	for n := range i.shelves {
		if at := &i.shelves[n].cell; at.Load() != nil { // a swap would take the line from its core for nothing
			if c := at.Swap(nil); c != nil {
				i.touch()
				return c
			}
		}
	}
	return nil
}

// pop takes from the list.
func (i *idle) pop() *cell {
	if i.listed.Load() == 0 {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	last := len(i.list) - 1
	if last < 0 {
		return nil
	}
	return i.remove(last)
}

// remove takes number n out of the list. Called with mu held.
func (i *idle) remove(n int) *cell {
	c := i.list[n]
	i.list = slices.Delete(i.list, n, n+1)
	i.listed.Store(int64(len(i.list)))
	return c
}

// put keeps an instance that was used on that core at that moment; false when there are enough.
func (i *idle) put(core int, c *cell, now int64) bool {
	c.used.Store(now)
	if !i.shelves[core%len(i.shelves)].cell.CompareAndSwap(nil, c) && !i.push(c) {
		return false
	}
	i.touch()
	if !i.watched.Load() && i.watched.CompareAndSwap(false, true) {
		time.AfterFunc(idleTime, i.clean)
	}
	return true
}

func (i *idle) push(c *cell) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.list) >= maxIdle {
		return false
	}
	i.list = append(i.list, c)
	i.listed.Store(int64(len(i.list)))
	return true
}

// size returns how many there are.
func (i *idle) size() int {
	n := int(i.listed.Load())
	for s := range i.shelves {
		if i.shelves[s].cell.Load() != nil {
			n++
		}
	}
	return n
}

// drop closes the instances of every program but current.
func (i *idle) drop(current *Program) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list = slices.DeleteFunc(i.list, func(c *cell) bool {
		if c.program == current {
			return false
		}
		c.close()
		return true
	})
	i.listed.Store(int64(len(i.list)))
	for s := range i.shelves {
		at := &i.shelves[s].cell
		if c := at.Load(); c != nil && c.program != current && at.CompareAndSwap(c, nil) {
			c.close()
		}
	}
}

// oldest returns when the instance that was used longest ago was; never when there is none.
func (i *idle) oldest() int64 {
	at := int64(never)
	for s := range i.shelves {
		if c := i.shelves[s].cell.Load(); c != nil {
			at = min(at, c.used.Load())
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range i.list {
		at = min(at, c.used.Load())
	}
	return at
}

// evict closes an instance that was used at that moment or before; false when there is none any more.
func (i *idle) evict(moment int64) bool {
	c := i.before(moment)
	if c == nil {
		return false
	}
	c.close()
	return true
}

// before takes out an instance that was used at that moment or before.
func (i *idle) before(moment int64) *cell {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n := slices.IndexFunc(i.list, func(c *cell) bool { return c.used.Load() <= moment }); n >= 0 {
		return i.remove(n)
	}
	for s := range i.shelves {
		at := &i.shelves[s].cell
		if c := at.Load(); c != nil && c.used.Load() <= moment && at.CompareAndSwap(c, nil) {
			return c
		}
	}
	return nil
}

// clean is the janitor: it closes half of the instances, and all of them in the end, when none was used for a while.
func (i *idle) clean() {
	if !i.touched.Swap(false) {
		size := i.size()
		for range size - size/2 {
			if !i.evict(i.oldest()) {
				break
			}
		}
	}
	if i.size() == 0 {
		i.watched.Store(false)
		// One that was put away just now found the janitor still about.
		if i.size() == 0 || !i.watched.CompareAndSwap(false, true) {
			return
		}
	}
	time.AfterFunc(idleTime, i.clean)
}
