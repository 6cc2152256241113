// SPDX-License-Identifier: Apache-2.0

package nsstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/kernel"
)

// Store holds Sets by key. Its methods may be called concurrently.
type Store struct {
	dir    string // on the host: the pin, and the mount point used once to make the namespace
	pool   *pool  // nil without
	theirs bool   // a daemon's: it is not for this process to make or to remove

	dropper dropper

	mu  sync.Mutex
	mnt *os.File // the mount namespace, nil until there is a first Set
}

// Open returns the Store of dir, with what an earlier daemon has put there. A node without pods has no
// mount of ours.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	pinned, err := s.pinned()
	switch {
	case err == nil && pinned:
		s.mnt, err = os.Open(s.pin())
	case err == nil:
		err = s.removeDir()
	}
	if err != nil {
		return nil, fmt.Errorf("namespace store: %w", err)
	}
	return s, nil
}

// Peek returns the Store of dir, which a daemon may be using: List and Remove can be called, and Close, which removes nothing. Nothing of it is
// changed. It is empty when there is none.
func Peek(dir string) (*Store, error) {
	s := &Store{dir: dir, theirs: true}
	pinned, err := s.pinned()
	if err == nil && pinned {
		s.mnt, err = os.Open(s.pin())
	}
	if err != nil {
		return nil, fmt.Errorf("namespace store: %w", err)
	}
	return s, nil
}

// removeDir removes what a daemon has left that was killed before the mount namespace was pinned.
func (s *Store) removeDir() error {
	mounted, err := kernel.IsMountRoot(s.dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && !mounted {
		return nil
	}
	if err == nil {
		err = unix.Unmount(s.dir, unix.MNT_DETACH)
	}
	return err
}

// namespace returns the mount namespace, which it makes when there is none.
func (s *Store) namespace() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mnt != nil {
		return s.mnt, nil
	}
	err := s.makeNamespace()
	if err == nil {
		s.mnt, err = os.Open(s.pin())
	}
	if err != nil {
		return nil, fmt.Errorf("namespace store: %w", err)
	}
	return s.mnt, nil
}

// existing is the mount namespace, nil when there is none.
func (s *Store) existing() *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mnt
}

// makeNamespace makes the mount namespace and pins it.
//
// The kernel lets a mount namespace be mounted only in an older one, by number, so that there is no
// circle. Each processor gives out numbers of its own (since Linux 6.18), so the new one may look older than the
// daemon's; not so if it is made on the processor where the daemon's was.
func (s *Store) makeNamespace() error {
	if err := s.makeDir(); err != nil {
		return err
	}
	if err := fault.Point(fault.SpacesStore); err != nil {
		return err
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	err := error(unix.EINVAL)
	for cpu := 0; cpu < len(allowed)*64 && errors.Is(err, unix.EINVAL); cpu++ {
		if allowed.IsSet(cpu) {
			err = s.makeNamespaceOn(cpu)
		}
	}
	return err
}

// makeDir makes the directory of the pin a mount of its own that is private: a mount namespace cannot be
// mounted where the mount would be passed on, as is the rule under systemd, unshare(1).
func (s *Store) makeDir() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	mounted, err := kernel.IsMountRoot(s.dir) // by a daemon that was killed just here
	if err != nil {
		return err
	}
	if !mounted {
		if err := kernel.Mount(s.dir, s.dir, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return kernel.Mount("", s.dir, "", unix.MS_PRIVATE, "")
}

func (s *Store) makeNamespaceOn(cpu int) (err error) {
	var ns *os.File
	kernel.OnThread(func() {
		var one unix.CPUSet
		one.Set(cpu)
		_ = unix.SchedSetaffinity(0, &one) // if it went offline just now, the next one is tried
		ns, err = newMountNamespace(s.dir)
	})
	if err != nil {
		return err
	}
	defer ns.Close()
	return bindFile(ns, s.pin())
}

func (s *Store) pin() string { return filepath.Join(s.dir, "mnt") }

// pinned reports whether a namespace is mounted on the pin.
func (s *Store) pinned() (bool, error) {
	var st unix.Statfs_t
	err := unix.Statfs(s.pin(), &st)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return st.Type == unix.NSFS_MAGIC, err
}

// Close lets go of the Store. When nothing is in it, it is removed from the host. It is called once, after
// everything else.
func (s *Store) Close() error {
	s.pool.close()
	if s.existing() == nil {
		return nil
	}
	s.dropper.close()
	if s.theirs {
		return s.mnt.Close()
	}
	keys, err := s.entries(s.mnt)
	s.mnt.Close()
	if err != nil || len(keys) > 0 {
		return err
	}
	for _, path := range []string{s.pin(), s.dir} {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("namespace store: unmount %s: %w", path, err)
		}
	}
	return os.RemoveAll(s.dir)
}

// newMountNamespace takes the calling thread into a mount namespace that holds a tmpfs and nothing of
// the host: a copy of the host's mounts would keep them busy for ever.
func newMountNamespace(dir string) (*os.File, error) {
	if err := kernel.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS, "mount namespace"); err != nil {
		return nil, err
	}
	ns, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return nil, err
	}
	if err := emptyRoot(dir); err != nil {
		ns.Close()
		return nil, err
	}
	return ns, nil
}

