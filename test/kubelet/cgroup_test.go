// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// makeCgroups makes the cgroup that the kubelet puts all others in, which it
// expects to find in every hierarchy.
func (n *node) makeCgroups() {
	for _, root := range hierarchies(n.t) {
		if err := os.MkdirAll(root+n.cgroup, 0o755); err != nil {
			n.t.Fatal(err)
		}
	}
	n.t.Cleanup(n.removeCgroups)
}

// hierarchies returns where cgroups can be made: each version 1 hierarchy and
// the unified one.
func hierarchies(t testing.TB) []string {
	if unified() {
		return []string{"/sys/fs/cgroup"}
	}
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var roots []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") && strings.HasPrefix(fields[1], "/sys/fs/cgroup/") {
			roots = append(roots, fields[1])
		}
	}
	return roots
}

// unified tells whether there is only cgroup version 2.
func unified() bool {
	var stat unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &stat) == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC
}

// removeCgroups takes away what a kubelet leaves when it ends: the cgroups of the
// classes.
func (n *node) removeCgroups() {
	for _, root := range hierarchies(n.t) {
		dirs := subdirectories(root + n.cgroup)
		slices.Reverse(dirs) // the innermost first
		for _, dir := range dirs {
			if n.t.Failed() {
				n.killIn(dir)
			}
			_ = os.Remove(dir) // what cannot be removed is reported
		}
	}
}

func (n *node) killIn(dir string) {
	for _, pid := range n.pidsIn(dir) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// subdirectories returns a directory and all below it, outer ones first.
func subdirectories(dir string) []string {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // what vanishes meanwhile is of no interest
	})
	return dirs
}

func (n *node) noPodCgroups() error {
	for _, root := range hierarchies(n.t) {
		for _, dir := range subdirectories(root + n.cgroup) {
			if strings.HasPrefix(filepath.Base(dir), "pod") {
				return fmt.Errorf("%s is left", dir)
			}
		}
	}
	return nil
}

// cgroupDir returns the directory of a pod's cgroup, or of what is below it,
// where the controller's files are. The kubelet puts the class in between but
// for guaranteed pods.
func (p *pod) cgroupDir(controller string, below ...string) string {
	class := map[string]string{"Burstable": "burstable", "BestEffort": "besteffort"}[p.status().Status.QOSClass]
	root := filepath.Join("/sys/fs/cgroup", controller)
	if unified() {
		root = "/sys/fs/cgroup"
	}
	elements := append([]string{root, p.node.cgroup, "kubepods", class, "pod" + p.status().Metadata.UID}, below...)
	return filepath.Join(elements...)
}

// pids returns the processes of the whole pod.
func (p *pod) pids() []int {
	var pids []int
	for _, dir := range subdirectories(p.cgroupDir("memory")) {
		pids = append(pids, p.node.pidsIn(dir)...)
	}
	return pids
}

// containerPIDs returns the processes of one container.
func (p *pod) containerPIDs(name string) []int {
	p.t.Helper()
	pids := p.node.pidsIn(p.cgroupDir("memory", p.containerID(name)))
	if len(pids) == 0 {
		p.t.Fatalf("%s has no process in its cgroup", name)
	}
	return pids
}

// containerID returns the runtime's own id: the kubelet puts its name before.
func (p *pod) containerID(name string) string {
	_, id, _ := strings.Cut(p.status().container(name).ContainerID, "://")
	return id
}

// pidsIn returns the processes of a cgroup, without the daemon: where there is cgroup v1 its threads start processes from inside, and
// whenever one does, the daemon is listed too.
func (n *node) pidsIn(dir string) []int {
	data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	var pids []int
	for _, word := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(word); err == nil && pid != n.daemon.PID() {
			pids = append(pids, pid)
		}
	}
	return pids
}
