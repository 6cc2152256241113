// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/pod"
	"github.com/sardine-run/sardine/internal/podspec"
	"github.com/sardine-run/sardine/internal/podstats"
	"github.com/sardine-run/sardine/internal/rootfs"
	"github.com/sardine-run/sardine/internal/stream"
	"github.com/sardine-run/sardine/internal/testnode"
)

// anyImage finds one image under every name but "nosuch". Its containers are not started here.
type anyImage struct{}

func (anyImage) Resolve(_ context.Context, ref string) (*image.Image, error) {
	if ref == "nosuch" {
		return nil, fmt.Errorf("image %q: %w", ref, errdefs.ErrNotFound)
	}
	return &image.Image{ID: "sha256:1234", Tags: []string{ref}}, nil
}

func (i anyImage) Use(ctx context.Context, ref, _ string) (image.View, error) {
	img, err := i.Resolve(ctx, ref)
	return noView{img}, err
}

type noView struct{ image *image.Image }

func (v noView) Image() *image.Image                         { return v.image }
func (noView) Mounts(string, string) ([]rootfs.Mount, error) { return nil, nil }
func (noView) ReadFile(string) ([]byte, error)               { return nil, fs.ErrNotExist }
func (noView) CopyDirectory(string, string) error            { return nil }
func (noView) Release()                                      {}

// server is a Service over a connection, with real pods.
type server struct {
	runtime.RuntimeServiceClient
	t    *testing.T
	dir  string
	pods *pod.Manager
	made atomic.Int64
}

func newServer(t *testing.T) *server {
	t.Helper()
	testnode.NeedRoot(t)
	s := &server{t: t, dir: t.TempDir()}
	if f, err := cgroups.OpenFile("/sys/fs/cgroup", "cgroup.procs", os.O_RDONLY); err == nil {
		f.Close() // the library keeps one descriptor for good from now on
	}
	testnode.CheckClean(t, testnode.Options{Dirs: []string{s.dir}})
	nets, err := network.New(network.Config{
		BinDirs: []string{filepath.Join(s.dir, "bin")}, ConfDir: filepath.Join(s.dir, "cni"), StateDir: filepath.Join(s.dir, "network"), CacheDir: filepath.Join(s.dir, "cache"),
	})
	must(t, err)
	t.Cleanup(func() { must(t, nets.Close()) })
	tasks, err := container.New(container.Config{Dir: filepath.Join(s.dir, "tasks")})
	must(t, err)
	specs, err := podspec.New(&podspec.Node{RestrictOOMScoreAdj: true})
	must(t, err)
	s.pods, err = pod.New(pod.Config{
		State: filepath.Join(s.dir, "state"), Root: filepath.Join(s.dir, "root"), Containers: tasks, Images: anyImage{}, Networks: nets, Specs: specs,
		Handlers: map[string]*pod.Handler{"sardine": {}, "b": {}}, DefaultHandler: "sardine",
	})
	must(t, err)
	t.Cleanup(s.end)
	sessions, err := stream.New(stream.Config{Address: "127.0.0.1"}, s.pods)
	must(t, err)
	t.Cleanup(func() { must(t, sessions.Close()) })
	s.serve(New(Config{
		Pods: s.pods, Sessions: sessions, Stats: &podstats.Reader{}, Version: "1.2.3", SystemdCgroup: true,
		Features: Features{UserNamespaces: true}, Info: map[string]string{"config": "{}"},
	}))
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *server) serve(service runtime.RuntimeServiceServer) {
	listener := bufconn.Listen(1 << 20)
	g := grpc.NewServer()
	runtime.RegisterRuntimeServiceServer(g, service)
	done := make(chan error, 1)
	go func() { done <- g.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	must(s.t, err)
	s.t.Cleanup(func() { conn.Close(); g.Stop(); <-done })
	s.RuntimeServiceClient = runtime.NewRuntimeServiceClient(conn)
}

func (s *server) end() {
	for _, sandbox := range s.pods.Sandboxes() {
		if err := sandbox.Remove(context.Background()); err != nil {
			s.t.Error(err)
		}
	}
	if err := s.pods.Close(); err != nil {
		s.t.Error(err)
	}
}

// config is a pod in the host's namespaces, which needs no process.
func (s *server) config(labels map[string]string) *runtime.PodSandboxConfig {
	return &runtime.PodSandboxConfig{
		Metadata: &runtime.PodSandboxMetadata{Name: fmt.Sprintf("pod%d", s.made.Add(1)), Namespace: "ns"}, Labels: labels,
		Annotations: map[string]string{"a": "b"},
		Linux: &runtime.LinuxPodSandboxConfig{SecurityContext: &runtime.LinuxSandboxSecurityContext{
			NamespaceOptions: &runtime.NamespaceOption{Network: runtime.NamespaceMode_NODE, Pid: runtime.NamespaceMode_CONTAINER},
		}},
	}
}

func (s *server) runPod(labels map[string]string, handler string) string {
	s.t.Helper()
	answer, err := s.RunPodSandbox(s.t.Context(), &runtime.RunPodSandboxRequest{Config: s.config(labels), RuntimeHandler: handler})
	must(s.t, err)
	return answer.PodSandboxId
}

func (s *server) createContainer(pod string, labels map[string]string) string {
	s.t.Helper()
	return s.createAttempt(pod, 0, labels)
}

func (s *server) createAttempt(pod string, attempt uint32, labels map[string]string) string {
	s.t.Helper()
	answer, err := s.CreateContainer(s.t.Context(), &runtime.CreateContainerRequest{PodSandboxId: pod, Config: &runtime.ContainerConfig{
		Metadata: &runtime.ContainerMetadata{Name: "c", Attempt: attempt},
		Image:    &runtime.ImageSpec{Image: "busybox", UserSpecifiedImage: "box"}, Labels: labels, Command: []string{"true"},
	}})
	must(s.t, err)
	return answer.ContainerId
}

func wantCode(t *testing.T, what string, err error, code codes.Code) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("%s: %v, want code %v", what, err, code)
	}
}

