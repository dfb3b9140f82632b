package scheduler

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// sim runs the machine on cores and threads that exist in virtual time only. It plays what the pool and the operating
// system do, and checks after every event what must always hold.
type sim struct {
	t      *testing.T
	m      *machine
	now    time.Duration
	events simEvents
	seq    int
	ticks  time.Duration // to what the timer has been set; 0: it has not
	timers int
	loose  bool // without check, for long plays
	ids    uint64

	// What things take.
	wakeTakes, parkTakes, threadTakes time.Duration
	noThreads                         bool       // making them fails
	deaf                              *rand.Rand // when set, half of the interruptions find a guest where it cannot be parked

	threads map[*worker]*simThread
	calls   map[uint64]*simCall
	trace   []string
	traced  bool
	idleFor []time.Duration // by core: since when it has been idle although something waits
	worst   time.Duration   // the longest of these
}

type simEvent struct {
	at  time.Duration
	seq int
	do  func()
}

type simEvents []simEvent

func (e simEvents) Len() int { return len(e) }
func (e simEvents) Less(i, j int) bool {
	return e[i].at < e[j].at || (e[i].at == e[j].at && e[i].seq < e[j].seq)
}
func (e simEvents) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *simEvents) Push(x any)   { *e = append(*e, x.(simEvent)) }
func (e *simEvents) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// simThread is the thread of a worker.
type simThread struct {
	w         *worker
	waits     bool // in Runner.Wait
	token     bool
	successor *worker // of a park that stands
	asked     bool
	parked    bool
	roused    bool
	call      *simCall
	runs      bool // guest code, at this moment
	since     time.Duration
	epoch     int // counts the times that it began to run
}

// simCall is one invocation.
type simCall struct {
	arrival
	name    string
	steps   []time.Duration // core time, wait in the host, core time, ...
	task    *task
	used    time.Duration
	stints  int // times that it got a core
	began   time.Duration
	started bool
	ended   time.Duration
	over    bool
	refused *refusal
	late    bool // not run, its deadline had passed
	killed  bool
	done    func()
}

func newSim(t *testing.T, o Options) *sim {
	o = o.orDefaults()
	s := &sim{t: t, threads: make(map[*worker]*simThread), calls: make(map[uint64]*simCall), idleFor: make([]time.Duration, o.Cores)}
	for i := range s.idleFor {
		s.idleFor[i] = -1
	}
	s.m = newMachine(o, s)
	first := o.Cores * o.MinThreads
	s.m.making = first
	for range first {
		s.newThread()
	}
	return s
}

// real makes wake-ups, parks and threads take what they take on a machine.
func (s *sim) real() *sim {
	s.wakeTakes, s.parkTakes, s.threadTakes = 20*time.Microsecond, 10*time.Microsecond, 100*time.Microsecond
	return s
}

func (s *sim) newThread() {
	w := new(worker)
	th := &simThread{w: w, waits: true}
	s.threads[w] = th
	s.m.born(s.now, w)
}

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.events, simEvent{s.now + d, s.seq, do})
}

// run plays until that time, or to the end when it is negative.
func (s *sim) run(until time.Duration) {
	for len(s.events) > 0 && (until < 0 || s.events[0].at <= until) {
		e := heap.Pop(&s.events).(simEvent)
		s.now = e.at
		e.do()
		s.settle()
		if !s.loose {
			s.check()
		}
		if s.t.Failed() {
			s.t.FailNow()
		}
	}
	if until >= 0 {
		s.now = until
	}
}

// settle sets the timer as the shell does.
func (s *sim) settle() {
	pace := s.m.pace
	if pace == 0 || s.ticks > 0 && s.ticks <= pace {
		return
	}
	s.ticks = pace
	s.timers++
	number := s.timers
	s.after(pace, func() {
		if s.timers == number { // else it has been set anew
			s.ticks = 0
			s.m.tick(s.now)
		}
	})
}

// submit makes a call arrive at that time.
func (s *sim) submit(at time.Duration, c *simCall) {
	s.seq++
	heap.Push(&s.events, simEvent{at, s.seq, func() { s.arrive(c) }})
}

func (s *sim) arrive(c *simCall) {
	s.ids++
	c.inv = &invoke.Invocation{ID: s.ids}
	c.arrived = s.now
	if c.app == "" {
		c.app = "app"
	}
	s.calls[s.ids] = c
	c.refused = s.m.arrive(s.now, &c.arrival)
	if c.refused != nil {
		s.end(c)
	}
}