func emptyRoot(dir string) error {
	if err := kernel.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := kernel.Mount("sardine", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_NOSUID, "mode=700,size=16m"); err != nil {
		return err
	}
	root, err := kernel.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	return kernel.PivotRoot(int(root.Fd()))
}

// bindFile mounts the namespace f on a new file at path.
func bindFile(f *os.File, path string) error {
	target, err := kernel.Open(path, unix.O_CREAT|unix.O_RDONLY, 0o400)
	if err != nil {
		return err
	}
	target.Close()
	return kernel.Mount(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), path, "", unix.MS_BIND, "")
}

// inside calls f on a thread that sees the mount namespace.
func (s *Store) inside(ns *os.File, f func() error) (err error) {
	kernel.OnThread(func() {
		if err = enter(ns); err == nil {
			err = f()
		}
	})
	return err
}

// enter moves the calling thread, which needs a root directory of its own for that.
func enter(ns *os.File) error {
	if err := kernel.Unshare(unix.CLONE_FS, "file system attributes of the thread"); err != nil {
		return err
	}
	return kernel.Setns(int(ns.Fd()), unix.CLONE_NEWNS, "namespace store")
}

// List returns the keys of all Sets.
func (s *Store) List() ([]string, error) {
	ns := s.existing()
	if ns == nil {
		return nil, nil
	}
	names, err := s.entries(ns)
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, droppedPrefix) }), err
}

// entries are the directories of Sets, and of those dropped.
func (s *Store) entries(ns *os.File) (names []string, err error) {
	err = s.inside(ns, func() error {
		entries, err := os.ReadDir("/")
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return err
	})
	return names, err
}

// Remove drops what is pinned under key. Namespaces end when nobody else is in them. nil when
// there is nothing.
func (s *Store) Remove(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ns := s.existing()
	if ns == nil {
		return nil
	}
	err := s.inside(ns, func() error { return removeAll("/" + key) })
	if err != nil {
		return fmt.Errorf("namespace store: remove %s: %w", key, err)
	}
	return nil
}

func removeAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if uerr := unix.Unmount(filepath.Join(dir, e.Name()), unix.MNT_DETACH); uerr != nil && !errors.Is(uerr, unix.EINVAL) {
			err = errors.Join(err, uerr)
		}
		err = errors.Join(err, fault.Point(fault.SpacesUnpin))
	}
	return errors.Join(err, os.RemoveAll(dir))
}

func checkKey(key string) error {
	if key == "" || key == "." || key == ".." || filepath.Base(key) != key || len(key) > 255 {
		return fmt.Errorf("namespace store: key %q is not a file name: %w", key, errdefs.ErrInvalidArgument)
	}
	return nil
}
