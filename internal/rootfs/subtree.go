// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// SubTree returns a detached copy, closed by the caller, of the directory path in a detached mount; the path is resolved
// inside it. The mount stays the caller's, to be closed and nothing else.
func SubTree(tree int, path string) (int, error) {
	sub, err := copyBelow(tree, path)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.15 only what is in the caller's mount namespace is copied
		sub, err = copyAttached(tree, path)
	}
	if err != nil {
		return -1, fmt.Errorf("rootfs: directory %q: %w", path, err)
	}
	return sub, nil
}

func copyBelow(tree int, path string) (int, error) {
	dir, err := kernel.OpenInRoot(tree, path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	return kernel.OpenTree(dir, "", false)
}

// copyAttached does it in a mount namespace of its own, in which the mount is attached.
func copyAttached(tree int, path string) (int, error) {
	return inNamespace(func() (int, error) {
		target, err := kernel.Open(place, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return -1, err
		}
		defer target.Close()
		if err := kernel.MoveMount(tree, int(target.Fd()), place); err != nil {
			return -1, err
		}
		return copyBelow(tree, path)
	})
}
