// SPDX-License-Identifier: Apache-2.0

package crirouter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

// server is one of the two. It has one pod and one container, and notes what it is asked.
type server struct {
	starting atomic.Bool
	runtime.UnimplementedRuntimeServiceServer
	pod, container string
	// deaf, if not nil, has the server look at nothing, as containerd's own does, until deaf is closed. Then it sends an event, and
	// says on sent what came of that.
	deaf chan struct{}
	sent chan error

	mu    sync.Mutex
	fails error // what calls return
	calls []string
	space string // the namespace of the last call
}

func (s *server) HasSandbox(id string) bool   { return strings.HasPrefix(s.pod, id) }
func (s *server) HasContainer(id string) bool { return strings.HasPrefix(s.container, id) }

func (s *server) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

func (s *server) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fails
}

func answer[R any](ctx context.Context, s *server, method string) (*R, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, method)
	s.space, _ = namespaces.Namespace(ctx)
	if s.fails != nil {
		return nil, s.fails
	}
	return new(R), nil
}

func (s *server) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

func (s *server) RunPodSandbox(ctx context.Context, _ *runtime.RunPodSandboxRequest) (*runtime.RunPodSandboxResponse, error) {
	return answer[runtime.RunPodSandboxResponse](ctx, s, "RunPodSandbox")
}
func (s *server) StopPodSandbox(ctx context.Context, _ *runtime.StopPodSandboxRequest) (*runtime.StopPodSandboxResponse, error) {
	return answer[runtime.StopPodSandboxResponse](ctx, s, "StopPodSandbox")
}
func (s *server) RemovePodSandbox(ctx context.Context, _ *runtime.RemovePodSandboxRequest) (*runtime.RemovePodSandboxResponse, error) {
	return answer[runtime.RemovePodSandboxResponse](ctx, s, "RemovePodSandbox")
}
func (s *server) PodSandboxStatus(ctx context.Context, _ *runtime.PodSandboxStatusRequest) (*runtime.PodSandboxStatusResponse, error) {
	return answer[runtime.PodSandboxStatusResponse](ctx, s, "PodSandboxStatus")
}
func (s *server) PodSandboxStats(ctx context.Context, _ *runtime.PodSandboxStatsRequest) (*runtime.PodSandboxStatsResponse, error) {
	return answer[runtime.PodSandboxStatsResponse](ctx, s, "PodSandboxStats")
}
func (s *server) UpdatePodSandboxResources(ctx context.Context, _ *runtime.UpdatePodSandboxResourcesRequest) (*runtime.UpdatePodSandboxResourcesResponse, error) {
	return answer[runtime.UpdatePodSandboxResourcesResponse](ctx, s, "UpdatePodSandboxResources")
}
func (s *server) PortForward(ctx context.Context, _ *runtime.PortForwardRequest) (*runtime.PortForwardResponse, error) {
	return answer[runtime.PortForwardResponse](ctx, s, "PortForward")
}
func (s *server) CheckpointPod(ctx context.Context, _ *runtime.CheckpointPodRequest) (*runtime.CheckpointPodResponse, error) {
	return answer[runtime.CheckpointPodResponse](ctx, s, "CheckpointPod")
}
func (s *server) CreateContainer(ctx context.Context, _ *runtime.CreateContainerRequest) (*runtime.CreateContainerResponse, error) {
	return answer[runtime.CreateContainerResponse](ctx, s, "CreateContainer")
}
func (s *server) StartContainer(ctx context.Context, _ *runtime.StartContainerRequest) (*runtime.StartContainerResponse, error) {
	return answer[runtime.StartContainerResponse](ctx, s, "StartContainer")
}
func (s *server) StopContainer(ctx context.Context, _ *runtime.StopContainerRequest) (*runtime.StopContainerResponse, error) {
	return answer[runtime.StopContainerResponse](ctx, s, "StopContainer")
}
func (s *server) RemoveContainer(ctx context.Context, _ *runtime.RemoveContainerRequest) (*runtime.RemoveContainerResponse, error) {
	return answer[runtime.RemoveContainerResponse](ctx, s, "RemoveContainer")
}
func (s *server) ContainerStatus(ctx context.Context, _ *runtime.ContainerStatusRequest) (*runtime.ContainerStatusResponse, error) {
	return answer[runtime.ContainerStatusResponse](ctx, s, "ContainerStatus")
}
func (s *server) UpdateContainerResources(ctx context.Context, _ *runtime.UpdateContainerResourcesRequest) (*runtime.UpdateContainerResourcesResponse, error) {
	return answer[runtime.UpdateContainerResourcesResponse](ctx, s, "UpdateContainerResources")
}
func (s *server) ReopenContainerLog(ctx context.Context, _ *runtime.ReopenContainerLogRequest) (*runtime.ReopenContainerLogResponse, error) {
	return answer[runtime.ReopenContainerLogResponse](ctx, s, "ReopenContainerLog")
}
func (s *server) ExecSync(ctx context.Context, _ *runtime.ExecSyncRequest) (*runtime.ExecSyncResponse, error) {
	return answer[runtime.ExecSyncResponse](ctx, s, "ExecSync")
}
func (s *server) Exec(ctx context.Context, _ *runtime.ExecRequest) (*runtime.ExecResponse, error) {
	return answer[runtime.ExecResponse](ctx, s, "Exec")
}
func (s *server) Attach(ctx context.Context, _ *runtime.AttachRequest) (*runtime.AttachResponse, error) {
	return answer[runtime.AttachResponse](ctx, s, "Attach")
}
func (s *server) ContainerStats(ctx context.Context, _ *runtime.ContainerStatsRequest) (*runtime.ContainerStatsResponse, error) {
	return answer[runtime.ContainerStatsResponse](ctx, s, "ContainerStats")
}
func (s *server) CheckpointContainer(ctx context.Context, _ *runtime.CheckpointContainerRequest) (*runtime.CheckpointContainerResponse, error) {
	return answer[runtime.CheckpointContainerResponse](ctx, s, "CheckpointContainer")
}
func (s *server) UpdateRuntimeConfig(ctx context.Context, _ *runtime.UpdateRuntimeConfigRequest) (*runtime.UpdateRuntimeConfigResponse, error) {
	return answer[runtime.UpdateRuntimeConfigResponse](ctx, s, "UpdateRuntimeConfig")
}

