// SPDX-License-Identifier: Apache-2.0

package holder

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// enterRootCgroups moves the calling thread to the root of each cgroup v1 hierarchy, where its
// children are born, and returns a descriptor of the unified hierarchy's root, or -1. The
// holder would otherwise keep the daemon's cgroup from being removed, and be killed
// with what is in it. What fails is left as it is.
func enterRootCgroups() (unified int) {
	unified = -1
	for line := range strings.Lines(read("/proc/self/mountinfo")) {
		switch point, kind := cgroupMount(line); kind {
		case "cgroup":
			// Unlike a process in cgroup.procs, a thread moves itself without waiting for RCU.
			write(point+"/tasks", "0")
		case "cgroup2":
			if fd, err := kernel.OpenFD(point, unix.O_PATH|unix.O_DIRECTORY, 0); err == nil && unified < 0 {
				unified = fd
			}
		}
	}
	return unified
}

// cgroupMount reads a line of proc_pid_mountinfo(5): the mount point and type of a hierarchy
// that is mounted as a whole.
func cgroupMount(line string) (point, kind string) {
	left, right, _ := strings.Cut(line, " - ")
	fields := strings.Fields(left)
	kind, _, _ = strings.Cut(right, " ")
	if len(fields) < 5 || fields[3] != "/" {
		return "", ""
	}
	return fields[4], kind
}

// read returns the text of a file of /proc, as far as it can be read. What package os has for it
// would make sardine-init 5 % larger.
func read(path string) string {
	fd, err := kernel.OpenFD(path, unix.O_RDONLY, 0)
	if err != nil {
		return ""
	}
	defer kernel.Close(fd)
	var text []byte
	buffer := make([]byte, 16<<10)
	for {
		n, err := unix.Read(fd, buffer)
		if err != nil || n <= 0 {
			return string(text)
		}
		text = append(text, buffer[:n]...)
	}
}

// write writes text into a file of /proc or of a cgroup.
func write(path, text string) {
	if fd, err := kernel.OpenFD(path, unix.O_WRONLY, 0); err == nil {
		_, _ = unix.Write(fd, []byte(text))
		kernel.Close(fd)
	}
}
