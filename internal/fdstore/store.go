// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/fdstore/holder"
	"github.com/sardine-run/sardine/internal/kernel"
)

// Store keeps descriptors under names. Its methods may be called concurrently. A nil Store
// keeps nothing: Put does nothing and Take finds nothing.
//
// A name is 1 to 255 characters of printable ASCII without a colon, as systemd demands. It
// begins with the part of the daemon that it belongs to and a slash, "task/" or "log/"; parts
// differ in their first letter.
type Store struct {
	log *slog.Logger

	mu     sync.Mutex
	keeper *keeper        // nil: nothing is kept
	kept   map[string]int // number of descriptors by key
	count  int            // of all descriptors kept
	found  descriptors    // of an earlier daemon, not taken yet
	warned bool           // that the holder has ended
	closed bool
}

// Kind says which store it is: Systemd, Holder or None.
func (s *Store) Kind() string {
	if s == nil || s.keeper == nil {
		return None
	}
	return s.keeper.kind
}

// Put keeps duplicates of files under name, instead of what was kept under it. The files stay the
// caller's. It does not wait for a disk nor for an answer, and ten seconds at most for a
// keeper that takes nothing; once it has returned, the death of the daemon does not lose
// them. Files share their description with what is kept: an epoll that watches one must
// be told to stop, closing is not enough.
//
// A description is kept under one name: systemd drops a descriptor of which it has a duplicate.
// The error is errdefs.ErrResourceExhausted when the store is full, errdefs.ErrUnavailable
// when the keeper takes nothing.
func (s *Store) Put(name string, files ...*os.File) error {
	if s.Kind() == None {
		return nil
	}
	key, err := keyOf(name)
	if err != nil {
		return err
	}
	if len(files) == 0 || len(files) > kernel.MaxRights {
		return fmt.Errorf("store %d descriptors as %s: %w", len(files), name, errdefs.ErrInvalidArgument)
	}
	err = control(files, nil, func(fds []int) error { return s.put(key, fds) })
	if err != nil {
		return fmt.Errorf("store descriptors as %s: %w", name, err)
	}
	return nil
}

func (s *Store) put(key string, fds []int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found.drop(key)
	s.remove(key)
	if s.count+len(fds) > s.keeper.max {
		return fmt.Errorf("%d are in the store, which has place for %d: %w", s.count, s.keeper.max, errdefs.ErrResourceExhausted)
	}
	if err := s.send(holder.Message{Order: holder.Store, Name: key}, fds...); err != nil {
		return err
	}
	s.kept[key] = len(fds)
	s.count += len(fds)
	return nil
}

// control calls f with the descriptors of files, which nobody can close meanwhile.
func control(files []*os.File, fds []int, f func(fds []int) error) error {
	if len(files) == 0 {
		return f(fds)
	}
	conn, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = conn.Control(func(fd uintptr) { inner = control(files[1:], append(fds, int(fd)), f) })
	return errors.Join(err, inner)
}

// Remove drops what is kept under name, if there is something.
func (s *Store) Remove(name string) {
	key, err := keyOf(name)
	if s == nil || err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found.drop(key)
	s.remove(key)
}

// remove has the keeper drop what it has under key.
func (s *Store) remove(key string) {
	if s.kept[key] == 0 {
		return
	}
	if err := s.send(holder.Message{Order: holder.Remove, Name: key}); err != nil {
		s.log.Warn("a stored descriptor is no longer needed, but stays", "name", key, "error", err)
	}
	s.count -= s.kept[key]
	delete(s.kept, key)
}

// send sends a message. A holder that has ended gets a successor, which has nothing.
func (s *Store) send(m holder.Message, fds ...int) error {
	if s.closed { // or a holder would be started that nobody ends
		return fmt.Errorf("the store is closed: %w", errdefs.ErrUnavailable)
	}
	err := s.keeper.send(m, fds...)
	if !errors.Is(err, errLost) {
		return err
	}
	if s.keeper.kind == Holder {
		if !s.warned {
			s.log.Warn("the holder of descriptors has ended: what it kept would be lost if the daemon ended too", "descriptors", s.count)
		}
		s.warned = true
		s.kept, s.count = map[string]int{}, 0
		has, err := list(s.keeper)
		if err != nil {
			return err
		}
		has.found.dropAll()
	}
	return s.keeper.send(m, fds...)
}

// Take returns, once, what an earlier daemon has kept under name, in no certain order; nil
// if there is nothing. The files are the caller's; the originals stay kept until Remove.
func (s *Store) Take(name string) []*os.File {
	key, err := keyOf(name)
	if s == nil || err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var files []*os.File
	for _, fd := range s.found[key] {
		files = append(files, os.NewFile(uintptr(fd), name))
	}
	delete(s.found, key)
	return files
}

// Prune drops what an earlier daemon has kept for a part of the daemon, "task/" for example,
// and nobody has taken. With "" it drops all that nobody has taken.
func (s *Store) Prune(part string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.found {
		if part == "" || key[0] == part[0] {
			s.found.drop(key)
			s.remove(key)
		}
	}
}

// Len is the number of descriptors that are kept.
func (s *Store) Len() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Max is how many descriptors there is place for.
func (s *Store) Max() int {
	if s.Kind() == None {
		return 0
	}
	return s.keeper.max
}

// Close closes the daemon's own side. What is kept stays kept; a holder that holds nothing ends, as it does
// when the daemon dies.
func (s *Store) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found.dropAll()
	if s.keeper == nil || s.closed {
		return nil
	}
	s.closed = true
	s.keeper.close()
	return nil
}
