package scheduler

import (
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

const (
	// shareOfFree is how many times the free threads one app may keep without a core, parked or blocked, and still begin
	// another invocation: of 128 threads one app alone keeps 96, a second one beside it 24.
	shareOfFree = 3
	// recently is for how long an app counts as one that wants its part of the cores after its last invocation: what the
	// others have waiting is to be due late enough for it when it comes back. It is counted anew every recount.
	recently = time.Second
	recount  = 100 * time.Millisecond
	// maxTenants is how many apps without invocations are remembered before they are forgotten all at once: an entry
	// must not be made for every request, nor be kept for every app that ever was.
	maxTenants = 1024
)

// tenant is what the scheduler knows of an app.
type tenant struct {
	live    int           // invocations admitted and not ended
	blocked int           // of these, in the host
	off     int           // of these, keeping a thread without having a core
	load    float64       // sum of their densities
	seen    time.Duration // when one of them last came or ended
	kept    queue         // not begun, to wait until the app keeps fewer threads
}

// tenant returns the entry of an app.
func (m *machine) tenant(app invoke.AppName) *tenant {
	if t := m.tenants[app]; t != nil {
		return t
	}
	if len(m.tenants) >= maxTenants+m.active {
		for name, t := range m.tenants {
			if t.live == 0 {
				delete(m.tenants, name)
			}
		}
	}
	t := new(tenant)
	m.tenants[app] = t
	return t
}

// apps returns how many apps want a part of the cores, t among them.
func (m *machine) apps(now time.Duration, t *tenant) int {
	if now-m.counted > recount {
		m.counted, m.recent = now, 0
		for _, other := range m.tenants {
			if other.live > 0 || (other.seen > 0 && now-other.seen < recently) {
				m.recent++
			}
		}
	}
	apps := m.active
	if t.live == 0 {
		apps++
	}
	return max(apps, m.recent)
}

// softDue returns until when an answer should come that nobody was promised, of a task that is expected to take so long:
// when it would come if the cores were divided evenly among the apps, and each app's part among its invocations, plus
// some slack. So of two apps that both have a queue each gets its part, an app without one goes before both, and nobody pays
// for what it took while nobody else wanted it. For an app alone slack grows with what the task takes: short ones go before
// long ones. Among several that would let the short ones of a noisy app go before the longer ones of a quiet one.
func (m *machine) softDue(now time.Duration, t *tenant, takes time.Duration) time.Duration {
	apps := m.apps(now, t)
	others := max(t.live-t.blocked, 0)
	shares := float64((others+1)*apps) / float64(len(m.cores))
	if apps == 1 {
		shares += softMultiple
	}
	return now + softFloor + time.Duration(shares*float64(takes))
}

func (m *machine) enter(t *task) {
	if t.tenant.live == 0 {
		m.active++
	}
	t.tenant.live++
	t.tenant.load += t.density
	m.load += t.density
	m.live++
}

func (m *machine) exit(now time.Duration, t *task) {
	t.tenant.seen = now
	t.tenant.live--
	t.tenant.load -= t.density
	m.load -= t.density
	m.live--
	if t.tenant.live == 0 {
		m.active--
		t.tenant.load = 0 // no residue of rounding
	}
	if m.live == 0 {
		m.load = 0
	}
}

// mayKeep reports whether one more thread may be kept by the app without a core.
func (m *machine) mayKeep(t *tenant) bool {
	return t.off < shareOfFree*(m.maxThreads-m.bound)
}

// mayBegin reports whether a task may be bound to a thread. An app whose long ones are parked on all the threads that it may
// have goes on with those that are known to be short: they give theirs back within a slice, unless they wait in the host.
func (m *machine) mayBegin(t *task) bool {
	if m.mayKeep(t.tenant) || t.inner {
		return true
	}
	brief := t.known && t.expect <= m.options.Slice
	return brief && t.tenant.blocked < shareOfFree*(m.maxThreads-m.bound)
}

// keep takes a task that is not begun out of the order until its app keeps fewer threads.
func (m *machine) keep(c *core, t *task) {
	c.tasks.remove(t)
	t.state = kept
	if t.tenant.kept.len() == 0 {
		m.keeping = append(m.keeping, t.tenant)
	}
	t.tenant.kept.insert(t)
}

// letGo gives the first kept task of every app that may begin one now back to its core.
func (m *machine) letGo(now time.Duration) {
	for i := 0; i < len(m.keeping); i++ {
		n := m.keeping[i]
		if !m.mayKeep(n) {
			continue
		}
		t := n.kept.first()
		n.kept.remove(t)
		if n.kept.len() == 0 {
			last := len(m.keeping) - 1
			m.keeping[i], m.keeping[last] = m.keeping[last], nil
			m.keeping = m.keeping[:last]
			i--
		}
		t.state = ready
		m.enqueue(now, t.core, t)
	}
}
