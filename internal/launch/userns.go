// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/rootfs"
)

// userNamespaces are those that the idmapped mounts of one Request refer to, by their
// maps. They are made when first needed and dropped when the mounts are.
type userNamespaces struct {
	launcher *Launcher
	files    map[string]*os.File
}

// get returns a descriptor of a user namespace with the given maps. It is a
// rootfs.UserNamespace.
func (u *userNamespaces) get(m rootfs.Mapping) (int, error) {
	key := fmt.Sprint(m)
	if f, ok := u.files[key]; ok {
		return int(f.Fd()), nil
	}
	f, err := u.launcher.makeUserNamespace(m)
	if err != nil {
		return -1, fmt.Errorf("user namespace for an idmapped mount: %w", err)
	}
	if u.files == nil {
		u.files = make(map[string]*os.File)
	}
	u.files[key] = f
	return int(f.Fd()), nil
}

func (u *userNamespaces) close() {
	for _, f := range u.files {
		f.Close()
	}
	u.files = nil
}

// makeUserNamespace lets a sardine-init be born in a new user namespace, opens that
// and dismisses the process.
func (l *Launcher) makeUserNamespace(m rootfs.Mapping) (*os.File, error) {
	var files inheritance
	defer files.close()
	for i := range 3 {
		files.borrow(i, l.devNull)
	}
	conn, err := files.socketpair() // it waits there for a Plan
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
	_ = unix.PidfdSendSignal(int(p.Pidfd.Fd()), unix.SIGKILL, nil, 0) // ends it, whatever it does
	p.reap()
	return f, errors.Join(err, p.Pidfd.Close())
}
