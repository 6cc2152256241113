// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/test/e2e"
)

// pauseImage is what the pods of containerd's own CRI server need.
const pauseImage = "registry.k8s.io/pause:3.10.2"

// TestStockHandler has the handler runc run by the stock shim and runc, and our own handler beside it in one daemon.
func TestStockHandler(t *testing.T) {
	sardineOnly(t)
	e2e.Program(t, "containerd-shim-runc-v2")
	e2e.Program(t, "runc")
	n := StartNode(t, e2e.WithStockRunc("shim"))
	n.Pull(Busybox)
	n.Pull(pauseImage)
	n.handlersAre("", "runc", "sardine")
	events := n.follow()

	stock, ours := n.runHandler("runc"), n.runHandler("sardine")
	script := "echo hello; " + Forever
	inStock, inOurs := stock.Run("c", script), ours.Run("c", script)
	n.listsHave([]*Pod{stock, ours}, inStock, inOurs)
	for _, c := range []struct {
		pod *Pod
		id  string
	}{{stock, inStock}, {ours, inOurs}} {
		if got := n.Exec(c.id[:20], "cat", "/etc/hostname"); strings.TrimSpace(got) == "" {
			t.Errorf("exec in %s printed %q", c.id, got)
		}
		n.Eventually("it has logged", func() bool { return strings.Contains(c.pod.Log("c"), "stdout F hello\n") })
		for _, id := range []string{c.pod.ID, c.id} {
			n.Eventually("the start is told", func() bool { return events.has(runtime.ContainerEventType_CONTAINER_STARTED_EVENT, id) })
		}
		n.measured(c.pod.ID, c.id)
	}

	n.restartBeside(stock, ours, inStock, inOurs)

	for _, id := range []string{inStock, inOurs} {
		n.StopContainer(id, 5)
		if got := n.Status(id); got.State != runtime.ContainerState_CONTAINER_EXITED {
			t.Errorf("container %s is %v", id, got.State)
		}
		n.removeContainer(id)
		if _, err := n.status(id); status.Code(err) != codes.NotFound {
			t.Errorf("status of what is removed: %v", err)
		}
	}
	stock.Remove()
	ours.Remove()
	n.listsHave(nil)
}

func (n *Node) runHandler(handler string) *Pod {
	n.t.Helper()
	pod := &Pod{Config: n.PodConfig(), node: n}
	ctx, cancel := n.context()
	defer cancel()
	answer, err := n.Runtime.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: pod.Config, RuntimeHandler: handler})
	if err != nil {
		n.t.Fatalf("run a pod of %s: %v", handler, err)
	}
	pod.ID = answer.PodSandboxId
	return pod
}

// restartBeside kills the daemon. The next one must take over the pods of both, and neither may remove what
// is the other's.
func (n *Node) restartBeside(stock, ours *Pod, containers ...string) {
	n.t.Helper()
	n.Kill9()
	n.Start()
	n.Restarted()
	n.listsHave([]*Pod{stock, ours}, containers...)
	for _, id := range containers {
		if got := n.Exec(id, "echo", "alive"); strings.TrimSpace(got) != "alive" {
			n.t.Errorf("exec in %s printed %q", id, got)
		}
	}
	later := ours.Run("later", "exit 3")
	if got := n.WaitExited(later); got.ExitCode != 3 {
		n.t.Errorf("a container after the restart: %v", got)
	}
	n.removeContainer(later)
}

func (n *Node) handlersAre(want ...string) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	answer, err := n.Runtime.Status(ctx, &runtime.StatusRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	var got []string
	for _, h := range answer.RuntimeHandlers {
		got = append(got, h.Name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		n.t.Errorf("handlers %q, want %q", got, want)
	}
}

// listsHave checks that the lists have exactly these pods and containers.
func (n *Node) listsHave(pods []*Pod, containers ...string) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	list, err := n.Runtime.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range list.Items {
		got[p.Id] = p.RuntimeHandler
	}
	for _, p := range pods {
		if _, ok := got[p.ID]; !ok {
			n.t.Errorf("the list lacks pod %s", p.ID)
		}
		delete(got, p.ID)
	}
	all, err := n.Runtime.ListContainers(ctx, &runtime.ListContainersRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	for _, c := range all.Containers {
		if !slices.Contains(containers, c.Id) {
			got[c.Id] = "container"
		}
	}
	if len(got) > 0 || len(all.Containers) != len(containers) {
		n.t.Errorf("%d containers, want %d; too many: %v", len(all.Containers), len(containers), got)
	}
}

// measured checks that statistics are found by id and in the lists.
func (n *Node) measured(pod, container string) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	one, err := n.Runtime.ContainerStats(ctx, &runtime.ContainerStatsRequest{ContainerId: container})
	if err != nil || one.Stats.GetAttributes().GetId() != container {
		n.t.Errorf("stats of %s: %v, %v", container, one, err)
	}
	if _, err := n.Runtime.PodSandboxStats(ctx, &runtime.PodSandboxStatsRequest{PodSandboxId: pod}); err != nil {
		n.t.Errorf("stats of %s: %v", pod, err)
	}
	list, err := n.Runtime.ListContainerStats(ctx, &runtime.ListContainerStatsRequest{})
	if err != nil || !slices.ContainsFunc(list.Stats, func(s *runtime.ContainerStats) bool { return s.GetAttributes().GetId() == container }) {
		n.t.Errorf("the list of stats lacks %s: %v", container, err)
	}
}

func (n *Node) removeContainer(id string) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if _, err := n.Runtime.RemoveContainer(ctx, &runtime.RemoveContainerRequest{ContainerId: id}); err != nil {
		n.t.Errorf("remove container %s: %v", id, err)
	}
}

func (n *Node) status(id string) (*runtime.ContainerStatusResponse, error) {
	ctx, cancel := n.context()
	defer cancel()
	return n.Runtime.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: id})
}

// follow collects the events until the test's end, or that of the daemon.
func (n *Node) follow() *eventLog {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := n.Runtime.GetContainerEvents(ctx, &runtime.GetEventsRequest{})
	if err == nil {
		_, err = stream.Header()
	}
	if err != nil {
		cancel()
		n.t.Fatal(err)
	}
	l := &eventLog{}
	done := make(chan struct{})
	go func() { defer close(done); l.collect(stream) }()
	n.t.Cleanup(func() { cancel(); <-done })
	return l
}

// eventLog is what has happened, as "kind id".
type eventLog struct {
	mu   sync.Mutex
	seen []string
}

func (l *eventLog) collect(stream grpc.ServerStreamingClient[runtime.ContainerEventResponse]) {
	for {
		e, err := stream.Recv()
		if err != nil {
			return
		}
		l.mu.Lock()
		l.seen = append(l.seen, e.ContainerEventType.String()+" "+e.ContainerId)
		l.mu.Unlock()
	}
}

func (l *eventLog) has(kind runtime.ContainerEventType, id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.seen, kind.String()+" "+id)
}