func (s *server) Version(context.Context, *runtime.VersionRequest) (*runtime.VersionResponse, error) {
	return &runtime.VersionResponse{RuntimeName: s.pod}, nil
}

func (s *server) Status(context.Context, *runtime.StatusRequest) (*runtime.StatusResponse, error) {
	return &runtime.StatusResponse{RuntimeHandlers: []*runtime.RuntimeHandler{{Name: ""}, {Name: "runc"}, {Name: s.pod}}}, s.failure()
}

func (s *server) ListPodSandbox(context.Context, *runtime.ListPodSandboxRequest) (*runtime.ListPodSandboxResponse, error) {
	return &runtime.ListPodSandboxResponse{Items: []*runtime.PodSandbox{{Id: s.pod}}}, s.failure()
}

func (s *server) ListContainers(context.Context, *runtime.ListContainersRequest) (*runtime.ListContainersResponse, error) {
	return &runtime.ListContainersResponse{Containers: []*runtime.Container{{Id: s.container}}}, s.failure()
}

func (s *server) ListContainerStats(context.Context, *runtime.ListContainerStatsRequest) (*runtime.ListContainerStatsResponse, error) {
	return &runtime.ListContainerStatsResponse{Stats: []*runtime.ContainerStats{{}}}, s.failure()
}

