// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// hostFiles are files of the host's /proc and /dev, opened before the container's
// own come into sight: nothing in an image or a joined container can fake them.
type hostFiles struct {
	proc     int // /proc
	devNull  int // /dev/null, O_PATH
	execAttr int // the LSM label file of this thread, or NoFD
	empty    int // detached empty read-only directory: the daemon's, or made when first needed, or NoFD
}

func (h *hostFiles) open(p *plan.Plan) (err error) {
	h.execAttr, h.empty = plan.NoFD, plan.NoFD
	if p.Root != nil {
		h.empty = p.Root.Mask
	}
	if h.proc, err = open("/proc", unix.O_PATH|unix.O_DIRECTORY); err != nil {
		return err
	}
	if h.devNull, err = open("/dev/null", unix.O_PATH); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(h.devNull, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		return errors.New("/dev/null of the host is not the null device")
	}
	if p.Process.AppArmor != "" || p.Process.SELinux != "" {
		h.execAttr, err = openExecAttr(p.Process.AppArmor != "")
	}
	return err
}

func open(path string, flags int) (int, error) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &kernel.Error{Call: "open", Object: path, Err: err}
	}
	return fd, nil
}

// openExecAttr opens the file whose content takes effect at exec. With several LSMs
// loaded AppArmor has a directory of its own (Linux 5.8).
func openExecAttr(apparmor bool) (fd int, err error) {
	err = whileDumpable(func() error {
		if apparmor {
			if fd, err = open("/proc/thread-self/attr/apparmor/exec", unix.O_WRONLY); err == nil {
				return nil
			}
		}
		fd, err = open("/proc/thread-self/attr/exec", unix.O_WRONLY)
		return err
	})
	return fd, err
}

// whileDumpable runs open with the files in /proc/self owned by this process's user
// instead of the host's root, whom a user namespace may not know.
func whileDumpable(open func() error) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return err
	}
	err := open()
	return errors.Join(err, unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}

// enterTimeNamespace makes a time namespace that takes effect at exec, which needs
// Linux 6.3; the caller checked that.
func enterTimeNamespace(offsets []plan.TimeOffset) error {
	if err := kernel.Unshare(unix.CLONE_NEWTIME, "time"); err != nil {
		return err
	}
	var text string
	for _, o := range offsets {
		text += o.Clock + " " + strconv.FormatInt(o.Seconds, 10) + " " + strconv.FormatUint(uint64(o.Nanos), 10) + "\n"
	}
	return whileDumpable(func() error {
		fd, err := open("/proc/self/timens_offsets", unix.O_WRONLY)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte(text))
		return err
	})
}

// joinMount enters an existing mount namespace. The kernel wants a thread that
// shares its root and working directory with no other.
func joinMount(fd int) error {
	if err := kernel.Unshare(unix.CLONE_FS, "fs"); err != nil {
		return err
	}
	return kernel.Setns(fd, unix.CLONE_NEWNS, "mount namespace")
}
