// SPDX-License-Identifier: Apache-2.0

package criimage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/imageverifier"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/criimage"
	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/image/imagetest"
	"github.com/sardine-run/sardine/internal/testnode"
)

// server is the service behind a socket.
type server struct {
	cri.ImageServiceClient
	node     *imagetest.Node
	images   *image.Images
	registry *imagetest.Registry
}

func serve(t *testing.T, change func(*image.Config, *image.Deps)) *server {
	t.Helper()
	testnode.NeedRoot(t)
	s := &server{node: imagetest.NewNode(t), registry: imagetest.NewRegistry(t, false)}
	config := image.DefaultConfig()
	config.Registry.ConfigPath = t.TempDir()
	deps := image.Deps{Client: s.node.Client, Roots: map[string]string{"overlayfs": s.node.Root("overlayfs")}}
	if change != nil {
		change(&config, &deps)
	}
	var err error
	if s.images, err = image.New(config, deps); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.images.Close() })
	s.ImageServiceClient = connect(t, criimage.New(s.images, func(h string) bool { return h == "runc" || h == "risc" }))
	return s
}

func connect(t *testing.T, service cri.ImageServiceServer) cri.ImageServiceClient {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	cri.RegisterImageServiceServer(g, service)
	done := make(chan error, 1)
	go func() { done <- g.Serve(listener) }()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); g.Stop(); <-done })
	return cri.NewImageServiceClient(conn)
}

func spec(ref string) *cri.ImageSpec { return &cri.ImageSpec{Image: ref} }

func (s *server) pull(t *testing.T, ref string) string {
	t.Helper()
	r, err := s.PullImage(t.Context(), &cri.PullImageRequest{Image: spec(ref)})
	if err != nil {
		t.Fatal(err)
	}
	return r.ImageRef
}

func (s *server) status(t *testing.T, ref string) *cri.Image {
	t.Helper()
	r, err := s.ImageStatus(t.Context(), &cri.ImageStatusRequest{Image: spec(ref)})
	if err != nil {
		t.Fatal(err)
	}
	return r.Image
}

func small(t *testing.T, user string) v1.Image {
	return imagetest.Image(t, v1.Config{User: user}, imagetest.Layer(t, imagetest.File{Name: "x"}))
}

func TestLifeOfAnImage(t *testing.T) {
	s := serve(t, nil)
	ref := s.registry.Push(t, "x:1", small(t, "1000:10"))
	if s.status(t, ref) != nil {
		t.Error("the image is there before the pull")
	}
	id := s.pull(t, ref)
	img := s.status(t, ref)
	if img.GetId() != id || img.GetSize() == 0 || img.GetUid().GetValue() != 1000 || img.Username != "" || img.Spec != nil ||
		len(img.RepoTags) != 1 || img.RepoTags[0] != ref || len(img.RepoDigests) != 1 {
		t.Errorf("%v", img)
	}
	list, err := s.ListImages(t.Context(), &cri.ListImagesRequest{})
	if err != nil || len(list.Images) != 1 || list.Images[0].Id != id {
		t.Errorf("%v, %v", list, err)
	}
	for range 2 {
		if _, err := s.RemoveImage(t.Context(), &cri.RemoveImageRequest{Image: spec(id)}); err != nil {
			t.Error(err)
		}
	}
	if s.status(t, id) != nil || s.status(t, ref) != nil {
		t.Error("the image is there after its removal")
	}
}

func TestUsers(t *testing.T) {
	s := serve(t, nil)
	for n, c := range []struct {
		user, name string
		uid        *cri.Int64Value
	}{
		{"", "", nil},
		{"0", "", &cri.Int64Value{}},
		{"www:www", "www", nil},
		{"www:10", "www", nil},
		{"7:www", "", &cri.Int64Value{Value: 7}},
	} {
		img := s.status(t, s.pull(t, s.registry.Push(t, fmt.Sprintf("x:%d", n), small(t, c.user))))
		if img.Username != c.name || (img.Uid == nil) != (c.uid == nil) || img.GetUid().GetValue() != c.uid.GetValue() {
			t.Errorf("%q: %v", c.user, img)
		}
	}
}

