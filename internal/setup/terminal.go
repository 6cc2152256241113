// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// terminal opens the terminal of a new container and shows it at /dev/console.
func (s *session) terminal() (err error) {
	if s.slave, err = s.openTerminal(); err != nil {
		return err
	}
	return s.mountConsole(s.slave)
}

// openTerminal opens a pty of the container's devpts, gives the master to the daemon
// and returns the slave.
func (s *session) openTerminal() (int, error) {
	master, err := kernel.OpenInRoot(s.root, "/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(master)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(master, &fs); err != nil || fs.Type != unix.DEVPTS_SUPER_MAGIC {
		return -1, errors.New("/dev/pts/ptmx in the container is not on a devpts file system")
	}
	slave, err := openSlave(master)
	if err != nil {
		return -1, err
	}
	p := &s.plan.Process
	if p.ConsoleWidth != 0 || p.ConsoleHeight != 0 {
		size := unix.Winsize{Row: p.ConsoleHeight, Col: p.ConsoleWidth}
		if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &size); err != nil {
			return -1, &kernel.Error{Call: "ioctl TIOCSWINSZ", Err: err}
		}
	}
	return slave, s.send(plan.Terminal, nil, master)
}

// openSlave unlocks master and opens its other end without looking at any path:
// TIOCGPTPEER, Linux 4.13.
func openSlave(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, &kernel.Error{Call: "ioctl TIOCSPTLCK", Err: err}
	}
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER,
		unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, &kernel.Error{Call: "ioctl TIOCGPTPEER", Err: errno}
	}
	return int(slave), nil
}

// mountConsole shows the terminal at /dev/console.
func (s *session) mountConsole(slave int) error {
	tree, err := kernel.OpenTree(slave, "", false)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	target, err := s.target("/dev/console", true)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return kernel.MoveMount(tree, target, "/dev/console")
}

// takeTerminal makes slave the controlling terminal of this session, and 0, 1 and 2.
func takeTerminal(slave int) error {
	if err := unix.IoctlSetInt(slave, unix.TIOCSCTTY, 0); err != nil {
		return &kernel.Error{Call: "ioctl TIOCSCTTY", Err: err}
	}
	for fd := range 3 {
		if err := unix.Dup3(slave, fd, 0); err != nil {
			return &kernel.Error{Call: "dup3", Err: err}
		}
	}
	return unix.Close(slave)
}