// proceed lets a thread run the task that the machine gave it, or wait.
func (s *sim) proceed(th *simThread, t *task) {
	if t == nil {
		th.call = nil
		if th.w.role == ended {
			delete(s.threads, th.w)
			return
		}
		s.wait(th)
		return
	}
	c := s.calls[t.inv.ID]
	if c.started {
		s.t.Errorf("%v: %s is begun twice", s.now, c.name)
	}
	c.task, c.started, c.began, th.call = t, true, s.now, c
	s.inOrder(t)
	if c.deadline > 0 && s.now >= c.deadline {
		c.late = true
		s.finish(th)
		return
	}
	s.enter(th)
}

// inOrder checks that nothing that waits for the same core went before a task that has just got it.
func (s *sim) inOrder(t *task) {
	if t.long || (t.state != ready && s.m.spares == 0) { // then only what has a thread can go on
		return
	}
	for i := range t.core.tasks.len() {
		if u := t.core.tasks.at(i); u.before(t) {
			s.t.Errorf("%v: on core %d a task with key %v runs before one with %v", s.now, t.core.id, t.key, u.key)
		}
	}
}

func (s *sim) wait(th *simThread) {
	th.waits = true
	if th.token {
		th.token, th.waits = false, false
		s.woken(th)
	}
}

func (s *sim) woken(th *simThread) {
	if th.call != nil { // in Core.Return
		s.enter(th)
		return
	}
	s.proceed(th, s.m.woken(s.now, th.w))
}

// enter lets the guest of a thread go on.
func (s *sim) enter(th *simThread) {
	th.runs, th.since = true, s.now
	th.epoch++
	th.call.stints++
	epoch, c := th.epoch, th.call
	if s.traced {
		s.trace = append(s.trace, fmt.Sprintf("%v@%d %s", s.now, th.w.core.id, c.name))
	}
	if th.asked {
		s.interrupt(th) // the request came before the guest went on
	}
	s.after(c.steps[0], func() {
		if th.epoch == epoch && th.runs {
			s.pause(th)
			s.stepped(th)
		}
	})
}

// pause takes the guest of a thread off its core.
func (s *sim) pause(th *simThread) {
	th.runs = false
	ran := s.now - th.since
	th.call.used += ran
	th.call.steps[0] -= ran
}

// stepped is called when a call has done with its core time for now.
func (s *sim) stepped(th *simThread) {
	c := th.call
	if len(c.steps) == 1 {
		s.finish(th)
		return
	}
	wait := c.steps[1]
	c.steps = c.steps[2:]
	s.m.leave(s.now, th.w, s.cancel(th))
	s.after(wait, func() {
		if s.m.back(s.now, th.w) {
			s.enter(th)
			return
		}
		s.wait(th)
	})
}

func (s *sim) finish(th *simThread) {
	c := th.call
	th.call = nil
	if c.over {
		s.t.Errorf("%v: %s ends twice", s.now, c.name)
	}
	next, used := s.m.ended(s.now, th.w, s.cancel(th))
	if wrong := (used - c.used).Abs(); wrong > time.Duration(c.stints)*2*DefaultWakeCost { // handing a core over is guessed
		s.t.Errorf("%v: %s used %v, the machine counted %v", s.now, c.name, c.used, used)
	}
	s.end(c)
	s.proceed(th, next)
}

func (s *sim) end(c *simCall) {
	c.over, c.ended = true, s.now
	delete(s.calls, c.inv.ID)
	if c.done != nil {
		c.done()
	}
}

// cancel plays Scheduler.cancel and Runner.CancelPark.
func (s *sim) cancel(th *simThread) bool {
	if !th.w.task.asked {
		return true
	}
	th.w.task.asked = false
	kept := !th.roused
	th.asked, th.roused, th.successor = false, false, nil
	return kept
}

// kill ends a call wherever it is.
func (s *sim) kill(c *simCall) {
	for _, th := range s.threads {
		if th.call != c || c.over {
			continue
		}
		switch {
		case th.runs:
			s.pause(th)
		case th.parked:
			th.parked, th.roused = false, true
		default:
			return // in the host
		}
		c.killed = true
		s.finish(th)
		return
	}
}

