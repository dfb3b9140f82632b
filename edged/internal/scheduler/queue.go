package scheduler

import (
	"sort"
	"sync/atomic"
	"time"
)

// queue holds tasks in the order of their keys, those with equal keys as they came. It is a sorted array: most tasks go to
// its end or near it, and admission wants to walk it in order, from the end, which a heap cannot do.
type queue struct {
	tasks []*task // from head on
	head  int
	work  time.Duration // sum of the tasks' weights
	size  atomic.Int32  // len, to be read without the lock
}

func (q *queue) len() int { return len(q.tasks) - q.head }

// at returns the i-th task.
func (q *queue) at(i int) *task { return q.tasks[q.head+i] }

// first returns the task whose turn it is; nil when there is none.
func (q *queue) first() *task {
	if q.len() == 0 {
		return nil
	}
	return q.tasks[q.head]
}

// before reports whether t's turn comes before that of u.
func (t *task) before(u *task) bool { return t.key < u.key || (t.key == u.key && t.seq < u.seq) }

// position returns how many tasks come before t, which need not be in the queue.
func (q *queue) position(t *task) int {
	if n := q.len(); n == 0 || q.at(n-1).before(t) {
		return n
	}
	return sort.Search(q.len(), func(i int) bool { return !q.at(i).before(t) })
}

// insert puts a task where its key belongs. The key must not change while it is there.
func (q *queue) insert(t *task) {
	i := q.head + q.position(t)
	t.weight = t.left()
	q.work += t.weight
	q.size.Add(1)
	if i == q.head && q.head > 0 {
		q.head--
		q.tasks[q.head] = t
		return
	}
	if len(q.tasks) == cap(q.tasks) && q.head > 0 {
		n := copy(q.tasks, q.tasks[q.head:])
		clear(q.tasks[n:])
		q.tasks, i, q.head = q.tasks[:n], i-q.head, 0
	}
	q.tasks = append(q.tasks, nil)
	copy(q.tasks[i+1:], q.tasks[i:])
	q.tasks[i] = t
}

// remove takes a task out that is in the queue.
func (q *queue) remove(t *task) {
	i := q.head + q.position(t)
	q.work -= t.weight
	q.size.Add(-1)
	if i == q.head {
		q.tasks[i] = nil
		q.head++
	} else {
		copy(q.tasks[i:], q.tasks[i+1:])
		q.tasks[len(q.tasks)-1] = nil
		q.tasks = q.tasks[:len(q.tasks)-1]
	}
	if q.head == len(q.tasks) {
		q.tasks, q.head = q.tasks[:0], 0
	}
}

// ahead estimates the work that a task with this key would have before it. A long queue is not walked: there it is a part
// of the whole by the number of tasks.
func (q *queue) ahead(t *task) time.Duration {
	const walk = 16
	i := q.position(t)
	switch n := q.len(); {
	case i == n:
		return q.work
	case i > walk:
		return q.work / time.Duration(n) * time.Duration(i)
	}
	var sum time.Duration
	for ; i > 0; i-- {
		sum += q.at(i - 1).weight
	}
	return sum
}
