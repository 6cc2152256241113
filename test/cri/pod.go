// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

// Pod is a sandbox that a test made.
type Pod struct {
	ID     string
	Config *runtime.PodSandboxConfig
	node   *Node
}

// context bounds one call.
func (n *Node) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(n.t.Context(), callPatience)
}

// PodConfig is a pod on the bridge network that no other pod is like.
func (n *Node) PodConfig(change ...func(*runtime.PodSandboxConfig)) *runtime.PodSandboxConfig {
	n.t.Helper()
	name := fmt.Sprintf("pod-%d", n.pods.Add(1))
	config := &runtime.PodSandboxConfig{
		Metadata:     &runtime.PodSandboxMetadata{Name: name, Namespace: "tests", Uid: n.Namespace + "-" + name},
		LogDirectory: filepath.Join(n.Logs, name),
		Linux: &runtime.LinuxPodSandboxConfig{
			CgroupParent:    n.Cgroup,
			SecurityContext: &runtime.LinuxSandboxSecurityContext{NamespaceOptions: &runtime.NamespaceOption{Pid: runtime.NamespaceMode_CONTAINER}},
		},
	}
	for _, f := range change {
		f(config)
	}
	if err := os.MkdirAll(config.LogDirectory, 0o755); err != nil {
		n.t.Fatal(err)
	}
	return config
}

// HostNetwork puts a pod in the node's network.
func HostNetwork(c *runtime.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.Network = runtime.NamespaceMode_NODE
}

// SharedPID has the containers of a pod share a pid namespace.
func SharedPID(c *runtime.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.Pid = runtime.NamespaceMode_POD
}

// UserNamespace gives a pod users of its own.
func UserNamespace(c *runtime.PodSandboxConfig) {
	ids := []*runtime.IDMapping{{HostId: 1 << 20, Length: 1 << 16}}
	c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtime.UserNamespace{Mode: runtime.NamespaceMode_POD, Uids: ids, Gids: ids}
}

// likePod gives a container the namespaces of its pod, as the kubelet does.
func (p *Pod) likePod(c *runtime.ContainerConfig) {
	c.Linux.SecurityContext = &runtime.LinuxContainerSecurityContext{NamespaceOptions: p.Config.Linux.SecurityContext.NamespaceOptions}
}

// RunPod runs a pod like PodConfig's. It goes with the node if not before.
func (n *Node) RunPod(change ...func(*runtime.PodSandboxConfig)) *Pod {
	n.t.Helper()
	pod := &Pod{Config: n.PodConfig(change...), node: n}
	ctx, cancel := n.context()
	defer cancel()
	answer, err := n.Runtime.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: pod.Config})
	if err != nil {
		n.t.Fatalf("run a pod: %v", err)
	}
	pod.ID = answer.PodSandboxId
	return pod
}

// Remove stops and removes the pod with its containers.
func (p *Pod) Remove() {
	p.node.t.Helper()
	ctx, cancel := p.node.context()
	defer cancel()
	if _, err := p.node.Runtime.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		p.node.t.Errorf("stop the pod: %v", err)
	}
	if _, err := p.node.Runtime.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		p.node.t.Errorf("remove the pod: %v", err)
	}
}

// ContainerConfig is a container of busybox that runs a shell command.
func ContainerConfig(name, command string, change ...func(*runtime.ContainerConfig)) *runtime.ContainerConfig {
	config := &runtime.ContainerConfig{
		Metadata: &runtime.ContainerMetadata{Name: name},
		Image:    &runtime.ImageSpec{Image: Busybox},
		Command:  []string{"sh", "-c", command},
		LogPath:  name + ".log",
		Linux:    &runtime.LinuxContainerConfig{},
	}
	for _, f := range change {
		f(config)
	}
	return config
}

// Forever is a command that ends at once when it is told to.
const Forever = "trap 'exit 0' TERM; while :; do sleep 100000 & wait; done"

// Create makes a container of the pod.
func (p *Pod) Create(config *runtime.ContainerConfig) string {
	p.node.t.Helper()
	ctx, cancel := p.node.context()
	defer cancel()
	answer, err := p.node.Runtime.CreateContainer(ctx, &runtime.CreateContainerRequest{PodSandboxId: p.ID, Config: config, SandboxConfig: p.Config})
	if err != nil {
		p.node.t.Fatalf("create container %s: %v", config.Metadata.Name, err)
	}
	return answer.ContainerId
}

// Run makes and starts a container of the pod.
func (p *Pod) Run(name, command string, change ...func(*runtime.ContainerConfig)) string {
	p.node.t.Helper()
	id := p.Create(ContainerConfig(name, command, change...))
	p.node.StartContainer(id)
	return id
}

// StartContainer starts a container.
func (n *Node) StartContainer(id string) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if _, err := n.Runtime.StartContainer(ctx, &runtime.StartContainerRequest{ContainerId: id}); err != nil {
		n.t.Fatalf("start container %s: %v", id, err)
	}
}

// StopContainer stops a container, with seconds to go by itself.
func (n *Node) StopContainer(id string, grace int64) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if _, err := n.Runtime.StopContainer(ctx, &runtime.StopContainerRequest{ContainerId: id, Timeout: grace}); err != nil {
		n.t.Fatalf("stop container %s: %v", id, err)
	}
}

// Pull pulls an image and returns its id.
func (n *Node) Pull(ref string) string {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	answer, err := n.Images.PullImage(ctx, &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: ref}})
	if err != nil {
		n.t.Fatalf("pull %s: %v", ref, err)
	}
	return answer.ImageRef
}

// Exec runs a command in a container by ExecSync and returns what it printed.
// It must succeed.
func (n *Node) Exec(id string, args ...string) string {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	done, err := n.Runtime.ExecSync(ctx, &runtime.ExecSyncRequest{ContainerId: id, Cmd: args, Timeout: 30})
	if err != nil || done.ExitCode != 0 {
		n.t.Fatalf("exec %q: %v, exit code %d: %s", args, err, done.GetExitCode(), done.GetStderr())
	}
	return strings.TrimSpace(string(done.Stdout))
}

// Status returns a container's status.
func (n *Node) Status(id string) *runtime.ContainerStatus {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	answer, err := n.Runtime.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		n.t.Fatalf("status of container %s: %v", id, err)
	}
	return answer.Status
}

// WaitExited waits until a container has exited and returns its status.
func (n *Node) WaitExited(id string) *runtime.ContainerStatus {
	n.t.Helper()
	var status *runtime.ContainerStatus
	n.Eventually("the container exits", func() bool {
		status = n.Status(id)
		return status.State == runtime.ContainerState_CONTAINER_EXITED
	})
	return status
}

// Eventually waits for something to become true.
func (n *Node) Eventually(what string, holds func() bool) {
	n.t.Helper()
	testnode.Eventually(n.t, what, holds)
}

// Log returns what a container of a pod has logged, "" while there is no file.
func (p *Pod) Log(container string) string {
	text, _ := os.ReadFile(p.LogFile(container))
	return string(text)
}

// LogFile is the path of a container's log.
func (p *Pod) LogFile(container string) string {
	return filepath.Join(p.Config.LogDirectory, container+".log")
}
