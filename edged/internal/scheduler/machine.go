package scheduler

import (
	"slices"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// effects is what the machine does to the world. None of it calls the machine back.
type effects interface {
	wake(w *worker)
	pin(w *worker)
	park(w, successor *worker) bool
	poke(w *worker)
	resume(w *worker)
	needThread()
}

// machine is the whole policy as a state machine: it is told what happens and when, and says what is to be done. It knows
// no clock, no lock and no goroutine.
type machine struct {
	options    Options
	do         effects
	cores      []*core
	tenants    map[invoke.AppName]*tenant
	keeping    []*tenant // those with kept tasks
	free       []*task   // to be used again
	seq        uint64
	maxThreads int

	live    int // tasks admitted and not ended
	waiting int // of these, not begun
	bound   int // of these, bound to a thread
	active  int // apps with live tasks
	recent  int // apps with live tasks recently, as of counted
	counted time.Duration
	refused time.Duration // when something was last refused for what had been promised
	load    float64       // sum of the densities of live tasks
	threads int           // alive
	making  int           // threads that are being made
	spares  int           // threads in the spares of all cores
	least   int           // the fewest spares since surplus was last ended
	drained bool          // nothing is admitted any more but inner ones
	dropped bool          // nor those
	pace    time.Duration // something waits for what time brings about: tick is to be called after that; 0: nothing does
	closed  bool          // threads without a task end
}

func newMachine(o Options, do effects) *machine {
	m := &machine{options: o, do: do, tenants: make(map[invoke.AppName]*tenant), maxThreads: o.Cores * o.MaxThreads}
	for id := range o.Cores {
		c := &core{id: id}
		if id < len(o.Loops) {
			c.loop = o.Loops[id]
		}
		m.cores = append(m.cores, c)
	}
	return m
}

// arrive admits an invocation and queues it, or says why not.
func (m *machine) arrive(now time.Duration, a *arrival) *refusal {
	a.expectation()
	t := m.newTask(now, a)
	c, no := m.admit(now, t)
	if no != nil {
		m.recycle(t)
		return no
	}
	m.enter(t)
	m.waiting++
	m.enqueue(now, c, t)
	return nil
}

// newTask makes a task of an arrival. The tenant does not count it yet.
func (m *machine) newTask(now time.Duration, a *arrival) *task {
	var t *task
	if last := len(m.free) - 1; last >= 0 {
		t, m.free = m.free[last], m.free[:last]
	} else {
		t = new(task)
	}
	m.seq++
	*t = task{arrival: *a, tenant: m.tenant(a.app), seq: m.seq, joined: now}
	switch {
	case a.relative > 0:
		t.due, t.declared = a.arrived+a.relative, true
	case a.known:
		t.due = m.softDue(now, t.tenant, t.expect)
	default:
		t.due = m.softDue(now, t.tenant, t.expect) + unknownSlack
	}
	if since := a.awaited; since > 0 && a.relative == 0 && now-since < inherit {
		t.due = min(t.due, since+softFloor)
	}
	if a.deadline > 0 && a.deadline < t.due {
		t.due, t.declared = a.deadline, true
	}
	if a.known {
		t.density = float64(t.cost()) / float64(m.within(t, now))
	}
	m.order(t)
	return t
}

// within is how long the caller waits for the answer at most, for the sum of densities. By earliest deadline first, promises
// are kept by the exact test (see fits): by their densities more would be refused than must be.
func (m *machine) within(t *task, now time.Duration) time.Duration {
	if t.declared && m.options.Policy != EDF {
		return max(t.due-now, 1)
	}
	return max(t.timeout, t.deadline-now, leastPatience)
}

func (m *machine) recycle(t *task) {
	*t = task{}
	m.free = append(m.free, t)
}

// order sets the task's place among those that wait.
func (m *machine) order(t *task) {
	switch m.options.Policy {
	case EDF:
		t.key = t.due
	case FIFO:
		t.key = t.joined
	case SJF:
		t.key = t.left()
	}
}

// enqueue puts a task into a core's order and sees to it that it is run in time.
func (m *machine) enqueue(now time.Duration, c *core, t *task) {
	t.core = c
	m.order(t)
	if c.tasks.len() == 0 {
		c.standing = now
	}
	c.tasks.insert(t)
	if c.idle() {
		m.dispatch(now, c, 0)
		return
	}
	m.watch(now, c)
	if c.tasks.first() == t {
		m.interrupt(now, c)
	}
}

// settle accounts for the running task of a core, and finds out whether it has become long.
func (m *machine) settle(now time.Duration, c *core) {
	c.settle(now)
	t := c.running
	if t == nil || t.long || m.options.Preempt == Off || m.options.Policy == FIFO {
		return
	}
	if t.used >= t.budget() {
		m.lengthen(t)
	}
}

func (m *machine) lengthen(t *task) {
	t.long = true
	t.turn = t.used
}

// choose returns which task a core runs next: of its own queue, or when that is empty of the core with the most work, if
// that has worth of it at least. It takes nothing out, but keeps back what may not begin.
func (m *machine) choose(c *core, worth time.Duration) *task {
	if t := m.first(c); t != nil {
		return t
	}
	for {
		victim := m.victim(c, worth)
		if victim == nil {
			return nil
		}
		if t := m.first(victim); t != nil {
			return t
		}
	}
}

// first returns the task of a core whose turn it is.
func (m *machine) first(c *core) *task {
	for !c.long.owed(m.share()) {
		t := c.tasks.first()
		if t == nil {
			break
		}
		if t.state != ready || m.mayBegin(t) {
			return t
		}
		m.keep(c, t)
	}
	return c.long.next()
}

// take takes a task out of the queue where it waits, for core c.
func (m *machine) take(now time.Duration, c *core, t *task) {
	from := t.core
	if t.long {
		if c.long.owed(m.share()) {
			c.long.shielded = now + m.share()
		}
		from.long.remove(t)
	} else {
		from.tasks.remove(t)
	}
	if from != c {
		c.counted.Steals++
		t.core = c
		if t.state == returning {
			from.blocked--
			c.blocked++
		}
	}
}

// begin gives a core to a task.
func (m *machine) begin(now time.Duration, c *core, t *task) {
	t.state, t.since = running, now
	c.running, c.holder = t, t.worker
	t.worker.role = holding
	if c.waiting() {
		m.watch(now, c)
		m.spread(now, c)
	}
}

// bind binds a new task to the worker that is to run it.
func (m *machine) bind(t *task, w *worker) {
	t.worker, w.task = w, t
	m.waiting--
	m.bound++
}

// grant lets a task go on that is bound to a thread, on a core that nobody has.
func (m *machine) grant(now time.Duration, c *core, t *task) {
	w, was := t.worker, t.state
	m.move(w, c)
	t.tenant.off--
	if was == returning {
		t.tenant.blocked--
		c.blocked--
	}
	m.begin(now, c, t)
	t.since += m.options.WakeCost // only then it runs
	if was == parked {
		c.counted.Resumes++
		m.do.resume(w)
	} else {
		m.do.wake(w)
	}
}

// next is asked by a worker that has its core and no task: it returns the task to run, or nil when the worker is to wait.
func (m *machine) next(now time.Duration, w *worker) *task {
	c := w.core
	t := m.choose(c, 0)
	if t == nil {
		c.holder = nil
		m.rest(now, w)
		return nil
	}
	m.take(now, c, t)
	if t.worker == nil {
		m.bind(t, w)
		m.begin(now, c, t)
		return t
	}
	m.grant(now, c, t)
	m.rest(now, w)
	return nil
}

// dispatch gives an idle core something to do if there is something, of another core only when there is worth of it.
func (m *machine) dispatch(now time.Duration, c *core, worth time.Duration) {
	t := m.choose(c, worth)
	if t == nil {
		return
	}
	if t.worker == nil {
		w := m.tenderOf(c)
		if w == nil {
			w = m.spare(c)
		}
		if w != nil {
			c.holder, w.role = w, called // it looks itself when it is there: something more urgent may have come by then
			m.do.wake(w)
			return
		}
		if t = m.firstBound(c); t == nil {
			m.stir(m.options.Slice)
			return // until a thread has been made
		}
	}
	m.take(now, c, t)
	m.grant(now, c, t)
}

// firstBound returns the first task of a core that has a thread already.
func (m *machine) firstBound(c *core) *task {
	for i := range c.tasks.len() {
		if t := c.tasks.at(i); t.worker != nil {
			return t
		}
	}
	return c.long.next()
}

// ended is told by a worker that its task has been answered. still is false when the task was asked to park, did, and was
// killed while it was parked (see Runner.CancelPark); it counts only in a task that is to park. ended returns the task to
// run next, or nil when the worker is to wait, and the core time that the one before has used.
func (m *machine) ended(now time.Duration, w *worker, still bool) (next *task, used time.Duration) {
	t := w.task
	c := t.core
	has := m.lose(now, t, still)
	used = t.used
	w.task = nil
	m.bound--
	m.exit(now, t)
	m.recycle(t)
	c.counted.Finished++
	m.letGo(now)
	if has {
		return m.next(now, w), used
	}
	m.rest(now, w)
	return nil, used
}

// lose takes a task from its core, or out of the queue where it waits, and reports whether its worker has the core now.
func (m *machine) lose(now time.Duration, t *task, still bool) bool {
	c := t.core
	switch t.state {
	case running, preempting:
		m.settle(now, c)
		c.running = nil
		s := c.successor
		if t.state == running || s == nil {
			return true
		}
		c.successor = nil
		if still {
			m.rest(now, s)
			if s.role == ended {
				m.do.wake(s)
			}
			return true
		}
		c.holder, s.role = s, called // it is on its way
	case parked: // and killed
		t.tenant.off--
		if t.long {
			c.long.remove(t)
		} else {
			c.tasks.remove(t)
		}
	case blocked, returning: // and ended without Return
		t.tenant.off--
		t.tenant.blocked--
		c.blocked--
	case ready, kept:
	}
	return false
}

// woken is told by a worker that has been woken: it returns the task to run, or nil when the worker is to wait again.
func (m *machine) woken(now time.Duration, w *worker) *task {
	c := w.core
	if w.role == successor {
		m.parked(now, c)
		c.successor, c.holder = nil, w
	}
	if w.role != called && w.role != successor {
		return nil
	}
	w.role = holding
	return m.next(now, w)
}

// parked is told when the running task of a core has parked.
func (m *machine) parked(now time.Duration, c *core) {
	t := c.running
	m.settle(now-m.options.WakeCost, c) // when it has woken its successor
	c.running = nil
	c.counted.Preemptions++
	m.stir(calmSlices * m.options.Slice)
	t.state = parked
	t.tenant.off++
	if t.long {
		c.long.add(t, m.options.Slice)
		return
	}
	if t.turnOver(m.options.Slice) && m.options.Policy == FIFO {
		t.joined, t.turn = now, t.used
	}
	m.order(t)
	c.tasks.insert(t)
}

// leave is told by a worker whose task is about to wait in the host. still is as in ended.
func (m *machine) leave(now time.Duration, w *worker, still bool) {
	t := w.task
	c := t.core
	has := m.lose(now, t, still)
	t.state = blocked
	t.tenant.blocked++
	t.tenant.off++
	c.blocked++
	if has {
		c.holder = nil
		m.dispatch(now, c, worthWaking)
	}
}

// back is told when that wait is over: true when the task has a core at once, else its worker waits to be woken.
func (m *machine) back(now time.Duration, w *worker) bool {
	t := w.task
	c := t.core
	for _, other := range m.cores {
		if !c.idle() && other.idle() && !other.waiting() {
			c = other
		}
	}
	if c.idle() {
		t.core.blocked--
		t.tenant.blocked--
		t.tenant.off--
		t.core = c
		m.move(w, c)
		m.begin(now, c, t)
		m.letGo(now)
		return true
	}
	t.state = returning
	if t.long {
		t.core.long.add(t, m.options.Slice)
		m.watch(now, t.core)
		return false
	}
	m.enqueue(now, t.core, t)
	return false
}

// tick is told when the time is over that pace says: it does what time alone brings about, and sets pace when it is to be told
// again. What stirs between two ticks is reason enough for another, so that a timer is not set and stopped with every
// invocation of a busy core.
func (m *machine) tick(now time.Duration) {
	m.pace = 0
	for _, c := range m.cores {
		m.settle(now, c)
		switch {
		case c.idle():
			m.dispatch(now, c, worthWaking)
		case c.successor != nil:
			m.do.poke(c.holder)
		case m.options.Preempt != Off && c.running != nil && m.expires(now, c):
			m.preempt(c)
		}
		if c.successor != nil || c.waiting() && c.running == nil {
			m.stir(m.options.Slice)
		}
		m.watch(now, c)
	}
}

// drop takes out all tasks that have not begun, and returns them.
func (m *machine) drop(now time.Duration) []*task {
	m.dropped = true
	var out []*task
	for _, c := range m.cores {
		for i := c.tasks.len() - 1; i >= 0; i-- {
			if t := c.tasks.at(i); t.state == ready {
				c.tasks.remove(t)
				out = append(out, t)
			}
		}
	}
	for _, n := range m.keeping {
		for t := n.kept.first(); t != nil; t = n.kept.first() {
			n.kept.remove(t)
			out = append(out, t)
		}
	}
	m.keeping = nil
	for _, t := range out {
		m.waiting--
		m.exit(now, t)
	}
	slices.SortFunc(out, func(a, b *task) int { return int(a.seq) - int(b.seq) })
	return out
}