// TestUnknownIDs calls every method with ids that nothing has.
func TestUnknownIDs(t *testing.T) {
	s := newServer(t)
	ends := []string{"StopPodSandbox", "RemovePodSandbox", "StopContainer", "RemoveContainer"} // what is not there has ended
	refused := []string{"CheckpointContainer", "CheckpointPod"}
	called := 0
	for m := range reflect.TypeFor[runtime.RuntimeServiceClient]().Methods() {
		if strings.HasPrefix(m.Name, "List") || strings.HasPrefix(m.Name, "Stream") {
			continue
		}
		request := m.Type.In(1).Elem()
		for _, field := range []string{"ContainerId", "PodSandboxId"} {
			if _, ok := request.FieldByName(field); !ok {
				continue
			}
			called++
			for id, want := range map[string]codes.Code{
				"": codes.InvalidArgument, "nosuch": codes.NotFound, "../../etc": codes.NotFound, strings.Repeat("f", 1<<20): codes.NotFound,
			} {
				switch {
				case slices.Contains(refused, m.Name):
					want = codes.Unimplemented
				case slices.Contains(ends, m.Name) && want == codes.NotFound:
					want = codes.OK
				}
				err := s.call(m.Name, request, field, id)
				wantCode(t, fmt.Sprintf("%s of %.20q", m.Name, id), err, want)
				if err != nil && len(err.Error()) > 2000 {
					t.Errorf("%s: an error of %d bytes", m.Name, len(err.Error()))
				}
			}
		}
	}
	if called < 19 {
		t.Errorf("%d methods were called", called)
	}
}

