package cli

import (
	"fmt"
	"io"
	"sync"

	"github.com/schollz/progressbar/v3"

	"edged.dev/edge/edged/internal/admin"
)

// meter shows the progress of something long: a bar a stage on a terminal, a line a stage elsewhere, nothing for
// programs. It may be used from any goroutine.
type meter struct {
	w        io.Writer // nil: silent
	terminal bool
	subject  string // with a colon, begins each line elsewhere

	mu    sync.Mutex
	stage string                   // guarded by mu
	bar   *progressbar.ProgressBar // guarded by mu; nil between stages
}

// newMeter returns a meter that writes to standard error, so that standard output has only the result. Lines begin with the subject.
func (p *program) newMeter(silent bool, subject string) *meter {
	if silent {
		return &meter{}
	}
	return &meter{w: p.Stderr, terminal: p.StderrTerminal, subject: subject + ": "}
}

// show takes a step of progress.
func (m *meter) show(step admin.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.w == nil {
		return
	}
	if m.terminal {
		m.draw(step)
		return
	}
	if step.Stage != m.stage {
		m.stage = step.Stage
		_, _ = fmt.Fprintln(m.w, m.subject+step.Stage)
	}
}

// draw moves the bar of the stage, or begins a new one. Preconditions: m.mu is held.
func (m *meter) draw(step admin.Progress) {
	if step.Stage != m.stage || m.bar == nil {
		m.clear()
		m.stage = step.Stage
		m.bar = newBar(m.w, step)
	}
	m.bar.Describe(visible(stageText(step)))
	if step.Total > 0 && step.Total != m.bar.GetMax64() {
		m.bar.ChangeMax64(step.Total)
	}
	// The bar's only errors are of the terminal, on which there is nobody to tell then.
	_ = m.bar.Set64(step.Done)
}

func newBar(w io.Writer, step admin.Progress) *progressbar.ProgressBar {
	total := step.Total
	if total <= 0 {
		total = -1 // a spinner
	}
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(30),
		progressbar.OptionShowBytes(step.Stage == "push"),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionUseANSICodes(true),
	)
}

// close takes the bar off the terminal. Later steps are shown again.
func (m *meter) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clear()
}

// clear ends the bar. Preconditions: m.mu is held.
func (m *meter) clear() {
	if m.bar != nil {
		_ = m.bar.Clear()
		_ = m.bar.Exit()
		m.bar = nil
	}
}

func stageText(step admin.Progress) string {
	if step.Message == "" {
		return step.Stage
	}
	return step.Stage + ": " + step.Message
}
