package daemon

import (
	"fmt"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// graphParam in the query of a request asks for an answer only when all that the request has started has ended.
const graphParam = "wait=graph"

// maxGraphWaiters bounds the requests that wait for their graph beyond the end of their function. Each has its answer in memory, and
// outlives its connection: who goes away and asks again is not noticed.
const maxGraphWaiters = 1024

// withoutGraphParam returns a query without that parameter, and whether it was there: it is for the daemon, the guest does not see it.
func withoutGraphParam(query string) (rest string, asked bool) {
	if !strings.Contains(query, graphParam) {
		return query, false
	}
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		if part == graphParam {
			asked = true
			continue
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "&"), asked
}

// holdBack has an invocation answered when everything has ended that it starts, directly and through others: by writes, by calls that it
// does not wait for, by what these start. Its answer is kept whole until then.
func (d *Daemon) holdBack(inv *invoke.Invocation, query string) {
	graph, done := invoke.NewGraph(), inv.Done
	inv.Request.RawQuery, inv.Cause.Graph, inv.Stream = query, graph, nil
	inv.Done = func(inv *invoke.Invocation, result invoke.Result) {
		graph.End(result.Err)
		select {
		case <-graph.Over():
			done(inv, graphResult(graph, result))
		default:
			result.More = false // whoever called does not answer it
			if d.waiters.Add(1) > maxGraphWaiters {
				d.waiters.Add(-1)
				done(inv, invoke.Result{Err: &invoke.Error{Kind: invoke.ErrUnavailable, Detail: fmt.Sprintf(
					"%d requests wait already for all that they have started, %d is the limit. The function has ended, and what it has started goes on",
					maxGraphWaiters, maxGraphWaiters)}})
				return
			}
			go func() {
				defer d.waiters.Add(-1)
				d.awaitGraph(inv, result, graph, done)
			}()
		}
	}
}

// awaitGraph answers when the graph is over, when its time is, or when the daemon stops. There are at most maxGraphWaiters.
func (d *Daemon) awaitGraph(inv *invoke.Invocation, result invoke.Result, graph *invoke.Graph, done func(*invoke.Invocation, invoke.Result)) {
	limit := d.config.Timeouts.AppMax
	left := limit - time.Since(inv.Stamps.Arrived)
	if !inv.Deadline.IsZero() {
		left = min(left, time.Until(inv.Deadline))
	}
	timer := time.NewTimer(max(left, 0))
	defer timer.Stop()
	select {
	case <-graph.Over():
		done(inv, graphResult(graph, result))
	case <-timer.C:
		done(inv, invoke.Result{Err: &invoke.Error{Kind: invoke.ErrTimeout, Detail: fmt.Sprintf(
			"%d of what the request has started has not ended; it goes on. A request waits for at most %v, timeouts.app_max, and its own deadline",
			graph.Pending(), limit)}})
	case <-d.halt:
		done(inv, invoke.Result{Err: &invoke.Error{Kind: invoke.ErrDraining, Detail: fmt.Sprintf(
			"%d of what the request has started has not ended; events go on after the next start", graph.Pending())}})
	}
}

// graphResult is the answer of a request whose graph is over: its own, unless a part of the graph has failed for good.
func graphResult(graph *invoke.Graph, result invoke.Result) invoke.Result {
	if result.Err != nil {
		return result
	}
	if err := graph.Err(); err != nil {
		return invoke.Result{More: result.More, Err: &invoke.Error{
			Kind: invoke.ErrGuest, Detail: "something that the request has started has failed: " + strings.ReplaceAll(err.Error(), "\n", "; "), Cause: err,
		}}
	}
	return result
}