// call fills in what a request must have beside the id.
func (s *server) call(method string, request reflect.Type, field, id string) error {
	req := reflect.New(request)
	req.Elem().FieldByName(field).SetString(id)
	switch r := req.Interface().(type) {
	case *runtime.CreateContainerRequest:
		r.Config = &runtime.ContainerConfig{Metadata: &runtime.ContainerMetadata{Name: "c"}, Image: &runtime.ImageSpec{Image: "busybox"}}
	case *runtime.UpdateContainerResourcesRequest:
		r.Linux = &runtime.LinuxContainerResources{}
	case *runtime.ExecSyncRequest:
		r.Cmd = []string{"true"}
	case *runtime.ExecRequest:
		r.Cmd, r.Stdout = []string{"true"}, true
	case *runtime.AttachRequest:
		r.Stdout = true
	case *runtime.PortForwardRequest:
		r.Port = []int32{80}
	}
	out := reflect.ValueOf(s.RuntimeServiceClient).MethodByName(method).Call([]reflect.Value{reflect.ValueOf(s.t.Context()), req})
	err, _ := out[1].Interface().(error)
	return err
}

func TestRequestsRefused(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	for what, cfg := range map[string]*runtime.PodSandboxConfig{
		"nothing": nil, "no metadata": {}, "no name": {Metadata: &runtime.PodSandboxMetadata{}},
		"slashes": {Metadata: &runtime.PodSandboxMetadata{Name: "../x"}},
	} {
		_, err := s.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: cfg})
		wantCode(t, what, err, codes.InvalidArgument)
	}
	_, err := s.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: s.config(nil), RuntimeHandler: "nosuch"})
	wantCode(t, "handler", err, codes.NotFound)
	id := s.runPod(nil, "")
	for what, cfg := range map[string]*runtime.ContainerConfig{
		"nothing": nil, "no metadata": {Image: &runtime.ImageSpec{Image: "i"}}, "no name": {Metadata: &runtime.ContainerMetadata{}, Image: &runtime.ImageSpec{Image: "i"}},
		"no image": {Metadata: &runtime.ContainerMetadata{Name: "c"}},
	} {
		_, err := s.CreateContainer(ctx, &runtime.CreateContainerRequest{PodSandboxId: id, Config: cfg})
		wantCode(t, what, err, codes.InvalidArgument)
	}
	c := s.createContainer(id, nil)
	_, err = s.CreateContainer(ctx, &runtime.CreateContainerRequest{PodSandboxId: id, Config: &runtime.ContainerConfig{
		Metadata: &runtime.ContainerMetadata{Name: "c"}, Image: &runtime.ImageSpec{Image: "busybox"}}})
	wantCode(t, "name in use", err, codes.AlreadyExists)
	_, err = s.UpdateContainerResources(ctx, &runtime.UpdateContainerResourcesRequest{ContainerId: c})
	wantCode(t, "no resources", err, codes.InvalidArgument)
	_, err = s.ExecSync(ctx, &runtime.ExecSyncRequest{ContainerId: c, Cmd: []string{"true"}})
	wantCode(t, "exec in what does not run", err, codes.FailedPrecondition)
	_, err = s.ReopenContainerLog(ctx, &runtime.ReopenContainerLogRequest{ContainerId: c})
	wantCode(t, "log of what does not run", err, codes.FailedPrecondition)
	_, err = s.RestorePod(ctx, &runtime.RestorePodRequest{})
	wantCode(t, "restore", err, codes.Unimplemented)
	_, err = s.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: id})
	must(t, err)
	_, err = s.StartContainer(ctx, &runtime.StartContainerRequest{ContainerId: c})
	wantCode(t, "start in a stopped pod", err, codes.FailedPrecondition)
}

