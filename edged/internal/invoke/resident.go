package invoke

import "context"

// Resident is an instance that belongs to one user, whose invocations run in it one after the other and find what the one before
// has left. It belongs to who has submitted an invocation with it, and to the worker while that runs.
type Resident struct {
	// Instance is the instance; nil when there is none. Who takes it out closes it.
	Instance interface{ Close() }
	// State is what Save was given last, or Load has returned; meaningful while there is an instance.
	State []byte
	// Load returns what Save was given last for this user, in an earlier process too; nil when nothing. It may wait for the disk.
	Load func(ctx context.Context) ([]byte, error)
	// Save keeps a state; on nil it is as durable as is promised. It waits for the disk, and does not keep state.
	Save func(ctx context.Context, state []byte) error
}
