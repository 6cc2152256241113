// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Every call with arguments that are missing, unknown, repeated or hostile, and
// in states that do not allow it. It gets the code that the kubelet expects, and
// what was there before is there after it, nothing more and nothing less.
// Stock containerd runs through the same and is not judged: most of its errors
// have the code Unknown.
func TestBadInput(t *testing.T) {
	n := StartNode(t)
	n.Pull(Busybox)
	f := newFixture(n)
	checkEveryCallIsThere(t)
	for _, c := range badCalls {
		t.Run(c.rpc+"/"+c.what, func(t *testing.T) {
			code, err := n.call(c.rpc, c.request(f))
			if !slices.Contains(c.want, code) {
				if program() == "sardined" {
					t.Errorf("%v, want %v: %v", code, c.want, err)
				} else {
					t.Logf("%v, of sardined expected is %v: %v", code, c.want, err)
				}
			}
			f.unchanged(t)
		})
	}
	f.pod.Remove()
	f.stopped.Remove()
}

// badCall is one row.
type badCall struct {
	rpc, what string
	request   func(f *fixture) proto.Message
	want      []codes.Code // any of them
}

// fixture is what is there while calls go wrong.
type fixture struct {
	node                     *Node
	pod, stopped             *Pod
	running, created, exited string // containers of pod
	pods, containers         []string
}

func newFixture(n *Node) *fixture {
	n.t.Helper()
	f := &fixture{node: n, pod: n.RunPod(), stopped: n.RunPod()}
	f.running = f.pod.Run("running", Forever)
	f.created = f.pod.Create(ContainerConfig("created", Forever))
	f.exited = f.pod.Run("exited", "exit 0")
	n.WaitExited(f.exited)
	ctx, cancel := n.context()
	defer cancel()
	if _, err := n.Runtime.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: f.stopped.ID}); err != nil {
		n.t.Fatal(err)
	}
	f.pods, f.containers = f.list()
	return f
}

// list returns "ID STATE" of pods and containers.
func (f *fixture) list() (pods, containers []string) {
	f.node.t.Helper()
	ctx, cancel := f.node.context()
	defer cancel()
	podList, errPods := f.node.Runtime.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	containerList, errContainers := f.node.Runtime.ListContainers(ctx, &runtime.ListContainersRequest{})
	if err := errors.Join(errPods, errContainers); err != nil {
		f.node.t.Fatal(err)
	}
	for _, p := range podList.Items {
		pods = append(pods, p.Id+" "+p.State.String())
	}
	for _, c := range containerList.Containers {
		containers = append(containers, c.Id+" "+c.State.String())
	}
	slices.Sort(pods)
	slices.Sort(containers)
	return pods, containers
}

// unchanged wants what was there when the fixture was made. What a call made that
// went well is removed first.
func (f *fixture) unchanged(t *testing.T) {
	t.Helper()
	pods, containers := f.list()
	for _, c := range containers {
		if id, _, _ := strings.Cut(c, " "); !hasID(f.containers, id) {
			f.remove(t, "RemoveContainer", &runtime.RemoveContainerRequest{ContainerId: id})
		}
	}
	for _, p := range pods {
		if id, _, _ := strings.Cut(p, " "); !hasID(f.pods, id) {
			f.remove(t, "StopPodSandbox", &runtime.StopPodSandboxRequest{PodSandboxId: id})
			f.remove(t, "RemovePodSandbox", &runtime.RemovePodSandboxRequest{PodSandboxId: id})
		}
	}
	pods, containers = f.list()
	if !slices.Equal(pods, f.pods) || !slices.Equal(containers, f.containers) {
		t.Errorf("now there are pods %v\ncontainers %v\nbefore pods %v\ncontainers %v", pods, containers, f.pods, f.containers)
	}
}

func (f *fixture) remove(t *testing.T, rpc string, request proto.Message) {
	t.Helper()
	if code, err := f.node.call(rpc, request); code != codes.OK {
		t.Errorf("%s of what the call made: %v", rpc, err)
	}
}

func hasID(list []string, id string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, id+" ") })
}

// call makes a call by its name and returns the code of its answer. Streams are
// read to their end; the one that has none for a moment.
func (n *Node) call(rpc string, request proto.Message) (codes.Code, error) {
	ctx, cancel := n.context()
	defer cancel()
	path := methodPath(rpc)
	if !isStream(rpc) {
		err := n.conn.Invoke(ctx, path, request, &emptypb.Empty{})
		return status.Code(err), err
	}
	if rpc == endless {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, endlessTime)
		defer stop()
	}
	stream, err := n.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path)
	if err == nil {
		err = errors.Join(stream.SendMsg(request), stream.CloseSend())
	}
	for err == nil {
		err = stream.RecvMsg(&emptypb.Empty{})
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return status.Code(err), err
}

// endless is the stream without an end, which is read for endlessTime.
const (
	endless     = "GetContainerEvents"
	endlessTime = 500 * time.Millisecond
)

var services = []*grpc.ServiceDesc{&runtime.RuntimeService_ServiceDesc, &runtime.ImageService_ServiceDesc}

func methodPath(rpc string) string {
	for _, s := range services {
		if slices.Contains(methods(s), rpc) {
			return "/" + s.ServiceName + "/" + rpc
		}
	}
	return "/none/" + rpc
}

func isStream(rpc string) bool {
	return slices.ContainsFunc(services, func(s *grpc.ServiceDesc) bool {
		return slices.ContainsFunc(s.Streams, func(d grpc.StreamDesc) bool { return d.StreamName == rpc })
	})
}

func methods(s *grpc.ServiceDesc) []string {
	var names []string
	for _, m := range s.Methods {
		names = append(names, m.MethodName)
	}
	for _, m := range s.Streams {
		names = append(names, m.StreamName)
	}
	return names
}

// checkEveryCallIsThere wants a row for each call of CRI's.
func checkEveryCallIsThere(t *testing.T) {
	t.Helper()
	for _, s := range services {
		for _, name := range methods(s) {
			if !slices.ContainsFunc(badCalls, func(c badCall) bool { return c.rpc == name }) {
				t.Errorf("no row for %s", name)
			}
		}
	}
}