func (s *server) ListPodSandboxStats(context.Context, *runtime.ListPodSandboxStatsRequest) (*runtime.ListPodSandboxStatsResponse, error) {
	return &runtime.ListPodSandboxStatsResponse{Stats: []*runtime.PodSandboxStats{{}}}, s.failure()
}

func (s *server) ListPodSandboxMetrics(context.Context, *runtime.ListPodSandboxMetricsRequest) (*runtime.ListPodSandboxMetricsResponse, error) {
	return &runtime.ListPodSandboxMetricsResponse{PodMetrics: []*runtime.PodSandboxMetrics{{PodSandboxId: s.pod}}}, s.failure()
}

func (s *server) StreamContainers(_ *runtime.StreamContainersRequest, out grpc.ServerStreamingServer[runtime.StreamContainersResponse]) error {
	return out.Send(&runtime.StreamContainersResponse{Containers: []*runtime.Container{{Id: s.container}}})
}

func (s *server) GetContainerEvents(_ *runtime.GetEventsRequest, out grpc.ServerStreamingServer[runtime.ContainerEventResponse]) error {
	if s.deaf != nil {
		<-s.deaf
		err := out.Send(&runtime.ContainerEventResponse{ContainerId: s.container})
		s.sent <- err
		return err
	}
	if err := out.SendHeader(nil); err != nil {
		return err
	}
	for range 100 {
		if err := out.Send(&runtime.ContainerEventResponse{ContainerId: s.container}); err != nil {
			return err
		}
	}
	if err := s.failure(); err != nil {
		return err
	}
	<-out.Context().Done()
	return out.Context().Err()
}

// pair serves a Router over two servers on a connection.
func pair(t *testing.T) (ours, theirs *server, client runtime.RuntimeServiceClient) {
	t.Helper()
	ours, theirs = &server{pod: "ours-pod", container: "ours-container"}, &server{pod: "theirs-pod", container: "theirs-container"}
	listener := bufconn.Listen(1 << 20)
	g := grpc.NewServer()
	New(ours, theirs, []string{"runc", "kata"}).Register(g)
	done := make(chan error, 1)
	go func() { done <- g.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		g.Stop()
		<-done
	})
	return ours, theirs, runtime.NewRuntimeServiceClient(conn)
}

func (s *server) IsInitialized() bool { return !s.starting.Load() }

// TestUninitialized: nothing is said before the stock server knows its pods.
func TestUninitialized(t *testing.T) {
	ours, theirs, client := pair(t)
	theirs.starting.Store(true)
	_, err := client.ListContainers(t.Context(), &runtime.ListContainersRequest{})
	events, failed := client.GetContainerEvents(t.Context(), &runtime.GetEventsRequest{})
	if failed == nil {
		_, failed = events.Recv()
	}
	if status.Code(err) != codes.Unavailable || status.Code(failed) != codes.Unavailable || len(ours.take())+len(theirs.take()) != 0 {
		t.Errorf("%v, %v, want Unavailable, and nobody asked", err, failed)
	}
	theirs.starting.Store(false)
	if _, err := client.ListContainers(t.Context(), &runtime.ListContainersRequest{}); err != nil {
		t.Error(err)
	}
}

