// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// place is where mounts are made inside a throw-away mount namespace. Nothing there is
// visible to anybody else, so any directory that always exists will do.
const place = "/proc"

// inNamespace calls build on a thread with a mount namespace of its own, which ends
// with the thread, and every mount in it, when build returns. A detached tree that
// build returns is independent of it.
func inNamespace(build func() (int, error)) (tree int, err error) {
	kernel.OnThread(func() {
		if tree, err = -1, enterNamespace(); err == nil {
			tree, err = build()
		}
	})
	return tree, err
}

func enterNamespace() error {
	if err := kernel.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS, "mount namespace"); err != nil {
		return err
	}
	return kernel.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// stack applies several mounts one over the other, as mount(8) would.
func stack(mounts []Mount) (int, error) {
	return inNamespace(func() (int, error) {
		for _, m := range mounts {
			flags, data := legacyOptions(m.Options)
			if m.Type == "bind" {
				flags |= unix.MS_BIND
			}
			if err := kernel.Mount(m.Source, place, m.Type, flags, data); err != nil {
				return -1, err
			}
			if flags&unix.MS_BIND != 0 && flags&unix.MS_RDONLY != 0 {
				if err := kernel.Mount("", place, "", flags|unix.MS_REMOUNT, ""); err != nil {
					return -1, err
				}
			}
		}
		return kernel.OpenTree(unix.AT_FDCWD, place, true)
	})
}
