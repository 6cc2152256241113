// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// environment of sardine-init itself: it works on one thread and ends before a garbage
// collection would pay.
var environment = []string{"GOMAXPROCS=1", "GOGC=off"}

// clone starts sardine-init, when it is its turn. It happens on a thread of its own, which joins the
// namespaces and cgroups that the child is to be born in and is then thrown away.
func (l *Launcher) clone(ctx context.Context, files *inheritance, req *Request, cgroup Cgroup, turn func() error) (p *Process, err error) {
	end, err := l.births.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if turn != nil {
		if err := turn(); err != nil {
			return nil, err
		}
	}
	attr, argv := l.attributes(files, req)
	if files.user != 0 && req.Namespaces.New != 0 {
		// They must belong to the user namespace, which only the child can enter.
		req.Plan.Spawn, attr.Sys.Cloneflags = uint64(req.Namespaces.New), 0
	}
	group := -1
	if cgroup != nil {
		if group, err = cgroup.FD(); err != nil {
			return nil, err
		}
	}
	if group >= 0 {
		defer unix.Close(group)
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, group
	}
	pid, err := l.forkExec(req, cgroup, attr, argv)
	if err != nil {
		return nil, err
	}
	return processOf(pid)
}

// forkExec clones and executes sardine-init from the slots, on a thread that has nothing else open.
func (l *Launcher) forkExec(req *Request, cgroup Cgroup, attr *syscall.ProcAttr, argv []string) (pid int, err error) {
	files := attr.Files
	if attr.Sys.UseCgroupFD {
		files = append(files, uintptr(attr.Sys.CgroupFD))
	}
	lent, err := l.slots.lend(files)
	if err != nil {
		return 0, err
	}
	defer l.slots.giveBack(lent)
	if lent != nil {
		attr.Files = lent[:len(attr.Files)]
		if attr.Sys.UseCgroupFD {
			attr.Sys.CgroupFD = int(lent[len(lent)-1])
		}
	}
	kernel.OnThread(func() {
		if err = enter(req.Namespaces, cgroup); err != nil {
			return
		}
		if lent != nil {
			l.slots.keepOnly()
		}
		pid, err = start(attr, argv)
	})
	return pid, err
}

// attributes says how sardine-init is to be cloned. It is the last of the descriptors
// given to itself: the number of the memfd in the daemon may be taken in the child.
func (l *Launcher) attributes(files *inheritance, req *Request) (*syscall.ProcAttr, []string) {
	argv := []string{"/proc/self/fd/" + strconv.Itoa(len(files.files))}
	if files.user != 0 {
		argv = append(argv, strconv.Itoa(files.user), strconv.Itoa(int(files.userFlags)))
	}
	attr := &syscall.ProcAttr{Env: environment, Sys: &syscall.SysProcAttr{Cloneflags: req.Namespaces.New}}
	for _, f := range append(files.files, l.init) {
		attr.Files = append(attr.Files, f.Fd())
	}
	if req.Namespaces.New&unix.CLONE_NEWUSER != 0 {
		attr.Sys.UidMappings = idMap(req.Namespaces.UIDs)
		attr.Sys.GidMappings = idMap(req.Namespaces.GIDs)
		attr.Sys.GidMappingsEnableSetgroups = true
		attr.Sys.Credential = &syscall.Credential{NoSetGroups: true} // its root, to keep the capabilities over exec
	}
	return attr, argv
}

func idMap(m []rootfs.IDMap) []syscall.SysProcIDMap {
	maps := make([]syscall.SysProcIDMap, len(m))
	for i, r := range m {
		maps[i] = syscall.SysProcIDMap{ContainerID: int(r.Inside), HostID: int(r.Outside), Size: int(r.Size)}
	}
	return maps
}

// enter moves the calling thread to where the child is to be born.
func enter(n Namespaces, cgroup Cgroup) error {
	if cgroup != nil {
		if err := cgroup.Enter(); err != nil {
			return err
		}
	}
	if flags := n.ProcessFlags &^ (inside | onEntry); n.Process != nil && flags != 0 {
		if err := kernel.Setns(int(n.Process.Fd()), int(flags), "namespaces of the container"); err != nil {
			return err
		}
	}
	for _, j := range n.Join {
		if j.Flag&(inside|onEntry) != 0 {
			continue
		}
		if err := join(j); err != nil {
			return err
		}
	}
	return nil
}

func join(j Join) error {
	fd, err := unix.Open(j.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &kernel.Error{Call: "open namespace", Object: j.Path, Err: err}
	}
	defer unix.Close(fd)
	return kernel.Setns(fd, int(j.Flag), j.Path)
}

// start clones and executes sardine-init on the calling thread.
func start(attr *syscall.ProcAttr, argv []string) (pid int, err error) {
	path := argv[0]
	argv[0] = "sardine-init"
	if pid, err = syscall.ForkExec(path, argv, attr); err != nil {
		return 0, fmt.Errorf("clone: %w", err)
	}
	return pid, nil
}

// processOf opens the child pid, which nobody has reaped: its number is its own. A pidfd made by clone would be in the
// descriptor table of the thread that is gone.
func processOf(pid int) (*Process, error) {
	pidfd, err := kernel.PidfdOpen(pid)
	if err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
		return nil, err
	}
	return &Process{Pid: pid, Pidfd: os.NewFile(uintptr(pidfd), "pidfd")}, nil
}
