// SPDX-License-Identifier: Apache-2.0

package features

import (
	"testing"

	"golang.org/x/sys/unix"
)

func mountTmpfs(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmount(t, path) })
}

func makeShared(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mount("", path, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
}

func unmount(t *testing.T, path string) {
	t.Helper()
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		t.Error(err)
	}
}
