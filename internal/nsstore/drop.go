// SPDX-License-Identifier: Apache-2.0

package nsstore

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/kernel"
)

// droppedPrefix begins the directory of a Set that nobody knows any more.
const droppedPrefix = ".dropped-"

// dropper unpins what was dropped: each of several unmounts waits for all processors (synchronize_rcu_expedited in namespace_unlock), which a
// pod's end need not. Its goroutine runs while there are any, and Close waits for it.
type dropper struct {
	work sync.WaitGroup

	mu    sync.Mutex // guards what follows
	root  *os.File   // directory of all Sets, to be renamed in from anywhere
	names []string   // of directories
	busy  bool       // the goroutine runs
}

// Drop is Remove that does not wait: the Set is gone when it returns, and what was pinned a little later, also if the daemon ends meanwhile and
// the next one calls Sweep. nil when there is nothing.
func (s *Store) Drop(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ns := s.existing()
	if ns == nil {
		return nil
	}
	root, err := s.rootDir(ns)
	if err != nil {
		return fmt.Errorf("namespace store: drop %s: %w", key, err)
	}
	err = unix.Renameat(int(root.Fd()), key, int(root.Fd()), droppedPrefix+key)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("namespace store: drop %s: %w", key, err)
	}
	s.unpinLater(ns, droppedPrefix+key)
	return fault.Point(fault.SpacesUnpin)
}

// rootDir opens the directory of all Sets once. A directory can be renamed by whoever has a descriptor, in whichever mount namespace.
func (s *Store) rootDir(ns *os.File) (*os.File, error) {
	s.dropper.mu.Lock()
	defer s.dropper.mu.Unlock()
	if s.dropper.root != nil {
		return s.dropper.root, nil
	}
	err := s.inside(ns, func() (err error) {
		s.dropper.root, err = kernel.Open("/", unix.O_PATH|unix.O_DIRECTORY, 0)
		return err
	})
	return s.dropper.root, err
}

// Sweep unpins what an earlier daemon has dropped.
func (s *Store) Sweep() error {
	ns := s.existing()
	if ns == nil {
		return nil
	}
	names, err := s.entries(ns)
	for _, name := range names {
		if strings.HasPrefix(name, droppedPrefix) {
			s.unpinLater(ns, name)
		}
	}
	return err
}

func (s *Store) unpinLater(ns *os.File, name string) {
	d := &s.dropper
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names = append(d.names, name)
	if !d.busy {
		d.busy = true
		d.work.Go(func() { s.unpin(ns) })
	}
}

// unpin goes there once for all that have been dropped meanwhile, until there are none.
func (s *Store) unpin(ns *os.File) {
	for names := s.dropper.next(); names != nil; names = s.dropper.next() {
		err := s.inside(ns, func() error {
			var errs []error
			for _, name := range names {
				errs = append(errs, removeAll("/"+name))
			}
			return errors.Join(errs...)
		})
		if err != nil {
			log.L.WithError(err).Warn("unpin the namespaces of pods; it is tried again by the next daemon")
		}
	}
}

// next takes what was dropped; with nil the goroutine ends.
func (d *dropper) next() (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	names, d.names = d.names, nil
	d.busy = names != nil
	return names
}

func (d *dropper) close() {
	d.work.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != nil {
		d.root.Close()
	}
}