func TestLists(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	one, two := s.runPod(map[string]string{"app": "x", "n": "1"}, ""), s.runPod(map[string]string{"app": "x", "n": "2"}, "b")
	c1, c2 := s.createContainer(one, map[string]string{"l": "1"}), s.createContainer(two, nil)
	_, err := s.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: two})
	must(t, err)
	ready := &runtime.PodSandboxStateValue{State: runtime.PodSandboxState_SANDBOX_READY}
	for what, c := range map[string]struct {
		filter *runtime.PodSandboxFilter
		want   []string
	}{
		"all": {nil, []string{one, two}}, "empty": {&runtime.PodSandboxFilter{}, []string{one, two}},
		"id": {&runtime.PodSandboxFilter{Id: one}, []string{one}}, "prefix": {&runtime.PodSandboxFilter{Id: two[:13]}, []string{two}},
		"state": {&runtime.PodSandboxFilter{State: ready}, []string{one}}, "state and id": {&runtime.PodSandboxFilter{State: ready, Id: two}, nil},
		"labels": {&runtime.PodSandboxFilter{LabelSelector: map[string]string{"app": "x"}}, []string{one, two}},
		"label":  {&runtime.PodSandboxFilter{LabelSelector: map[string]string{"app": "x", "n": "2"}}, []string{two}},
		"none":   {&runtime.PodSandboxFilter{LabelSelector: map[string]string{"n": ""}}, nil}, "nobody": {&runtime.PodSandboxFilter{Id: "x"}, nil},
	} {
		list, err := s.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{Filter: c.filter})
		must(t, err)
		var got []string
		for _, p := range list.Items {
			got = append(got, p.Id)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("pods, %s: %q, want %q", what, got, c.want)
		}
	}
	created := &runtime.ContainerStateValue{State: runtime.ContainerState_CONTAINER_CREATED}
	exited := &runtime.ContainerStateValue{State: runtime.ContainerState_CONTAINER_EXITED}
	for what, c := range map[string]struct {
		filter *runtime.ContainerFilter
		want   []string
	}{
		"all": {nil, []string{c1, c2}}, "id": {&runtime.ContainerFilter{Id: c2[:10]}, []string{c2}}, "pod": {&runtime.ContainerFilter{PodSandboxId: one[:10]}, []string{c1}},
		"state": {&runtime.ContainerFilter{State: created}, []string{c1, c2}}, "exited": {&runtime.ContainerFilter{State: exited}, nil},
		"label": {&runtime.ContainerFilter{LabelSelector: map[string]string{"l": "1"}}, []string{c1}}, "both": {&runtime.ContainerFilter{Id: c1, PodSandboxId: two}, nil},
	} {
		list, err := s.ListContainers(ctx, &runtime.ListContainersRequest{Filter: c.filter})
		must(t, err)
		var got []string
		for _, p := range list.Containers {
			got = append(got, p.Id)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("containers, %s: %q, want %q", what, got, c.want)
		}
	}
	stats, err := s.ListContainerStats(ctx, &runtime.ListContainerStatsRequest{})
	if err != nil || len(stats.Stats) != 0 {
		t.Errorf("stats of what does not run: %v, %v", stats, err)
	}
}

func TestStatusOfOne(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	id := s.runPod(map[string]string{"app": "x"}, "b")
	c := s.createContainer(id, nil)
	before := time.Now().UnixNano()
	p, err := s.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: id[:20], Verbose: true})
	must(t, err)
	if p.Status.Id != id || p.Status.State != runtime.PodSandboxState_SANDBOX_READY || p.Status.RuntimeHandler != "b" || p.Status.Labels["app"] != "x" ||
		p.Status.Network.Ip != "" || p.Status.Linux.Namespaces.Options.Network != runtime.NamespaceMode_NODE || p.Timestamp < before {
		t.Errorf("status %v", p.Status)
	}
	if len(p.ContainersStatuses) != 1 || p.ContainersStatuses[0].Id != c {
		t.Errorf("statuses of containers: %v", p.ContainersStatuses)
	}
	st, err := s.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: c, Verbose: true})
	must(t, err)
	if got := st.Status; got.State != runtime.ContainerState_CONTAINER_CREATED || got.CreatedAt == 0 || got.StartedAt != 0 || got.FinishedAt != 0 ||
		got.ImageId != "sha256:1234" || got.Image.UserSpecifiedImage != "box" || got.StopSignal != runtime.Signal_SIGNAL_SIGTERM {
		t.Errorf("status %v", got)
	}
	for _, info := range []map[string]string{p.Info, st.Info} {
		var v map[string]any
		if err := json.Unmarshal([]byte(info["info"]), &v); err != nil || v["config"] == nil {
			t.Errorf("information %v, %v", info, err)
		}
	}
	if st.Info["info"] == "" || !strings.Contains(st.Info["info"], `"runtimeSpec":{`) {
		t.Error("there is no spec in the information")
	}
}

