package scheduler

import (
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

const (
	// shareOfFree is how many times the free threads one app may keep without a core, parked or blocked, and still begin
	// another invocation: of 128 threads one app alone keeps 96, a second one beside it 24.
	shareOfFree = 3
	// maxTenants is how many apps without invocations are remembered before they are forgotten all at once: an entry
	// must not be made for every request, nor be kept for every app that ever was.
	maxTenants = 1024
)

// tenant is what the scheduler knows of an app.
type tenant struct {
	live    int     // invocations admitted and not ended
	blocked int     // of these, in the host
	off     int     // of these, keeping a thread without having a core
	load    float64 // sum of their densities
	kept    queue   // not begun, to wait until the app keeps fewer threads
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

// slowdown returns how many times longer than alone the app's next invocation takes when every app with invocations has
// the same part of the cores.
func (m *machine) slowdown(t *tenant) float64 {
	apps := m.active
	if t.live == 0 {
		apps++
	}
	return float64(t.live-t.blocked+1) * float64(apps) / float64(len(m.cores))
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

func (m *machine) exit(t *task) {
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
