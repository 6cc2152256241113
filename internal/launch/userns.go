// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/rootfs"
)

// maxUserNamespaces bounds how many user namespaces are kept open for reuse.
const maxUserNamespaces = 128

// userNamespaces keeps the user namespaces that idmapped mounts refer to. Nodes use
// few maps, usually one per pod or one in all; the oldest is closed when there are many.
type userNamespaces struct {
	mu    sync.Mutex
	order []string
	files map[string]*os.File
}

// userNamespace returns a descriptor of a user namespace with the given maps. It stays
// open at least until maxUserNamespaces other maps were asked for.
func (l *Launcher) userNamespace(m rootfs.Mapping) (int, error) {
	key := fmt.Sprint(m)
	u := &l.users
	u.mu.Lock()
	defer u.mu.Unlock()
	if f, ok := u.files[key]; ok {
		return int(f.Fd()), nil
	}
	f, err := l.makeUserNamespace(m)
	if err != nil {
		return -1, fmt.Errorf("user namespace for an idmapped mount: %w", err)
	}
	u.keep(key, f)
	return int(f.Fd()), nil
}

func (u *userNamespaces) keep(key string, f *os.File) {
	if u.files == nil {
		u.files = make(map[string]*os.File)
	}
	if len(u.order) == maxUserNamespaces {
		u.files[u.order[0]].Close()
		delete(u.files, u.order[0])
		u.order = slices.Delete(u.order, 0, 1)
	}
	u.files[key] = f
	u.order = append(u.order, key)
}

func (u *userNamespaces) close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var errs []error
	for _, f := range u.files {
		errs = append(errs, f.Close())
	}
	u.files, u.order = nil, nil
	return errors.Join(errs...)
}

// makeUserNamespace lets a sardine-init be born in a new user namespace, opens that
// and dismisses the process, which ends when its control socket closes.
func (l *Launcher) makeUserNamespace(m rootfs.Mapping) (*os.File, error) {
	var files inheritance
	defer files.close()
	for i := range 3 {
		files.borrow(i, l.devNull)
	}
	conn, err := files.socketpair()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	req := &Request{Namespaces: Namespaces{New: syscall.CLONE_NEWUSER, UIDs: m.UIDs, GIDs: m.GIDs}}
	attr, argv := l.attributes(&files, req)
	attr.Sys.Credential = nil // the map need not have a root
	p, err := start(attr, argv)
	if err != nil {
		return nil, err
	}
	f, err := os.Open("/proc/" + strconv.Itoa(p.Pid) + "/ns/user")
	_ = unix.PidfdSendSignal(int(p.Pidfd.Fd()), unix.SIGKILL, nil, 0)
	p.reap()
	return f, errors.Join(err, p.Pidfd.Close())
}
