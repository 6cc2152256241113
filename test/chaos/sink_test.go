// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// sink is where the output of a task's process goes: FIFOs that the test reads, as clients do, whatever becomes of the
// daemon, or files.
type sink struct {
	paths []string
	fifo  bool
	read  []chan []byte // one result each
	files []*os.File
}

func (w *worker) newSink(terminal bool) *sink {
	s := &sink{fifo: terminal || w.chance(70)}
	names := []string{"out", "err"}
	if terminal || !s.fifo { // a file is of both streams
		names = names[:1]
	}
	number := w.count.Add(1)
	for _, name := range names {
		path := filepath.Join(w.pages, fmt.Sprintf("sink-%06d-%s", number, name))
		s.paths = append(s.paths, path)
		if !s.fifo {
			continue
		}
		if err := s.open(path); err != nil {
			w.fail("", "%v", err)
		}
	}
	w.t.Cleanup(func() { // for when the round is aborted
		for _, f := range s.files {
			f.Close()
		}
	})
	return s
}

func (s *sink) open(path string) error {
	if err := unix.Mkfifo(path, 0o666); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	result := make(chan []byte, 1)
	s.files, s.read = append(s.files, f), append(s.read, result)
	go func() {
		var text []byte
		buffer := make([]byte, 64<<10)
		for {
			n, err := f.Read(buffer)
			text = append(text, buffer[:n]...)
			if err != nil {
				result <- text
				return
			}
		}
	}()
	return nil
}

// uri is what the daemon is told of a stream.
func (s *sink) uri(stream int) string {
	switch {
	case stream >= len(s.paths):
		return ""
	case s.fifo:
		return s.paths[stream]
	}
	return "file://" + s.paths[stream]
}

// close returns what was written, when nobody writes any more.
func (s *sink) close() (text [][]byte, err error) {
	for i, path := range s.paths {
		var got []byte
		if s.fifo {
			got, err = s.closeFIFO(i)
		} else if got, err = os.ReadFile(path); errors.Is(err, os.ErrNotExist) {
			err = nil // it was never run
		}
		if err != nil {
			return nil, err
		}
		text = append(text, got)
		_ = os.Remove(path)
	}
	return text, nil
}

func (s *sink) closeFIFO(i int) ([]byte, error) {
	f := s.files[i]
	defer f.Close()
	if err := f.SetReadDeadline(time.Now()); err != nil {
		return nil, err
	}
	text := <-s.read[i]
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, 64<<10)
	err = raw.Control(func(fd uintptr) {
		for {
			n, err := unix.Read(int(fd), buffer)
			if err != nil || n <= 0 { // EAGAIN: it is empty
				return
			}
			text = append(text, buffer[:n]...)
		}
	})
	return text, err
}
