// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	api "github.com/containerd/containerd/api/services/containers/v1"
	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/pod"
	"github.com/sardine-run/sardine/internal/podspec"
	"github.com/sardine-run/sardine/internal/rootfs"
	"github.com/sardine-run/sardine/internal/testnode"
)

// emptyImage is there under every name.
type emptyImage struct{}

func (i emptyImage) Resolve(_ context.Context, ref string) (*image.Image, error) {
	return &image.Image{ID: "sha256:1234", Tags: []string{ref}}, nil
}
func (i emptyImage) Use(context.Context, string, string) (image.View, error) { return i, nil }
func (emptyImage) Image() *image.Image                                       { return &image.Image{ID: "sha256:1234"} }
func (emptyImage) Mounts(string, string) ([]rootfs.Mount, error)             { return nil, nil }
func (emptyImage) ReadFile(string) ([]byte, error)                           { return nil, fs.ErrNotExist }
func (emptyImage) CopyDirectory(string, string) error                        { return nil }
func (emptyImage) Release()                                                  {}

// store is containerd's containers service with one container, which is not a pod's.
type store struct{ api.ContainersClient }

func (store) Get(_ context.Context, req *api.GetContainerRequest, _ ...grpc.CallOption) (*api.GetContainerResponse, error) {
	if req.ID != "theirs" {
		return nil, errgrpc.ToGRPC(fmt.Errorf("container %s: %w", req.ID, errdefs.ErrNotFound))
	}
	return &api.GetContainerResponse{Container: &api.Container{ID: "theirs"}}, nil
}

func (store) List(context.Context, *api.ListContainersRequest, ...grpc.CallOption) (*api.ListContainersResponse, error) {
	return &api.ListContainersResponse{Containers: []*api.Container{{ID: "theirs"}}}, nil
}

func (store) ListStream(context.Context, *api.ListContainersRequest, ...grpc.CallOption) (api.Containers_ListStreamClient, error) {
	return &oneContainer{}, nil
}

func (store) Update(context.Context, *api.UpdateContainerRequest, ...grpc.CallOption) (*api.UpdateContainerResponse, error) {
	return &api.UpdateContainerResponse{}, nil
}

func (store) Delete(context.Context, *api.DeleteContainerRequest, ...grpc.CallOption) (*types.Empty, error) {
	return &types.Empty{}, nil
}

func (store) Create(context.Context, *api.CreateContainerRequest, ...grpc.CallOption) (*api.CreateContainerResponse, error) {
	return &api.CreateContainerResponse{}, nil
}

type oneContainer struct {
	api.Containers_ListStreamClient
	over bool
}