func TestVerbose(t *testing.T) {
	s := serve(t, nil)
	id := s.pull(t, s.registry.Push(t, "x:1", small(t, "7")))
	r, err := s.ImageStatus(t.Context(), &cri.ImageStatusRequest{Image: spec(id), Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		ChainID   string
		ImageSpec ocispec.Image
	}
	if err := json.Unmarshal([]byte(r.Info["info"]), &info); err != nil {
		t.Fatal(err)
	}
	if len(info.ImageSpec.RootFS.DiffIDs) != 1 || info.ChainID != info.ImageSpec.RootFS.DiffIDs[0].String() || info.ImageSpec.Config.User != "7" {
		t.Errorf("%+v", info)
	}
}

func TestFilterAndStream(t *testing.T) {
	s := serve(t, nil)
	var ids, refs []string
	for n := range 3 {
		refs = append(refs, s.registry.Push(t, fmt.Sprintf("x:%d", n), small(t, fmt.Sprint(n))))
		ids = append(ids, s.pull(t, refs[n]))
	}
	for ref, want := range map[string]int{"": 3, refs[1]: 1, ids[2]: 1, "none": 0} {
		filter := &cri.ImageFilter{Image: spec(ref)}
		list, err := s.ListImages(t.Context(), &cri.ListImagesRequest{Filter: filter})
		if err != nil || len(list.Images) != want {
			t.Errorf("list %q: %v, %v", ref, list, err)
		}
		stream, err := s.StreamImages(t.Context(), &cri.StreamImagesRequest{Filter: filter})
		if err != nil {
			t.Fatal(err)
		}
		if got := receive(t, stream); len(got) != want {
			t.Errorf("stream %q: %v", ref, got)
		}
	}
}

func receive(t *testing.T, stream grpc.ServerStreamingClient[cri.StreamImagesResponse]) []*cri.Image {
	t.Helper()
	var all []*cri.Image
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, part.Images...)
	}
}

func TestRuntimeHandler(t *testing.T) {
	s := serve(t, func(c *image.Config, _ *image.Deps) {
		c.RuntimePlatforms = map[string]image.Platform{"risc": {Platform: "linux/riscv64"}}
	})
	own, risc := small(t, "1"), imagetest.ImageFor(t, "riscv64", v1.Config{User: "2"}, imagetest.Layer(t, imagetest.File{Name: "risc"}))
	ref := s.registry.PushIndex(t, "multi:1", imagetest.Index(t, map[string]v1.Image{runtime.GOARCH: own, "riscv64": risc}))
	byField := &cri.PullImageRequest{Image: &cri.ImageSpec{Image: ref, RuntimeHandler: "risc"}}
	byAnnotation := &cri.PullImageRequest{Image: spec(ref), SandboxConfig: &cri.PodSandboxConfig{
		Annotations: map[string]string{"io.containerd.cri.runtime-handler": "risc"},
	}}
	for _, request := range []*cri.PullImageRequest{byField, byAnnotation} {
		r, err := s.PullImage(t.Context(), request)
		if err != nil || r.ImageRef != imagetest.ID(t, risc) {
			t.Errorf("%v, %v", r, err)
		}
	}
	r, err := s.ImageStatus(t.Context(), &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref, RuntimeHandler: "risc"}})
	if err != nil || r.Image.GetSpec().GetRuntimeHandler() != "risc" {
		t.Errorf("%v, %v", r, err)
	}
	byField.Image.RuntimeHandler = "none"
	if _, err := s.PullImage(t.Context(), byField); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an unknown handler: %v", err)
	}
}