// The effects.

func (s *sim) wake(w *worker) {
	th := s.threads[w]
	s.after(s.wakeTakes, func() {
		if th.token {
			s.t.Errorf("%v: a thread is woken twice", s.now)
		}
		th.token = true
		if th.waits {
			th.token, th.waits = false, false
			s.woken(th)
		}
	})
}

func (s *sim) pin(w *worker) {
	if th := s.threads[w]; th != nil && th.runs {
		s.t.Errorf("%v: a thread that runs is moved", s.now)
	}
}

func (s *sim) park(w, successor *worker) bool {
	th := s.threads[w]
	if th.asked || th.parked || th.roused {
		return false
	}
	th.asked, th.successor = true, successor
	s.interrupt(th)
	return true
}

func (s *sim) poke(w *worker) { s.interrupt(s.threads[w]) }

func (s *sim) interrupt(th *simThread) {
	s.after(s.parkTakes, func() {
		if !th.asked || !th.runs || (s.deaf != nil && s.deaf.IntN(2) == 0) {
			return
		}
		s.pause(th)
		if s.traced && len(th.call.steps) == 1 && th.call.steps[0] == 0 {
			s.trace = append(s.trace, "parked at its end")
		}
		th.asked, th.parked = false, true
		s.wake(th.successor)
		th.successor = nil
	})
}

func (s *sim) resume(w *worker) {
	th := s.threads[w]
	if !th.parked {
		return // a kill was faster
	}
	th.parked = false
	s.inOrder(w.task)
	s.after(s.wakeTakes, func() { s.enter(th) })
}

func (s *sim) needThread() {
	s.after(s.threadTakes, func() {
		if s.noThreads {
			s.m.unborn()
			return
		}
		s.newThread()
	})
}

// check looks at what must hold between any two events.
func (s *sim) check() {
	m := s.m
	runs := make([]int, len(m.cores))
	keeps := 0
	for _, th := range s.threads {
		if th.runs {
			runs[th.w.core.id]++
		}
		if th.parked {
			keeps++
		}
	}
	for i, n := range runs {
		if n > 1 {
			s.t.Errorf("%v: %d run on core %d", s.now, n, i)
		}
	}
	if keeps > m.maxThreads-1 {
		s.t.Errorf("%v: %d are parked", s.now, keeps)
	}
	if m.threads > m.maxThreads {
		s.t.Errorf("%v: %d threads", s.now, m.threads)
	}
	if m.live != len(s.calls) {
		s.t.Errorf("%v: the machine counts %d, there are %d", s.now, m.live, len(s.calls))
	}
	s.checkQueues()
}

func (s *sim) checkQueues() {
	m := s.m
	queued, spares := 0, 0
	for _, c := range m.cores {
		var work time.Duration
		for i := range c.tasks.len() {
			t := c.tasks.at(i)
			work += t.weight
			if t.state == ready {
				queued++
			}
			if t.core != c || (i > 0 && t.before(c.tasks.at(i-1))) {
				s.t.Errorf("%v: core %d: %d in its queue is out of place", s.now, c.id, i)
			}
		}
		if work != c.tasks.work || int(c.tasks.size.Load()) != c.tasks.len() {
			s.t.Errorf("%v: core %d has %v of work, counts %v", s.now, c.id, work, c.tasks.work)
		}
		spares += len(c.spares)
		s.checkIdle(c)
	}
	for _, n := range m.keeping {
		queued += n.kept.len()
	}
	if queued != m.waiting || spares != m.spares {
		s.t.Errorf("%v: %d wait, %d threads spare, the machine counts %d and %d", s.now, queued, spares, m.waiting, m.spares)
	}
}

// checkIdle notes for how long a core has nothing to do while something waits anywhere that it could run.
func (s *sim) checkIdle(c *core) {
	waits := false
	if c.idle() && s.m.spares > 0 {
		for _, other := range s.m.cores {
			waits = waits || (other.waiting() && (other == c || other.backlog() >= worthWaking))
		}
	}
	switch since := s.idleFor[c.id]; {
	case !waits:
		s.idleFor[c.id] = -1
	case since < 0:
		s.idleFor[c.id] = s.now
	default:
		s.worst = max(s.worst, s.now-since)
	}
}

// told returns what the trace says.
func (s *sim) told() string { return strings.Join(s.trace, ", ") }
