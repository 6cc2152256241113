// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/image-spec/identity"

	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/image/imagetest"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// fixture is a node with images and a registry.
type fixture struct {
	*imagetest.Node
	*image.Images
	Registry *imagetest.Registry
	deps     image.Deps
	config   image.Config
}

func newFixture(t testing.TB, change ...func(*image.Config)) *fixture {
	t.Helper()
	testnode.NeedRoot(t)
	f := &fixture{Node: imagetest.NewNode(t), Registry: imagetest.NewRegistry(t, false), config: image.DefaultConfig()}
	f.config.Registry.ConfigPath = t.TempDir()
	f.config.StatsCollectPeriod = 0
	for _, c := range change {
		c(&f.config)
	}
	f.deps = image.Deps{
		Client:   f.Client,
		Roots:    map[string]string{"overlayfs": f.Root("overlayfs"), "native": f.Root("native")},
		Features: kernel.NewFeatures(t.TempDir()),
	}
	f.open(t)
	return f
}

func (f *fixture) open(t testing.TB) {
	t.Helper()
	images, err := image.New(f.config, f.deps)
	if err != nil {
		t.Fatal(err)
	}
	f.Images = images
	t.Cleanup(func() { _ = images.Close() })
}

// restart is a new daemon on the same stores.
func (f *fixture) restart(t testing.TB) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(t)
}

func (f *fixture) pull(t testing.TB, ref string) string {
	t.Helper()
	id, err := f.Pull(t.Context(), ref, image.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func twoLayers(t testing.TB) v1.Image {
	return imagetest.Image(t, v1.Config{User: "1000:1000", Env: []string{"A=b"}},
		imagetest.Layer(t, imagetest.File{Name: "etc/"}, imagetest.File{Name: "etc/passwd", Data: "root:x:0:0::/:/bin/sh\n"},
			imagetest.File{Name: "gone", Data: "x"}, imagetest.File{Name: "dir/"}, imagetest.File{Name: "dir/old"}),
		imagetest.Layer(t, imagetest.File{Name: ".wh.gone"}, imagetest.File{Name: "dir/.wh..wh..opq"}, imagetest.File{Name: "dir/new", Data: "n"}))
}

func chainID(img *image.Image) string {
	return strings.TrimPrefix(identity.ChainID(img.Config.RootFS.DiffIDs).String(), "sha256:")
}

// plainResolver asks a registry without TLS, as ctr --plain-http does.
func plainResolver(host string) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(func(h string) (bool, error) {
		return h == host, nil
	}))})
}
