package engines

import (
	"fmt"
	"time"

	"edged.dev/edge/bench/inprocess/contest"
)

// guestCall calls an export of a guest by its name: one without parameters, whose result is 64 bits or none.
type guestCall func(export string, result bool) (uint64, error)

// kernels returns a Perform whose jobs are the kernels of package polybench. Only the kernel is timed, not what fills and
// checks its arrays. switches, when not nil, returns how often the guest has been stopped so far.
func kernels(call guestCall, switches func() int64) contest.Perform {
	if switches == nil {
		switches = func() int64 { return 0 }
	}
	return func(job string, count int) (contest.Round, error) {
		round := contest.Round{Ops: count}
		for range count {
			if _, err := call(job+"_init", false); err != nil {
				return round, err
			}
			before := switches()
			cpu, err := contest.CPUTime()
			if err != nil {
				return round, err
			}
			begun := time.Now()
			if _, err := call(job+"_run", false); err != nil {
				return round, err
			}
			round.Wall += int64(time.Since(begun))
			after, err := contest.CPUTime()
			if err != nil {
				return round, err
			}
			round.CPU += after - cpu
			round.Switches += switches() - before
			check, err := call(job+"_check", true)
			if err != nil {
				return round, err
			}
			round.Check = fmt.Sprintf("%016x", check)
		}
		return round, nil
	}
}
