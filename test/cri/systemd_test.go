// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// With the systemd driver a pod's cgroup parent is a slice, and each container a scope in
// it, whose limits systemd keeps.
func TestSystemdCgroups(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("no systemd runs here; make test-vm has one")
	}
	// The connection with systemd stays.
	bus := func(l testnode.Leak) bool { return l.Kind == "descriptor" && l.Name == "socket" }
	n := StartNode(t, e2e.WithLeaksIgnored(func(l testnode.Leak) bool { return bus(l) || harmless(l) }), e2e.WithConfig(`
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = true`))
	ctx, cancel := n.context()
	defer cancel()
	answer, err := n.Runtime.RuntimeConfig(ctx, &runtime.RuntimeConfigRequest{})
	if err != nil || answer.Linux.CgroupDriver != runtime.CgroupDriver_SYSTEMD {
		t.Errorf("cgroup driver %v, %v", answer.GetLinux(), err)
	}
	n.Pull(Busybox)
	slice := strings.ReplaceAll(n.Namespace, "-", "") + ".slice"
	pod := n.RunPod(func(c *runtime.PodSandboxConfig) { c.Linux.CgroupParent = slice })
	id := pod.Run("c", Forever, func(c *runtime.ContainerConfig) {
		c.Linux.Resources = &runtime.LinuxContainerResources{MemoryLimitInBytes: 64 << 20}
	})
	dir := n.cgroupOf(id)
	if want := fmt.Sprintf("/%s/cri-containerd-%s.scope", slice, id); dir != want {
		t.Errorf("the container is in cgroup %s, want %s", dir, want)
	}
	n.limitIs(dir, "67108864")
	if _, err := n.Runtime.UpdateContainerResources(ctx, &runtime.UpdateContainerResourcesRequest{
		ContainerId: id, Linux: &runtime.LinuxContainerResources{MemoryLimitInBytes: 96 << 20},
	}); err != nil {
		t.Error(err)
	}
	n.limitIs(dir, "100663296")
	pod.Remove()
}

// cgroupOf is the cgroup of a container's program, on the unified hierarchy.
func (n *Node) cgroupOf(id string) string {
	n.t.Helper()
	text, err := os.ReadFile("/proc/" + n.pidOf(id) + "/cgroup")
	if err != nil {
		n.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if dir, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return dir
		}
	}
	n.t.Fatalf("no unified hierarchy: %s", text)
	return ""
}

func (n *Node) limitIs(dir, want string) {
	n.t.Helper()
	got, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", dir, "memory.max"))
	if err != nil || strings.TrimSpace(string(got)) != want {
		n.t.Errorf("memory.max is %s, %v; want %s", got, err, want)
	}
}
