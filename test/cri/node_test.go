// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// manyPods is how many pods a full node has; kubelets allow 110.
const manyPods = 100

// A hundred pods cost a hundred processes, and nothing else that the node's
// users could see: no pause process, no shim, no mount of the node's.
func TestHundredPods(t *testing.T) {
	sardineOnly(t)
	n := StartNode(t)
	n.Pull(Busybox)
	before := mounts(t, n.PID())
	containers := n.runMany(manyPods)
	// The last one may have closed all, which tells the daemon that its program runs, and not have that program's name yet.
	n.Eventually("no helper process runs", func() bool { return len(n.helpers()) == 0 })
	// Two lines for all pods, and others may unmount theirs meanwhile.
	if after := mounts(t, n.PID()); after > before+2 {
		t.Errorf("the node's table of mounts grew from %d to %d lines, want two more at most", before, after)
	}
	for _, id := range containers {
		if state := n.Status(id).State; state != runtime.ContainerState_CONTAINER_RUNNING {
			t.Errorf("container %s is %v", id, state)
		}
	}
	if got := len(n.Addresses()); got != manyPods {
		t.Errorf("%d addresses in use, want one for each of %d pods", got, manyPods)
	}
	n.removeAll()
	if left := n.Addresses(); len(left) != 0 {
		t.Errorf("addresses still in use: %v", left)
	}
	if images := n.MustCtr("-n", "k8s.io", "images", "ls", "-q"); strings.Contains(images, "pause") {
		t.Errorf("a pause image was pulled:\n%s", images)
	}
}

// runMany runs pods of one container, four at a time, and returns the
// containers' ids.
func (n *Node) runMany(count int) []string {
	n.t.Helper()
	configs := make(chan *runtime.PodSandboxConfig, count)
	for range count {
		configs <- n.PodConfig()
	}
	close(configs)
	var mu sync.Mutex
	var ids []string
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for config := range configs {
				id, err := n.runOne(config)
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
				if err != nil {
					n.t.Errorf("%s: %v", config.Metadata.Name, err)
					return
				}
			}
		})
	}
	running.Wait()
	if n.t.Failed() {
		n.t.FailNow()
	}
	return ids
}

func (n *Node) runOne(config *runtime.PodSandboxConfig) (string, error) {
	ctx, cancel := n.context()
	defer cancel()
	pod, err := n.Runtime.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: config})
	if err != nil {
		return "", err
	}
	container, err := n.Runtime.CreateContainer(ctx, &runtime.CreateContainerRequest{
		PodSandboxId: pod.PodSandboxId, SandboxConfig: config, Config: ContainerConfig("c", Forever),
	})
	if err != nil {
		return "", err
	}
	_, err = n.Runtime.StartContainer(ctx, &runtime.StartContainerRequest{ContainerId: container.ContainerId})
	return container.ContainerId, err
}

// removeAll removes every pod of the node.
func (n *Node) removeAll() {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	list, err := n.Runtime.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	for _, item := range list.Items {
		(&Pod{ID: item.Id, node: n}).Remove()
	}
}

// helpers returns what other runtimes keep for every pod: processes of the
// daemon's, or that name its directories, that are called pause or like a shim
// or like our own program that runs before a container's.
func (n *Node) helpers() []string {
	n.t.Helper()
	var found []string
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		n.t.Fatal(err)
	}
	for _, name := range names {
		comm, _ := os.ReadFile(name) // gone meanwhile: no name
		if isHelper(string(comm)) && n.owns(filepath.Dir(name)) {
			found = append(found, strings.TrimSpace(string(comm)))
		}
	}
	return found
}

func isHelper(name string) bool {
	return strings.Contains(name, "pause") || strings.Contains(name, "shim") || strings.Contains(name, "sardine-init")
}

// owns tells whether a process, by its directory in /proc, is the daemon's child
// or names its directory.
func (n *Node) owns(proc string) bool {
	args, _ := os.ReadFile(proc + "/cmdline")
	stat, _ := os.ReadFile(proc + "/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	return strings.Contains(string(args), n.Dir) || len(fields) > 1 && fields[1] == strconv.Itoa(n.PID())
}

// mounts counts the lines of a process's table of mounts.
func mounts(t *testing.T, pid int) int {
	t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(table), "\n")
}

// What is done through CRI is seen through containerd's API, and cannot be
// changed there.
func TestContainerdClientsSeePods(t *testing.T) {
	n := StartNode(t)
	n.Pull(Busybox)
	pod := n.RunPod()
	id := pod.Run("c", Forever)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"containers", "ls", "-q"}, id},
		{[]string{"containers", "info", id}, Busybox},
		{[]string{"tasks", "ls"}, id},
		{[]string{"tasks", "ps", id}, ""},
		{[]string{"images", "ls", "-q"}, Busybox},
	} {
		out, err := n.Ctr(append([]string{"-n", "k8s.io"}, c.args...)...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("ctr %v: %v, lacks %q:\n%s", c.args, err, c.want, out)
		}
	}
	if program() == "sardined" {
		n.refusesToChange(id)
	}
	pod.Remove()
	if list := n.MustCtr("-n", "k8s.io", "containers", "ls", "-q"); strings.TrimSpace(list) != "" {
		t.Errorf("still there: %s", list)
	}
}

// refusesToChange tries what would take a container away from the kubelet.
func (n *Node) refusesToChange(id string) {
	n.t.Helper()
	for _, args := range [][]string{
		{"containers", "rm", id},
		{"containers", "label", id, "a=b"},
		{"tasks", "rm", "-f", id},
	} {
		if _, err := n.Ctr(append([]string{"-n", "k8s.io"}, args...)...); err == nil {
			n.t.Errorf("ctr %v succeeded", args)
		}
	}
	if state := n.Status(id).State; state != runtime.ContainerState_CONTAINER_RUNNING {
		n.t.Errorf("the container is %v", state)
	}
}
