// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"

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

// makeUserNamespace returns a user namespace without anything in it.
func (l *Launcher) makeUserNamespace(m rootfs.Mapping) (*os.File, error) {
	files, err := l.NewNamespaces(unix.CLONE_NEWUSER, m)
	return files[unix.CLONE_NEWUSER], err
}

// NewNamespaces makes a user namespace with the maps of m, and others that belong to it:
// those of flags, which has CLONE_NEWUSER. It returns a descriptor of each by its flag; the caller
// closes them, and the namespaces end then.
//
// A sardine-init is born in them and dismissed once they are open.
func (l *Launcher) NewNamespaces(flags uintptr, m rootfs.Mapping) (map[uintptr]*os.File, error) {
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
	req := &Request{Namespaces: Namespaces{New: flags, UIDs: m.UIDs, GIDs: m.GIDs}}
	attr, argv := l.attributes(&files, req)
	attr.Sys.Credential = nil // the map need not have a root
	pid, err := start(attr, argv)
	if err != nil {
		return nil, err
	}
	p, err := processOf(pid)
	if err != nil {
		return nil, err
	}
	opened, err := openNamespaces(p.Pid, flags)
	_ = unix.PidfdSendSignal(int(p.Pidfd.Fd()), unix.SIGKILL, nil, 0) // ends it, whatever it does
	p.reap()
	return opened, errors.Join(err, p.Pidfd.Close())
}

// namespaceFiles are the names in /proc/PID/ns.
var namespaceFiles = map[uintptr]string{
	unix.CLONE_NEWUSER: "user", unix.CLONE_NEWNET: "net", unix.CLONE_NEWIPC: "ipc", unix.CLONE_NEWUTS: "uts",
}

func openNamespaces(pid int, flags uintptr) (map[uintptr]*os.File, error) {
	opened := map[uintptr]*os.File{}
	for flag, name := range namespaceFiles {
		if flags&flag == 0 {
			continue
		}
		f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/" + name)
		if err != nil {
			for _, f := range opened {
				f.Close()
			}
			return nil, err
		}
		opened[flag] = f
	}
	return opened, nil
}
