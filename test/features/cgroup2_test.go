// SPDX-License-Identifier: Apache-2.0

package features

import (
	"os"
	"os/exec"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

// TestPureCgroup2 runs the other tests where the host has cgroup v2 alone: in a mount
// namespace with a cgroup2 mount in place of this host's hierarchies. Controllers that the
// host has given to v1 are missing there; those are tested in the virtual machine.
func TestPureCgroup2(t *testing.T) {
	testnode.NeedRoot(t)
	if unified() {
		t.Skip("this host has cgroup v2 alone, so all tests have run there")
	}
	cmd := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c",
		`umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$0" "$@"`,
		os.Args[0], "-test.timeout=5m")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