// TestByID calls every method that has an id of a pod or container in its request.
func TestByID(t *testing.T) {
	ours, theirs, client := pair(t)
	methods := reflect.TypeFor[runtime.RuntimeServiceClient]()
	called := 0
	for m := range methods.Methods() {
		if m.Type.NumIn() != 3 || m.Type.Out(0) == nil || strings.HasPrefix(m.Name, "List") || strings.HasPrefix(m.Name, "Stream") {
			continue
		}
		request := m.Type.In(1).Elem()
		for _, field := range []string{"ContainerId", "PodSandboxId"} {
			if _, ok := request.FieldByName(field); !ok {
				continue
			}
			called++
			id := map[string]string{"ContainerId": "container", "PodSandboxId": "pod"}[field]
			for value, want := range map[string]*server{"": ours, "ours-" + id[:2]: ours, "ours-" + id: ours, "theirs-" + id: theirs, "nobodys": theirs} {
				req := reflect.New(request)
				req.Elem().FieldByName(field).SetString(value)
				out := reflect.ValueOf(client).MethodByName(m.Name).Call([]reflect.Value{reflect.ValueOf(t.Context()), req})
				if err, _ := out[1].Interface().(error); err != nil {
					t.Errorf("%s: %v", m.Name, err)
				}
				got := map[*server][]string{ours: ours.take(), theirs: theirs.take()}
				if len(got[ours])+len(got[theirs]) != 1 || !slices.Equal(got[want], []string{m.Name}) {
					t.Errorf("%s of %q: ours was asked %q, theirs %q", m.Name, value, got[ours], got[theirs])
				}
			}
		}
	}
	if called < 19 {
		t.Errorf("%d methods were called", called)
	}
	if ours.space != namespace || theirs.space != namespace {
		t.Errorf("namespaces %q, %q", ours.space, theirs.space)
	}
}

func TestByHandler(t *testing.T) {
	ours, theirs, client := pair(t)
	for handler, want := range map[string]*server{"": ours, "sardine": ours, "nosuch": ours, "runc": theirs, "kata": theirs} {
		if _, err := client.RunPodSandbox(t.Context(), &runtime.RunPodSandboxRequest{RuntimeHandler: handler}); err != nil {
			t.Error(err)
		}
		if n := len(want.take()); n != 1 || len(ours.take())+len(theirs.take()) != 0 {
			t.Errorf("handler %q went elsewhere", handler)
		}
	}
	status, err := client.Status(t.Context(), &runtime.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range status.RuntimeHandlers {
		names = append(names, h.Name)
	}
	// What they say of handlers that are not theirs is left out.
	if want := []string{"", "runc", "ours-pod", "runc"}; !slices.Equal(names, want) {
		t.Errorf("handlers %q, want %q", names, want)
	}
	if v, err := client.Version(t.Context(), &runtime.VersionRequest{}); err != nil || v.RuntimeName != "ours-pod" {
		t.Errorf("version %v, %v", v, err)
	}
	if _, err := client.UpdateRuntimeConfig(t.Context(), &runtime.UpdateRuntimeConfigRequest{}); err != nil || len(ours.take()) != 1 || len(theirs.take()) != 1 {
		t.Errorf("the configuration did not go to both: %v", err)
	}
}

func TestLists(t *testing.T) {
	_, theirs, client := pair(t)
	ctx := t.Context()
	count := func() (counts [6]int, err error) {
		var errs [6]error
		var pods *runtime.ListPodSandboxResponse
		if pods, errs[0] = client.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{}); errs[0] == nil {
			counts[0] = len(pods.Items)
		}
		var containers *runtime.ListContainersResponse
		if containers, errs[1] = client.ListContainers(ctx, &runtime.ListContainersRequest{}); errs[1] == nil {
			counts[1] = len(containers.Containers)
		}
		var stats *runtime.ListContainerStatsResponse
		if stats, errs[2] = client.ListContainerStats(ctx, &runtime.ListContainerStatsRequest{}); errs[2] == nil {
			counts[2] = len(stats.Stats)
		}
		var podStats *runtime.ListPodSandboxStatsResponse
		if podStats, errs[3] = client.ListPodSandboxStats(ctx, &runtime.ListPodSandboxStatsRequest{}); errs[3] == nil {
			counts[3] = len(podStats.Stats)
		}
		var metrics *runtime.ListPodSandboxMetricsResponse
		if metrics, errs[4] = client.ListPodSandboxMetrics(ctx, &runtime.ListPodSandboxMetricsRequest{}); errs[4] == nil {
			counts[4] = len(metrics.PodMetrics)
		}
		var stream grpc.ServerStreamingClient[runtime.StreamContainersResponse]
		if stream, errs[5] = client.StreamContainers(ctx, &runtime.StreamContainersRequest{}); errs[5] == nil {
			for range 10 {
				part, err := stream.Recv()
				if err != nil {
					break
				}
				counts[5] += len(part.Containers)
			}
		}
		return counts, errors.Join(errs[:]...)
	}
	if got, err := count(); err != nil || got != [6]int{2, 2, 2, 2, 2, 2} {
		t.Errorf("lists have %v, %v; want two each", got, err)
	}
	theirs.fail(fmt.Errorf("shim: %w", errdefs.ErrUnavailable))
	_, err := client.ListContainers(ctx, &runtime.ListContainersRequest{})
	if status.Code(err) != codes.Unavailable { // half a list would have the kubelet start everything again
		t.Errorf("a list of which half failed: %v", err)
	}
}