func TestStatus(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	got, err := s.Status(ctx, &runtime.StatusRequest{Verbose: true})
	must(t, err)
	for _, c := range got.Status.Conditions {
		if c.Status != (c.Type == runtime.RuntimeReady) {
			t.Errorf("condition %v; there is no network configuration", c)
		}
		if c.Type == runtime.NetworkReady && (c.Reason != "NetworkPluginNotReady" || c.Message == "") {
			t.Errorf("condition %v", c)
		}
	}
	var names []string
	for _, h := range got.RuntimeHandlers {
		names = append(names, h.Name)
		if !h.Features.UserNamespaces || h.Features.RecursiveReadOnlyMounts {
			t.Errorf("features %v", h)
		}
	}
	if len(got.Status.Conditions) != 2 || !slices.Equal(names, []string{"", "b", "sardine"}) || got.Info["config"] != "{}" || !got.Features.SupplementalGroupsPolicy {
		t.Errorf("status %v", got)
	}
	v, err := s.Version(ctx, &runtime.VersionRequest{})
	if err != nil || v.RuntimeName != "sardine" || v.RuntimeVersion != "1.2.3" || v.RuntimeApiVersion != "v1" {
		t.Errorf("version %v, %v", v, err)
	}
	r, err := s.RuntimeConfig(ctx, &runtime.RuntimeConfigRequest{})
	if err != nil || r.Linux.CgroupDriver != runtime.CgroupDriver_SYSTEMD {
		t.Errorf("configuration %v, %v", r, err)
	}
	_, err = s.UpdateRuntimeConfig(ctx, &runtime.UpdateRuntimeConfigRequest{})
	must(t, err)
}

func TestEventsAreSent(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := s.GetContainerEvents(ctx, &runtime.GetEventsRequest{})
	must(t, err)
	_, err = events.Header() // nothing is missed from here on
	must(t, err)
	id := s.runPod(nil, "")
	c := s.createContainer(id, nil)
	_, err = s.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: id})
	must(t, err)
	for i, want := range []struct {
		id   string
		kind runtime.ContainerEventType
	}{
		{id, runtime.ContainerEventType_CONTAINER_CREATED_EVENT}, {id, runtime.ContainerEventType_CONTAINER_STARTED_EVENT},
		{c, runtime.ContainerEventType_CONTAINER_CREATED_EVENT}, {id, runtime.ContainerEventType_CONTAINER_STOPPED_EVENT},
		{c, runtime.ContainerEventType_CONTAINER_DELETED_EVENT}, {id, runtime.ContainerEventType_CONTAINER_DELETED_EVENT},
	} {
		e, err := events.Recv()
		must(t, err)
		if e.ContainerId != want.id || e.ContainerEventType != want.kind || e.PodSandboxStatus.GetId() != id || e.CreatedAt == 0 {
			t.Errorf("event %d is %v", i, e)
		}
	}
}

