// SPDX-License-Identifier: Apache-2.0

package nsstore

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/kernel"
)

// names are the files of a Set, as in /proc/PID/ns.
var names = map[uintptr]string{
	unix.CLONE_NEWNET: "net", unix.CLONE_NEWIPC: "ipc", unix.CLONE_NEWUTS: "uts", unix.CLONE_NEWUSER: "user",
}

const shmName = "shm"

// Request asks for a Set.
type Request struct {
	New uintptr // CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS
	// Given are namespaces that exist, to be pinned in place of new ones, by their flag: those that belong
	// to a user namespace, and that one. They stay the caller's.
	Given map[uintptr]*os.File

	Hostname, Domainname string            // of the UTS namespace, "" leaves them
	Sysctls              map[string]string // net.core.somaxconn: of the network and IPC namespaces
	SHM                  SHM
}

// SHM is a tmpfs for /dev/shm.
type SHM struct {
	Size     int64 // bytes, 0 for no such file system
	UID, GID uint32
	Label    string // SELinux context, "" for none
}

// Set is what is pinned under one key. Its methods may be called concurrently.
type Set struct {
	store *Store
	key   string

	mu    sync.Mutex
	files map[uintptr]*os.File
}

// Make makes the Set key. On error nothing is left of it.
func (s *Store) Make(key string, req *Request) (*Set, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	ns, err := s.namespace()
	if err != nil {
		return nil, err
	}
	set := &Set{store: s, key: key, files: map[uintptr]*os.File{}}
	set.take(req)
	kernel.OnThread(func() {
		if err = set.make(req); err == nil {
			err = set.keep(ns, req.SHM)
		}
	})
	if err != nil {
		set.Close()
		return nil, errors.Join(fmt.Errorf("namespaces of %s: %w", key, err), s.Remove(key))
	}
	return set, nil
}

// take gives the Set a network namespace that was made ahead, if it asks for an ordinary one and there is one.
func (s *Set) take(req *Request) {
	if req.New&unix.CLONE_NEWNET == 0 || len(req.Given) > 0 {
		return
	}
	if f := s.store.pool.take(); f != nil {
		s.files[unix.CLONE_NEWNET] = f
	}
}

// make takes the calling thread into the namespaces, furnishes and opens them.
func (s *Set) make(req *Request) error {
	missing := req.New
	if f := s.files[unix.CLONE_NEWNET]; f != nil {
		if err := kernel.Setns(int(f.Fd()), unix.CLONE_NEWNET, "network namespace made ahead"); err != nil {
			return err
		}
		missing &^= unix.CLONE_NEWNET
	}
	for flag, f := range req.Given {
		own, err := kernel.Dup(f)
		if err != nil {
			return err
		}
		s.files[flag] = own
		if flag == unix.CLONE_NEWUSER {
			continue // no thread of the daemon may enter it, nor needs to
		}
		if err := kernel.Setns(int(f.Fd()), int(flag), names[flag]+" namespace"); err != nil {
			return err
		}
	}
	if missing != 0 {
		if err := kernel.Unshare(int(missing), "namespaces"); err != nil {
			return err
		}
	}
	if err := furnish(req, missing); err != nil {
		return err
	}
	return s.open(missing)
}

// furnish makes of new namespaces what is asked for. made are those that nobody has furnished yet.
func furnish(req *Request, made uintptr) error {
	all := made
	for flag := range req.Given {
		all |= flag
	}
	if all&unix.CLONE_NEWUTS != 0 {
		if err := setNames(req.Hostname, req.Domainname); err != nil {
			return err
		}
	}
	if all&unix.CLONE_NEWNET != 0 {
		if err := kernel.SetLinkUp("lo"); err != nil {
			return err
		}
	}
	return writeSysctls(req.Sysctls)
}

func (s *Set) open(flags uintptr) error {
	for flag, name := range names {
		if flags&flag == 0 {
			continue
		}
		f, err := os.Open("/proc/thread-self/ns/" + name)
		if err != nil {
			return err
		}
		s.files[flag] = f
	}
	return nil
}

