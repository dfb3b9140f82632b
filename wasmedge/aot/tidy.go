package aot

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// tidy removes what a daemon that was killed left: artifacts without a record, and O0 artifacts whose better successor is there.
// It runs before anything is handed out. Files that are no artifact's are not touched.
func (s *store) tidy() error {
	names, err := s.names()
	if err != nil {
		return err
	}
	records := map[string]bool{} // base names that have a record
	for _, name := range names {
		if base, ok := strings.CutSuffix(name, recordSuffix); ok {
			records[base] = true
		}
	}
	var problems []error
	for _, name := range names {
		key, level, ok := splitName(name)
		if !ok {
			continue
		}
		if strings.HasSuffix(name, codeSuffix) && !records[baseName(key, level)] {
			problems = append(problems, os.RemoveAll(s.path(name)))
		}
		if level == O0 && strings.HasSuffix(name, recordSuffix) && s.superseded(key) {
			s.mu.Lock()
			problems = append(problems, s.removeLocked(baseName(key, O0)))
			s.mu.Unlock()
		}
	}
	return errors.Join(problems...)
}

// superseded reports whether an optimised artifact is there and right; only then may the O0 one go.
func (s *store) superseded(key Key) bool {
	for _, level := range []Level{O3, O2} {
		if _, found := s.find(key, level); found {
			return true
		}
	}
	return false
}

func (s *store) names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("read the artifact directory: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

// removeLocked removes every file of one artifact, its record first so that a crash in between leaves no record of a
// missing file. The caller holds mu.
func (s *store) removeLocked(base string) error {
	err := os.RemoveAll(s.path(base + recordSuffix))
	names, listErr := s.names()
	problems := []error{err, listErr}
	for _, name := range names {
		if strings.HasPrefix(name, base+".") && strings.HasSuffix(name, codeSuffix) {
			problems = append(problems, os.RemoveAll(s.path(name)))
			delete(s.verified, name)
		}
	}
	return errors.Join(problems...)
}

// removeKey removes everything about a key.
func (s *store) removeKey(key Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []error
	for _, level := range []Level{O0, O2, O3} {
		base := baseName(key, level)
		problems = append(problems, s.removeLocked(base), os.RemoveAll(s.path(base+failureSuffix)))
	}
	return errors.Join(append(problems, syncDir(s.dir))...)
}

// keys returns the keys that files of the directory belong to.
func (s *store) keys() (map[Key]bool, error) {
	names, err := s.names()
	keys := map[Key]bool{}
	for _, name := range names {
		if key, _, ok := splitName(name); ok {
			keys[key] = true
		}
	}
	return keys, err
}