// TestEvents follows both servers, until one of them ends.
func TestEvents(t *testing.T) {
	_, theirs, client := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := client.GetContainerEvents(ctx, &runtime.GetEventsRequest{})
	if err == nil {
		_, err = stream.Header()
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for range 200 {
		e, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		seen[e.ContainerId]++
	}
	if seen["ours-container"] != 100 || seen["theirs-container"] != 100 {
		t.Errorf("events: %v", seen)
	}
	theirs.fail(fmt.Errorf("too slow: %w", errdefs.ErrResourceExhausted))
	if stream, err = client.GetContainerEvents(ctx, &runtime.GetEventsRequest{}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the end of one server is %v", err)
	}
}

// TestEventsEndWithOurs: the client is told at once that ours has ended, also when the other server never notices.
func TestEventsEndWithOurs(t *testing.T) {
	ours, theirs, client := pair(t)
	theirs.deaf, theirs.sent = make(chan struct{}), make(chan error, 1)
	hear := sync.OnceFunc(func() { close(theirs.deaf) })
	defer hear()
	ours.fail(fmt.Errorf("too slow: %w", errdefs.ErrResourceExhausted))
	ctx, cancel := context.WithTimeout(t.Context(), testnode.Patience)
	defer cancel()
	stream, err := client.GetContainerEvents(ctx, &runtime.GetEventsRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the end of ours is %v", err)
	}
	hear()
	if err := <-theirs.sent; !errors.Is(err, context.Canceled) {
		t.Errorf("an event after the end: %v", err)
	}
}

// TestEventsEndWithClient: who is gone is not followed up to the next event of the other server, which is not sent.
func TestEventsEndWithClient(t *testing.T) {
	ours, theirs := &server{container: "ours"}, &server{container: "theirs", deaf: make(chan struct{}), sent: make(chan error, 1)}
	hear := sync.OnceFunc(func() { close(theirs.deaf) })
	defer hear()
	ctx, leave := context.WithCancel(t.Context())
	client := &recorder{ctx: ctx, events: make(chan string, 1000)}
	ended := make(chan error, 1)
	go func() { ended <- New(ours, theirs, nil).GetContainerEvents(&runtime.GetEventsRequest{}, client) }()
	for range 100 {
		<-client.events
	}
	leave()
	select {
	case <-ended:
	case <-time.After(testnode.Patience):
		t.Fatal("the call does not end")
	}
	hear()
	if err := <-theirs.sent; !errors.Is(err, context.Canceled) || len(client.events) > 0 {
		t.Errorf("an event after the end: %v, %d sent", err, len(client.events))
	}
}

// recorder is a stream to a client, which keeps what is sent.
type recorder struct {
	grpc.ServerStreamingServer[runtime.ContainerEventResponse]
	ctx    context.Context
	events chan string
}

func (r *recorder) Context() context.Context     { return r.ctx }
func (r *recorder) SendHeader(metadata.MD) error { return nil }
func (r *recorder) Send(e *runtime.ContainerEventResponse) error {
	r.events <- e.ContainerId
	return nil
}