func (s *oneContainer) Recv() (*api.ListContainerMessage, error) {
	if s.over {
		return nil, io.EOF
	}
	s.over = true
	return &api.ListContainerMessage{Container: &api.Container{ID: "theirs"}}, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newPods returns a Manager with one pod, and a container in it that is not started.
func newPods(t *testing.T) (*pod.Manager, *pod.Container) {
	t.Helper()
	testnode.NeedRoot(t)
	dir := t.TempDir()
	nets, err := network.New(network.Config{
		BinDirs: []string{dir}, ConfDir: filepath.Join(dir, "cni"), StateDir: filepath.Join(dir, "network"), CacheDir: filepath.Join(dir, "cache"),
	})
	must(t, err)
	engine, err := container.New(container.Config{Dir: filepath.Join(dir, "tasks")})
	must(t, err)
	specs, err := podspec.New(&podspec.Node{RestrictOOMScoreAdj: true})
	must(t, err)
	m, err := pod.New(pod.Config{
		State: filepath.Join(dir, "state"), Root: filepath.Join(dir, "root"), Containers: engine, Images: emptyImage{}, Networks: nets, Specs: specs,
		Handlers: map[string]*pod.Handler{"sardine": {}}, DefaultHandler: "sardine",
	})
	must(t, err)
	s, err := m.RunSandbox(t.Context(), &runtime.PodSandboxConfig{
		Metadata: &runtime.PodSandboxMetadata{Name: "p"},
		Linux: &runtime.LinuxPodSandboxConfig{SecurityContext: &runtime.LinuxSandboxSecurityContext{
			NamespaceOptions: &runtime.NamespaceOption{Network: runtime.NamespaceMode_NODE, Pid: runtime.NamespaceMode_CONTAINER},
		}},
	}, "")
	must(t, err)
	t.Cleanup(func() {
		must(t, s.Remove(context.Background()))
		must(t, m.Close())
		must(t, nets.Close())
	})
	c, err := s.CreateContainer(t.Context(), &runtime.ContainerConfig{
		Metadata: &runtime.ContainerMetadata{Name: "c"}, Image: &runtime.ImageSpec{Image: "docker.io/library/busybox:1"},
		Labels: map[string]string{"io.kubernetes.pod.name": "p"}, Command: []string{"true"},
	})
	must(t, err)
	return m, c
}

func newView(m *pod.Manager) *containersView {
	v := &containersView{ContainersClient: store{}, pods: &atomic.Pointer[pod.Manager]{}, stock: &atomic.Bool{}}
	v.pods.Store(m)
	return v
}

func (v *containersView) ids(t *testing.T, namespace string, filters ...string) []string {
	t.Helper()
	ctx := namespaces.WithNamespace(t.Context(), namespace)
	list, err := v.List(ctx, &api.ListContainersRequest{Filters: filters})
	must(t, err)
	stream, err := v.ListStream(ctx, &api.ListContainersRequest{Filters: filters})
	must(t, err)
	var ids, streamed []string
	for _, c := range list.Containers {
		ids = append(ids, c.ID)
	}
	for range len(ids) + 1 {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		streamed = append(streamed, message.Container.ID)
	}
	if !slices.Equal(ids, streamed) {
		t.Errorf("the list has %q, the stream %q", ids, streamed)
	}
	return ids
}

func TestContainersView(t *testing.T) {
	m, c := newPods(t)
	v := newView(m)
	both, theirs := []string{"theirs", c.ID}, []string{"theirs"}
	for filter, want := range map[string][]string{
		"": both, "id==" + c.ID: both, "id~=^" + c.ID[:8]: both, "id==x": theirs, "image==docker.io/library/busybox:1": both,
		"runtime.name==io.containerd.sardine.v1": both, "runtime.name==x": theirs, "labels.io.kubernetes": theirs,
		`labels."io.kubernetes.pod.name"==p`: both, `labels."io.kubernetes.pod.name"==q`: theirs, `labels."io.cri-containerd.kind"==container`: both,
		"nosuch==x": theirs,
	} {
		var filters []string
		if filter != "" {
			filters = []string{filter}
		}
		if got := v.ids(t, pod.Namespace, filters...); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	if got := v.ids(t, "default"); !slices.Equal(got, theirs) {
		t.Errorf("in another namespace: %q", got)
	}
	_, err := v.List(namespaces.WithNamespace(t.Context(), pod.Namespace), &api.ListContainersRequest{Filters: []string{"=="}})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a filter that is none: %v", err)
	}
	v.stock.Store(true) // containerd's own CRI server takes what has the label for its own
	if got := v.ids(t, pod.Namespace, `labels."io.cri-containerd.kind"==container`); !slices.Equal(got, theirs) {
		t.Errorf("with containerd's CRI server: %q", got)
	}
	v.pods.Store(nil)
	if got := v.ids(t, pod.Namespace); !slices.Equal(got, theirs) {
		t.Errorf("before there is a CRI server: %q", got)
	}
}

func TestContainersOfPodsAreReadOnly(t *testing.T) {
	m, c := newPods(t)
	v := newView(m)
	ctx := namespaces.WithNamespace(t.Context(), pod.Namespace)
	got, err := v.Get(ctx, &api.GetContainerRequest{ID: c.ID})
	must(t, err)
	if got.Container.ID != c.ID || got.Container.Sandbox != c.Sandbox.ID || got.Container.Image != "docker.io/library/busybox:1" ||
		got.Container.Labels["io.kubernetes.pod.name"] != "p" || len(got.Container.Spec.GetValue()) == 0 {
		t.Errorf("container %v", got.Container)
	}
	if _, err := v.Get(ctx, &api.GetContainerRequest{ID: c.ID[:10]}); status.Code(err) != codes.NotFound {
		t.Errorf("get by a prefix: %v", err) // containerd knows none
	}
	_, update := v.Update(ctx, &api.UpdateContainerRequest{Container: &api.Container{ID: c.ID}})
	_, remove := v.Delete(ctx, &api.DeleteContainerRequest{ID: c.ID})
	_, create := v.Create(ctx, &api.CreateContainerRequest{Container: &api.Container{ID: c.ID}})
	if status.Code(update) != codes.FailedPrecondition || status.Code(remove) != codes.FailedPrecondition || status.Code(create) != codes.AlreadyExists {
		t.Errorf("update: %v; delete: %v; create: %v", update, remove, create)
	}
	_, update = v.Update(ctx, &api.UpdateContainerRequest{Container: &api.Container{ID: "theirs"}})
	_, remove = v.Delete(ctx, &api.DeleteContainerRequest{ID: "theirs"})
	_, create = v.Create(ctx, &api.CreateContainerRequest{Container: &api.Container{ID: "new"}})
	if err := errors.Join(update, remove, create); err != nil {
		t.Error(err)
	}
	if _, err := v.Update(ctx, &api.UpdateContainerRequest{}); err != nil {
		t.Error(err) // theirs to refuse
	}
	view := &tasksView{containers: v}
	if _, err := view.Get(ctx, &tasks.GetRequest{ContainerID: c.ID}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("task of what does not run: %v", err)
	}
	if _, err := view.Kill(ctx, &tasks.KillRequest{ContainerID: c.ID}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("kill: %v", err)
	}
}
