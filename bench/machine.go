// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is what a reader needs to judge the figures. No names of hosts.
type machine struct {
	kernel, arch, cpu string
	cores             int
	memoryGB          float64
	cgroups           string
	filesystem        string // of the temporary directory
}

func thisMachine() machine {
	m := machine{arch: runtime.GOARCH, cores: runtime.NumCPU(), cpu: cpuModel(), cgroups: cgroupMode(), filesystem: filesystemOf(os.TempDir())}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.kernel = unix.ByteSliceToString(uts.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.memoryGB = float64(info.Totalram) * float64(info.Unit) / (1 << 30)
	}
	return m
}

func (m machine) writeMarkdown(w io.Writer) {
	fmt.Fprintf(w, "Machine: Linux %s, %s, %d cores (%s), %.0f GB, cgroups %s, %s.\n", m.kernel, m.arch, m.cores, m.cpu, m.memoryGB, m.cgroups, m.filesystem)
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(info)) {
		if name, found := strings.CutPrefix(line, "model name"); found {
			return strings.TrimLeft(strings.TrimSpace(name), ": \t")
		}
	}
	return "unknown"
}

func cgroupMode() string {
	switch {
	case fsType("/sys/fs/cgroup") == unix.CGROUP2_SUPER_MAGIC:
		return "v2"
	case fsType("/sys/fs/cgroup/unified") == unix.CGROUP2_SUPER_MAGIC:
		return "v1 (hybrid)"
	}
	return "v1"
}

func filesystemOf(path string) string {
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC:      "ext4",
		unix.XFS_SUPER_MAGIC:       "xfs",
		unix.BTRFS_SUPER_MAGIC:     "btrfs",
		unix.TMPFS_MAGIC:           "tmpfs",
		unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	}
	kind := fsType(path)
	if name, known := names[kind]; known {
		return name
	}
	return fmt.Sprintf("file system type %#x", kind)
}

func fsType(path string) int64 {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return 0
	}
	return s.Type
}
