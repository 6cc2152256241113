// SPDX-License-Identifier: Apache-2.0

package session

import (
	"slices"
	"strings"
	"testing"
)

func TestCgroupMounts(t *testing.T) {
	const table = `22 28 0:20 / /sys rw,nosuid - sysfs sysfs rw
31 22 0:27 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755
32 31 0:28 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw
35 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
36 31 0:31 / /sys/fs/cgroups rw - ext4 cgroup rw
broken
`
	got, err := cgroupMounts(strings.NewReader(table))
	want := []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup/cpu,cpuacct"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}