// keep pins the namespaces in the mount namespace ns, and makes the tmpfs there. The copies are made before
// the thread leaves the host's mount namespace: there is no /proc where it goes.
func (s *Set) keep(ns *os.File, shm SHM) error {
	trees := map[string]int{}
	defer func() {
		for _, fd := range trees {
			unix.Close(fd)
		}
	}()
	for flag, f := range s.files {
		tree, err := kernel.OpenTree(int(f.Fd()), "", false)
		if err != nil {
			return err
		}
		trees[names[flag]] = tree
	}
	if shm.Size > 0 {
		tree, err := shm.mount()
		if err != nil {
			return err
		}
		trees[shmName] = tree
	}
	if err := enter(ns); err != nil {
		return err
	}
	return attach("/"+s.key, trees)
}

func attach(dir string, trees map[string]int) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := fault.Point(fault.SpacesDir); err != nil {
		return err
	}
	for name, tree := range trees {
		if err := attachOne(dir+"/"+name, tree, name == shmName); err != nil {
			return err
		}
		if err := fault.Point(fault.SpacesPin); err != nil {
			return err
		}
	}
	return nil
}

func attachOne(path string, tree int, directory bool) error {
	if directory {
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
	} else if err := os.WriteFile(path, nil, 0o400); err != nil {
		return err
	}
	target, err := kernel.Open(path, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer target.Close()
	return kernel.MoveMount(tree, int(target.Fd()), path)
}

// mount returns a detached mount of a new tmpfs.
func (m SHM) mount() (int, error) {
	fs, err := kernel.FSOpen("tmpfs")
	if err != nil {
		return -1, err
	}
	defer fs.Close()
	options := [][2]string{
		{"source", "shm"}, {"mode", "1777"}, {"size", fmt.Sprint(m.Size)}, {"uid", fmt.Sprint(m.UID)}, {"gid", fmt.Sprint(m.GID)},
	}
	if m.Label != "" {
		options = append(options, [2]string{"context", m.Label})
	}
	for _, o := range options {
		if err := fs.SetString(o[0], o[1]); err != nil {
			return -1, err
		}
	}
	return fs.Mount(unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC)
}

// Load opens Sets that were made earlier, by this or another daemon: those of the keys that there are. It goes
// there once for all of them.
func (s *Store) Load(keys []string) (map[string]*Set, error) {
	sets := make(map[string]*Set, len(keys))
	ns := s.existing()
	if ns == nil || len(keys) == 0 {
		return sets, nil
	}
	err := s.inside(ns, func() error {
		for _, key := range keys {
			set := &Set{store: s, key: key, files: map[uintptr]*os.File{}}
			err := set.load()
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			sets[key] = set
			if err != nil {
				return fmt.Errorf("namespaces of %s: %w", key, err)
			}
		}
		return nil
	})
	if err != nil {
		for _, set := range sets {
			set.Close()
		}
		return nil, err
	}
	return sets, nil
}

func (s *Set) load() error {
	if err := checkKey(s.key); err != nil {
		return err
	}
	if _, err := os.Stat("/" + s.key); err != nil {
		return err
	}
	for flag, name := range names {
		f, err := os.Open("/" + s.key + "/" + name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		s.files[flag] = f
	}
	return nil
}

// Path names the namespace of a CLONE_NEW* flag so that any process of the host can open it as long as the
// daemon lives; "" when the Set has none.
func (s *Set) Path(flag uintptr) string {
	f := s.File(flag)
	if f == nil {
		return ""
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
}

// File is the descriptor behind Path, nil when the Set has none. It stays the Set's.
func (s *Set) File(flag uintptr) *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[flag]
}

// SHM returns a detached copy of the mount of the Set's tmpfs, which the caller closes.
func (s *Set) SHM() (*os.File, error) {
	tree := -1
	err := s.store.inside(s.store.existing(), func() (err error) {
		tree, err = kernel.OpenTree(unix.AT_FDCWD, "/"+s.key+"/"+shmName, false)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("/dev/shm of %s: %w", s.key, err)
	}
	return os.NewFile(uintptr(tree), shmName), nil
}

// Close closes the descriptors. What is pinned stays until Store.Remove. May be called again.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for flag, f := range s.files {
		f.Close()
		delete(s.files, flag)
	}
}
