// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/test/payload/talk"
)

// speaker is a program that talks in a container, and what was done to end it.
type speaker struct {
	script   talk.Script
	page     string // path of its page on the node
	terminal bool
	killed   bool // somebody has sent, or may have had sent, SIGKILL
	told     bool // SIGTERM was sent
}

// newSpeaker invents a program. first says that it is the first process of its pid namespace, which the
// kernel protects from the signals it sends itself.
func (w *worker) newSpeaker(first, terminal bool) *speaker {
	page := filepath.Join(w.pages, fmt.Sprintf("page-%06d", w.count.Add(1)))
	s := &speaker{page: page, terminal: terminal}
	s.script = talk.Script{Seed: w.rng.Uint64(), Page: page, Voices: 2, Term: w.rng.IntN(100)}
	if terminal {
		s.script.Voices = 1
	}
	s.script.Pace = []time.Duration{300 * time.Microsecond, 3 * time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond}[w.rng.IntN(4)]
	if w.chance(70) {
		s.script.Life = time.Duration(w.rng.Int64N(int64(5 * time.Second)))
		s.script.Status = w.rng.IntN(120)
	}
	if s.script.Life > 0 && !first && w.chance(30) {
		s.script.Status = 128 + []int{1, 2, 9, 15}[w.rng.IntN(4)] // Go ignores some others
	}
	if w.chance(10) {
		s.script.Term = -1
	}
	return s
}

func (s *speaker) args() []string { return append([]string{"payload"}, s.script.Args()...) }

// ended tells whether a status is one that the program can have ended with, "" if so.
func (s *speaker) ended(status int) string {
	page, err := talk.ReadPage(s.page)
	switch {
	case err != nil:
		return err.Error()
	case page.Ends && status == page.Status, s.killed && status == 128+int(unix.SIGKILL):
		return ""
	case page.Ends:
		return fmt.Sprintf("the program ended with %d, and %d is reported (killed: %v)", page.Status, status, s.killed)
	case s.told && (status == 128+int(unix.SIGTERM) || status == 2):
		return "" // told to end before it listened: 2 is Go's way if the kernel protects the process
	}
	return fmt.Sprintf("the program did not end by itself (killed: %v), and %d is reported", s.killed, status)
}

// began tells whether the program ran at all.
func (s *speaker) began() bool {
	page, _ := talk.ReadPage(s.page)
	return page.Began
}

// kill sends the program SIGKILL past every runtime. pid may be another's by now.
func (s *speaker) kill(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil //nolint:nilerr // it has ended
	}
	defer unix.Close(fd)
	if !runsWith(pid, s.page) {
		return nil
	}
	s.killed = true
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}
