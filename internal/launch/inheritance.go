// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// inheritance is the list of descriptors that the process will have: their position
// is their number there.
type inheritance struct {
	files []*os.File
	owned []*os.File // closed when the process has its copies
	// user is the position of a user (and time) namespace to be joined on entry, 0 for none.
	user      int
	userFlags uintptr
}

// borrow puts f at position i; it stays its owner's.
func (in *inheritance) borrow(i int, f *os.File) {
	for len(in.files) <= i {
		in.files = append(in.files, nil)
	}
	in.files[i] = f
}

// add puts f at the next position and takes it over.
func (in *inheritance) add(f *os.File) int {
	in.files = append(in.files, f)
	in.owned = append(in.owned, f)
	return len(in.files) - 1
}

// close drops what was taken over. It may be called twice.
func (in *inheritance) close() {
	for _, f := range in.owned {
		f.Close()
	}
	in.owned = nil
}

// socketpair makes the control socket, gives one end to the process and returns
// the other.
func (in *inheritance) socketpair() (*net.UnixConn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	in.borrow(plan.ControlFD, theirs)
	in.owned = append(in.owned, theirs)
	defer ours.Close() // FileConn makes a copy
	c, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// onEntry are the namespaces that only a process with one thread may join: sardine-init
// does it before its runtime starts.
const onEntry = unix.CLONE_NEWUSER | unix.CLONE_NEWTIME

// inside are the namespaces that sardine-init joins once it is where it was born: nobody in a cgroup namespace can
// be born below its root from without where cgroup2 is mounted with nsdelegate, as systemd does (clone3 says ENOENT).
const inside = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP

// addNamespaces opens the namespaces that sardine-init joins itself.
func (in *inheritance) addNamespaces(req *Request) error {
	req.Plan.JoinCgroup, req.Plan.JoinMount = plan.NoFD, plan.NoFD
	if n := &req.Namespaces; n.Process != nil {
		pidfd := len(in.files)
		in.borrow(pidfd, n.Process)
		if n.ProcessFlags&unix.CLONE_NEWNS != 0 {
			req.Plan.JoinMount = pidfd
		}
		if n.ProcessFlags&unix.CLONE_NEWCGROUP != 0 {
			req.Plan.JoinCgroup = pidfd
		}
		if n.ProcessFlags&onEntry != 0 {
			in.user, in.userFlags = pidfd, n.ProcessFlags&onEntry
		}
	}
	for _, j := range req.Namespaces.Join {
		if j.Flag&(inside|onEntry) == 0 {
			continue
		}
		f, err := os.Open(j.Path)
		if err != nil {
			return fmt.Errorf("namespace: %w", err)
		}
		switch fd := in.add(f); {
		case j.Flag == unix.CLONE_NEWCGROUP:
			req.Plan.JoinCgroup = fd
		case j.Flag == unix.CLONE_NEWNS:
			req.Plan.JoinMount = fd
		case in.user != 0:
			return errors.New("joining both a user and a time namespace by path is not supported")
		default:
			in.user, in.userFlags = fd, j.Flag
		}
	}
	return nil
}
