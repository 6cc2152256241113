// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// WatchUnlink returns an inotify descriptor that becomes readable when the file at path may
// have been removed or renamed: inotify(7).
func WatchUnlink(path string) (int, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return -1, wrap("inotify_init1", "", err)
	}
	// Removing a name changes the number of links: an attribute.
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_ATTRIB|unix.IN_MOVE_SELF|unix.IN_DELETE_SELF); err != nil {
		unix.Close(fd)
		return -1, wrap("inotify_add_watch", path, err)
	}
	return fd, nil
}
