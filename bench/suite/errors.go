package suite

import (
	"errors"
	"time"
)

// ErrAnswer is wrapped when a server answers wrongly before it is measured.
var ErrAnswer = errors.New("wrong answer")

// ErrWorkload is wrapped when there is no workload of a name.
var ErrWorkload = errors.New("no such workload")

// quickLook is long enough to see one answer of a server that is not broken.
const quickLook = 200 * time.Millisecond
