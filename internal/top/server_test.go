// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fakeCRI is a CRI server with pods of one container that use as many percent of a CPU as
// they are numbered.
type fakeCRI struct {
	cri.UnimplementedRuntimeServiceServer
	socket string
	began  time.Time

	mu       sync.Mutex
	server   *grpc.Server
	count    int
	noStats  bool // of pods
	statuses int  // how often it was asked for one
}

// startCRI serves count pods until the test ends.
func startCRI(t *testing.T, count int) *fakeCRI {
	t.Helper()
	dir, err := os.MkdirTemp("", "top-") // the name of a test may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fakeCRI{socket: filepath.Join(dir, "s"), began: time.Now().Add(-time.Hour), count: count}
	f.start(t)
	t.Cleanup(f.stop)
	return f
}

func (f *fakeCRI) start(t *testing.T) {
	t.Helper()
	f.server = grpc.NewServer()
	cri.RegisterRuntimeServiceServer(f.server, f)
	serve(t, f.server, f.socket)
}

func serve(t *testing.T, server *grpc.Server, socket string) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
}

func (f *fakeCRI) stop() { f.server.Stop() }

func (f *fakeCRI) set(change func(*fakeCRI)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// pods are the numbers of those there are.
func (f *fakeCRI) pods() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []int
	for i := range f.count {
		list = append(list, i+1)
	}
	return list
}

func (f *fakeCRI) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{RuntimeName: "fake", RuntimeVersion: "0.9"}, nil
}

func (f *fakeCRI) ListPodSandbox(context.Context, *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	answer := &cri.ListPodSandboxResponse{}
	for _, n := range f.pods() {
		answer.Items = append(answer.Items, &cri.PodSandbox{
			Id: fmt.Sprintf("p%d", n), Metadata: &cri.PodSandboxMetadata{Name: fmt.Sprintf("pod-%03d", n), Namespace: "ns"}, CreatedAt: f.began.UnixNano(),
		})
	}
	return answer, nil
}

func (f *fakeCRI) ListContainers(context.Context, *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	answer := &cri.ListContainersResponse{}
	for _, n := range f.pods() {
		answer.Containers = append(answer.Containers, &cri.Container{
			Id: fmt.Sprintf("c%d", n), PodSandboxId: fmt.Sprintf("p%d", n), Metadata: &cri.ContainerMetadata{Name: "app"},
			State: cri.ContainerState_CONTAINER_RUNNING, CreatedAt: f.began.UnixNano(),
		})
	}
	return answer, nil
}

func (f *fakeCRI) PodSandboxStatus(_ context.Context, r *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	f.set(func(f *fakeCRI) { f.statuses++ })
	var n int
	if _, err := fmt.Sscanf(r.PodSandboxId, "p%d", &n); err != nil {
		return nil, status.Error(codes.NotFound, "no such pod")
	}
	return &cri.PodSandboxStatusResponse{Status: &cri.PodSandboxStatus{Network: &cri.PodSandboxNetworkStatus{Ip: fmt.Sprintf("10.0.0.%d", n)}}}, nil
}

// used is the time that what is numbered n has used since it began.
func (f *fakeCRI) used(n int) *cri.CpuUsage {
	now := time.Now()
	return &cri.CpuUsage{
		Timestamp:            now.UnixNano(),
		UsageCoreNanoSeconds: &cri.UInt64Value{Value: uint64(now.Sub(f.began)) * uint64(n) / 100},
	}
}

func memory(n int) *cri.MemoryUsage {
	return &cri.MemoryUsage{WorkingSetBytes: &cri.UInt64Value{Value: uint64(n) << 20}}
}

func (f *fakeCRI) ListPodSandboxStats(context.Context, *cri.ListPodSandboxStatsRequest) (*cri.ListPodSandboxStatsResponse, error) {
	f.mu.Lock()
	none := f.noStats
	f.mu.Unlock()
	if none {
		return nil, status.Error(codes.Unimplemented, "not of pods")
	}
	answer := &cri.ListPodSandboxStatsResponse{}
	for _, n := range f.pods() {
		answer.Stats = append(answer.Stats, &cri.PodSandboxStats{
			Attributes: &cri.PodSandboxAttributes{Id: fmt.Sprintf("p%d", n)},
			Linux:      &cri.LinuxPodSandboxStats{Cpu: f.used(n), Memory: memory(n), Containers: []*cri.ContainerStats{f.container(n)}},
		})
	}
	return answer, nil
}

func (f *fakeCRI) ListContainerStats(context.Context, *cri.ListContainerStatsRequest) (*cri.ListContainerStatsResponse, error) {
	answer := &cri.ListContainerStatsResponse{}
	for _, n := range f.pods() {
		answer.Stats = append(answer.Stats, f.container(n))
	}
	return answer, nil
}

func (f *fakeCRI) container(n int) *cri.ContainerStats {
	return &cri.ContainerStats{Attributes: &cri.ContainerAttributes{Id: fmt.Sprintf("c%d", n)}, Cpu: f.used(n), Memory: memory(n)}
}