// TestBadInput reaches every call.
func TestBadInput(t *testing.T) {
	s := serve(t, nil)
	hostile := []string{"", " ", "A", "../x", "x y", "x@sha256:1", "\x00", "/etc/passwd", "http://x/y", strings.Repeat("a", 1<<20), strings.Repeat("/", 1<<10)}
	for _, ref := range hostile {
		calls := map[string]error{}
		_, calls["pull"] = s.PullImage(t.Context(), &cri.PullImageRequest{Image: spec(ref)})
		_, calls["status"] = s.ImageStatus(t.Context(), &cri.ImageStatusRequest{Image: spec(ref)})
		_, calls["remove"] = s.RemoveImage(t.Context(), &cri.RemoveImageRequest{Image: spec(ref)})
		for call, err := range calls {
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s %.40q: %v", call, ref, err)
			}
		}
	}
	for _, err := range []error{
		second(s.PullImage(t.Context(), &cri.PullImageRequest{})),
		second(s.ImageStatus(t.Context(), &cri.ImageStatusRequest{})),
		second(s.RemoveImage(t.Context(), &cri.RemoveImageRequest{})),
		second(s.PullImage(t.Context(), &cri.PullImageRequest{Image: spec("x"), Auth: &cri.AuthConfig{Auth: "!"}})),
		second(s.ListImages(t.Context(), &cri.ListImagesRequest{Filter: &cri.ImageFilter{Image: spec("../x")}})),
	} {
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// refusing is a verifier that nobody passes.
type refusing struct{}

func (refusing) VerifyImage(context.Context, string, ocispec.Descriptor) (*imageverifier.Judgement, error) {
	return &imageverifier.Judgement{Reason: "unsigned"}, nil
}

// TestErrorsOfRegistries begin with the texts that the kubelet knows.
func TestErrorsOfRegistries(t *testing.T) {
	s := serve(t, nil)
	ref := s.registry.Push(t, "x:1", small(t, ""))
	verified := serve(t, func(_ *image.Config, d *image.Deps) {
		d.Verifiers = map[string]imageverifier.ImageVerifier{"v": refusing{}}
	})
	refused := verified.registry.Push(t, "x:1", small(t, ""))
	for _, c := range []struct {
		name   string
		server *server
		ref    string
		status int // of the registry's answers, 0 for real ones
		code   codes.Code
		text   string
	}{
		{"missing", s, s.registry.Host + "/none:1", 0, codes.NotFound, ""},
		{"unauthorized", s, ref, http.StatusUnauthorized, codes.Unauthenticated, ""},
		{"forbidden", s, ref, http.StatusForbidden, codes.PermissionDenied, ""},
		{"unavailable", s, ref, http.StatusBadGateway, codes.Unavailable, "RegistryUnavailable: "},
		{"nobody there", s, "127.0.0.1:1/x", 0, codes.Unavailable, "RegistryUnavailable: "},
		{"unsigned", verified, refused, 0, codes.PermissionDenied, "SignatureValidationFailed: "},
	} {
		c.server.registry.Guard(answering(c.status))
		_, err := c.server.PullImage(t.Context(), &cri.PullImageRequest{Image: spec(c.ref)})
		if status.Code(err) != c.code || !strings.HasPrefix(status.Convert(err).Message(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func answering(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		if code != 0 {
			w.WriteHeader(code)
		}
		return code != 0
	}
}

func TestImageFsInfo(t *testing.T) {
	layers := t.TempDir()
	s := serve(t, func(_ *image.Config, d *image.Deps) { d.Layers = []string{layers, "/dev/shm"} })
	s.pull(t, s.registry.Push(t, "x:1", small(t, "")))
	r, err := s.ImageFsInfo(t.Context(), &cri.ImageFsInfoRequest{})
	if err != nil || len(r.ImageFilesystems) != 1 || len(r.ContainerFilesystems) != 2 {
		t.Fatalf("%v, %v", r, err)
	}
	img, own, other := r.ImageFilesystems[0], r.ContainerFilesystems[0], r.ContainerFilesystems[1]
	if img.FsId.Mountpoint != s.node.Root("overlayfs") || img.Timestamp <= 0 || img.UsedBytes.GetValue() == 0 || img.InodesUsed.GetValue() == 0 {
		t.Errorf("images %v", img)
	}
	if own.FsId.Mountpoint != img.FsId.Mountpoint || other.FsId.Mountpoint != "/dev/shm" {
		t.Errorf("containers %v and %v", own, other)
	}
}
