// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What a reboot leaves: the root directory is on a disk, and all else is gone. The next daemon gives back the addresses, deletes
// the writable layers, and has the images still.
func TestReboot(t *testing.T) {
	sardineOnly(t)
	n := StartNode(t)
	n.Pull(Busybox)
	first := n.RunPod(func(c *runtime.PodSandboxConfig) {
		c.PortMappings = []*runtime.PortMapping{{HostPort: 18080, ContainerPort: 80}}
	})
	second := n.RunPod(func(c *runtime.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtime.NamespaceMode_POD
	})
	host := n.RunPod(HostNetwork)
	stopped := n.RunPod()
	for _, pod := range []*Pod{first, host, stopped} {
		pod.Run("c", "echo text >/file; "+Forever)
	}
	second.Run("c", "echo text >/file; "+Forever, func(c *runtime.ContainerConfig) {
		c.Linux.SecurityContext = &runtime.LinuxContainerSecurityContext{NamespaceOptions: second.Config.Linux.SecurityContext.NamespaceOptions}
	})
	first.Create(ContainerConfig("created", Forever))
	n.stopPod(stopped)
	if got := len(n.Addresses()); got != 2 {
		t.Fatalf("%d addresses in use, want 2", got)
	}
	if got := len(n.onDisk()); got < 5+2 {
		t.Fatalf("before: %q", n.onDisk())
	}
	n.Kill9()
	n.endAll()
	n.Start()
	n.Restarted()
	if got := n.MustCtr("-n", "k8s.io", "containers", "ls", "-q"); strings.TrimSpace(got) != "" {
		t.Errorf("containers are there: %s", got)
	}
	n.Eventually("addresses, results, layers and cgroups are gone", func() bool {
		return len(n.Addresses()) == 0 && len(n.onDisk()) == 0 && len(n.cgroupsLeft()) == 0
	})
	pod := n.RunPod() // the image is still there
	pod.Run("c", Forever)
	if got := len(n.Addresses()); got != 1 {
		t.Errorf("%d addresses in use, want 1", got)
	}
	pod.Remove()
}

// onDisk lists what pods have below the daemon's root.
func (n *Node) onDisk() (paths []string) {
	n.t.Helper()
	for _, dir := range []string{"layers", "trash", "cni/results"} {
		found, err := filepath.Glob(filepath.Join(n.Root, "io.containerd.grpc.v1.cri", dir, "*"))
		if err != nil {
			n.t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	return paths
}

// cgroupsLeft lists the cgroups of containers in that of the tests' pods.
func (n *Node) cgroupsLeft() (paths []string) {
	n.t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		found, err := filepath.Glob(filepath.Join(pattern, n.Cgroup, "*"))
		if err != nil {
			n.t.Fatal(err)
		}
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// endAll does what a reboot does to what a daemon that was killed has left: it kills the processes, takes the mounts
// away and empties the tmpfs of the state directory.
func (n *Node) endAll() {
	n.t.Helper()
	for _, pid := range append(pidsWith(n.State), n.inCgroup()...) {
		if number, err := strconv.Atoi(pid); err == nil {
			_ = unix.Kill(number, unix.SIGKILL)
		}
	}
	n.Eventually("all processes are gone", func() bool { return len(n.inCgroup()) == 0 })
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		n.t.Fatal(err)
	}
	defer table.Close()
	var points []string
	for scanner := bufio.NewScanner(table); scanner.Scan(); {
		if fields := strings.Fields(scanner.Text()); strings.HasPrefix(fields[4], n.State+"/") {
			points = append(points, fields[4])
		}
	}
	for _, point := range slices.Backward(points) {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			n.t.Fatalf("unmount %s: %v", point, err)
		}
	}
	if err := os.RemoveAll(n.State); err != nil {
		n.t.Fatal(err)
	}
}

// inCgroup lists the processes in the cgroup of the tests' pods.
func (n *Node) inCgroup() (pids []string) {
	n.t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		n.t.Fatal(err)
	}
	for _, name := range names {
		if text, _ := os.ReadFile(name); strings.Contains(string(text), ":"+n.Cgroup+"/") {
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids
}
