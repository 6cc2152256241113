// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"

	"golang.org/x/sys/unix"
)

// OpenInRoot opens path as if root were "/": openat2(2) with RESOLVE_IN_ROOT,
// Linux 5.6. No symbolic link in the image leads outside, whatever a process
// sharing the tree does meanwhile. Magic links are refused.
// The kernel answers EAGAIN when a rename raced with "..": the call is repeated.
func OpenInRoot(root int, path string, flags uint64, mode uint64) (int, error) {
	return openat2(root, path, flags, mode, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// OpenBeneath opens path below dir and fails when it, or a link in it, leads
// out of dir: RESOLVE_BENEATH.
func OpenBeneath(dir int, path string, flags uint64, mode uint64) (int, error) {
	return openat2(dir, path, flags, mode, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS)
}

// attempts bounds the repetition on EAGAIN, so that a process which renames
// directories in a loop can fail a container but not hang it.
const attempts = 128

func openat2(dir int, path string, flags, mode, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Mode: mode, Resolve: resolve}
	if path == "" {
		path = "."
	}
	var fd int
	var err error
	for range attempts {
		fd, err = unix.Openat2(dir, path, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, wrap("openat2", path, err)
}

// WriteFile writes data in one write to the existing file path below dir.
// It is meant for procfs and cgroupfs files, which take no partial writes.
func WriteFile(dir int, path, data string) error {
	fd, err := OpenBeneath(dir, path, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = retry(func() error { _, err := unix.Write(fd, []byte(data)); return err })
	return wrap("write", path, err)
}
