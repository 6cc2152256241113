// SPDX-License-Identifier: Apache-2.0

package top

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is the controlling terminal while the view has it: raw, on its alternate screen.
// It is opened anew, so that nobody else's descriptor becomes one that does not block.
type terminal struct {
	file *os.File

	mu    sync.Mutex  // guards saved
	saved *term.State // as the terminal was; nil while it is so
}

// openTerminal opens the terminal at path and takes it. The caller must close it.
func openTerminal(path string) (*terminal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("there is no terminal to draw on; --once does without: %w", err)
	}
	t := &terminal{file: file}
	if err := t.take(); err != nil {
		file.Close()
		return nil, fmt.Errorf("take the terminal %s: %w", path, err)
	}
	return t, nil
}

// take prepares the terminal for the view, again if others have used it.
func (t *terminal) take() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found *term.State
	if err := t.control(func(fd int) (err error) { found, err = term.MakeRaw(fd); return err }); err != nil {
		return err
	}
	if t.saved == nil {
		t.saved = found
	}
	_, err := t.file.WriteString(enterScreen)
	return err
}

// leave makes the terminal as it was. It may be called again.
func (t *terminal) leave() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved == nil {
		return nil
	}
	// A terminal that is stopped must not keep the program from ending.
	_ = t.file.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := t.file.WriteString(leaveScreen)
	_ = t.file.SetWriteDeadline(time.Time{}) // before it is taken again
	restored := t.control(func(fd int) error { return term.Restore(fd, t.saved) })
	t.saved = nil
	return errors.Join(err, restored)
}

// close leaves the terminal and ends reads.
func (t *terminal) close() error { return errors.Join(t.leave(), t.file.Close()) }

// guard calls f. A panic in it ends the program, and must find the terminal as it was.
func (t *terminal) guard(f func()) {
	finished := false
	defer func() {
		if !finished {
			_ = t.leave()
		}
	}()
	f()
	finished = true
}

// size of the window; the usual one where nobody has set it.
func (t *terminal) size() (width, height int, err error) {
	err = t.control(func(fd int) (err error) { width, height, err = term.GetSize(fd); return err })
	if width == 0 || height == 0 {
		width, height = 80, 24
	}
	return width, height, err
}

// control calls f with the descriptor, which os.File.Fd would make one that blocks.
func (t *terminal) control(f func(fd int) error) error {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// keys sends what is pressed until the terminal is closed.
func (t *terminal) keys(pressed func(key) bool) {
	var pending []byte
	buf := make([]byte, 256)
	for {
		n, err := t.file.Read(buf)
		if err != nil {
			return
		}
		pending = append(pending, buf[:n]...)
		for {
			k, n := nextKey(pending)
			if n == 0 {
				break
			}
			pending = pending[n:]
			if k != keyNone && !pressed(k) {
				return
			}
		}
	}
}
