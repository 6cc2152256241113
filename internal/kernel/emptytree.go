// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// EmptyTree makes a directory, as a detached mount, that is read-only and in which there is no room for anything: to
// hide others behind it.
func EmptyTree() (int, error) {
	fs, err := FSOpen("tmpfs")
	if err != nil {
		return -1, err
	}
	defer fs.Close()
	for _, option := range [][2]string{{"mode", "0555"}, {"size", "1"}, {"nr_inodes", "1"}} {
		if err := fs.SetString(option[0], option[1]); err != nil {
			return -1, err
		}
	}
	return fs.Mount(unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC)
}
