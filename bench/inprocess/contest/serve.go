package contest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Perform runs a job count times. It is called for one round after another, on the goroutine of Serve.
type Perform func(job string, count int) (Round, error)

// Serve is the contestant's side: it reads commands "run JOB COUNT", one a line, and answers each with a Round as one line
// of JSON. It returns nil at the end of the commands.
func Serve(commands io.Reader, answers io.Writer, perform Perform) error {
	encoder := json.NewEncoder(answers)
	lines := bufio.NewScanner(commands)
	for lines.Scan() {
		var job string
		var count int
		if _, err := fmt.Sscanf(lines.Text(), "run %s %d", &job, &count); err != nil {
			return fmt.Errorf("read the command %q: %w", lines.Text(), err)
		}
		round, err := perform(job, count)
		if err != nil {
			round = Round{Error: err.Error()}
		}
		if err := encoder.Encode(round); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	return lines.Err()
}