// TestTimesOfLooks: by the times of answers and events no container is there before its creation or after its removal. A kubelet
// keeps what has the latest time.
func TestTimesOfLooks(t *testing.T) {
	s := newServer(t)
	id := s.runPod(nil, "")
	var attempt uint32
	for ; attempt < 50; attempt++ { // that a look takes its time
		s.createAttempt(id, attempt, nil)
	}
	events, err := s.GetContainerEvents(t.Context(), &runtime.GetEventsRequest{})
	must(t, err)
	_, err = events.Header()
	must(t, err)

	const lookers = 4
	answers, done := make(chan []look, lookers), make(chan struct{})
	for range lookers {
		go func() { answers <- s.lookUntil(id, done) }()
	}
	var looks []look
	for ; attempt < 200; attempt++ {
		c := s.createAttempt(id, attempt, nil)
		_, err := s.RemoveContainer(t.Context(), &runtime.RemoveContainerRequest{ContainerId: c})
		must(t, err)
		for range 2 {
			e, err := events.Recv()
			must(t, err)
			looks = append(looks, lookAt(e.CreatedAt, e.ContainersStatuses))
		}
	}
	close(done)
	for range lookers {
		looks = append(looks, <-answers...)
	}
	slices.SortStableFunc(looks, func(a, b look) int { return cmp.Compare(a.at, b.at) })
	checkLooks(t, looks)
}

// TestEventsEndWithTime: a client is told that its time is over, whichever clock notices first.
func TestEventsEndWithTime(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	err := New(Config{Pods: s.pods}).GetContainerEvents(&runtime.GetEventsRequest{}, noStream{ctx: ctx})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the end is %v", err)
	}
}

// noStream is a stream to a client that is never told anything.
type noStream struct {
	grpc.ServerStreamingServer[runtime.ContainerEventResponse]
	ctx context.Context
}

func (s noStream) Context() context.Context   { return s.ctx }
func (noStream) SendHeader(metadata.MD) error { return nil }

// look is a time and which containers a pod then had.
type look struct {
	at         int64
	containers map[string]bool
}

func lookAt(at int64, statuses []*runtime.ContainerStatus) look {
	l := look{at: at, containers: map[string]bool{}}
	for _, c := range statuses {
		l.containers[c.Id] = true
	}
	return l
}

func checkLooks(t *testing.T, looks []look) {
	t.Helper()
	gone, there := map[string]int64{}, map[string]bool{}
	for _, l := range looks {
		for id := range there {
			if !l.containers[id] {
				gone[id] = l.at
				delete(there, id)
			}
		}
		for id := range l.containers {
			there[id] = true
			if at := gone[id]; at != 0 {
				t.Errorf("container %s was gone at %d and there at %d", id, at, l.at)
			}
		}
	}
}

// lookUntil asks for a pod's status again and again.
func (s *server) lookUntil(id string, done <-chan struct{}) []look {
	var looks []look
	for {
		select {
		case <-done:
			return looks
		default:
		}
		answer, err := s.PodSandboxStatus(context.Background(), &runtime.PodSandboxStatusRequest{PodSandboxId: id})
		if err != nil {
			s.t.Error(err)
			return looks
		}
		looks = append(looks, lookAt(answer.Timestamp, answer.ContainersStatuses))
	}
}

func TestInPages(t *testing.T) {
	for _, items := range []int{0, 1, page - 1, page, page + 1, 3*page + 7} {
		sent, parts := 0, 0
		err := inPages(make([]int, items), func(part []int) error {
			if len(part) == 0 || len(part) > page {
				t.Errorf("a part of %d", len(part))
			}
			sent += len(part)
			parts++
			return nil
		})
		if err != nil || sent != items || parts != (items+page-1)/page {
			t.Errorf("%d items: %d sent in %d parts, %v", items, sent, parts, err)
		}
	}
	failed := errors.New("gone")
	if err := inPages(make([]int, 2*page), func([]int) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
}

func TestSeconds(t *testing.T) {
	for n, want := range map[int64]time.Duration{
		0: 0, 1: time.Second, -1: 0, math.MinInt64: 0, math.MaxInt64: math.MaxInt64 / time.Second * time.Second,
	} {
		if got := seconds(n); got != want {
			t.Errorf("%d seconds are %v", n, got)
		}
	}
}
