// SPDX-License-Identifier: Apache-2.0

package imagetest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	// What a client on in-memory services needs.
	_ "github.com/containerd/containerd/v2/core/runtime/v2"
	_ "github.com/containerd/containerd/v2/plugins/content/local/plugin"
	_ "github.com/containerd/containerd/v2/plugins/diff/walking/plugin"
	_ "github.com/containerd/containerd/v2/plugins/events"
	_ "github.com/containerd/containerd/v2/plugins/gc"
	_ "github.com/containerd/containerd/v2/plugins/imageverifier"
	_ "github.com/containerd/containerd/v2/plugins/leases"
	_ "github.com/containerd/containerd/v2/plugins/metadata"
	_ "github.com/containerd/containerd/v2/plugins/mount"
	_ "github.com/containerd/containerd/v2/plugins/services/containers"
	_ "github.com/containerd/containerd/v2/plugins/services/content"
	_ "github.com/containerd/containerd/v2/plugins/services/diff"
	_ "github.com/containerd/containerd/v2/plugins/services/images"
	_ "github.com/containerd/containerd/v2/plugins/services/introspection"
	_ "github.com/containerd/containerd/v2/plugins/services/leases"
	_ "github.com/containerd/containerd/v2/plugins/services/namespaces"
	_ "github.com/containerd/containerd/v2/plugins/services/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/services/snapshots"
	_ "github.com/containerd/containerd/v2/plugins/services/tasks"
	_ "github.com/containerd/containerd/v2/plugins/services/warning"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/erofs/plugin"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/native/plugin"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/overlay/plugin"
	_ "github.com/containerd/containerd/v2/plugins/streaming"
	_ "github.com/containerd/containerd/v2/plugins/transfer"
)

// Node is a containerd without sockets: its stores and services, in this process.
type Node struct {
	Dir    string // everything on disk is below
	Client *containerd.Client
}

// NewNode makes an empty one. It ends with the test.
func NewNode(t testing.TB) *Node {
	t.Helper()
	n := &Node{Dir: t.TempDir()}
	ctx, cancel := context.WithCancel(context.Background())
	set := plugin.NewPluginSet()
	t.Cleanup(func() { n.close(set); cancel() })
	for _, r := range registry.Graph(func(*plugin.Registration) bool { return false }) {
		ic := plugin.NewContext(ctx, set, n.properties(r.URI()))
		ic.Config = r.Config
		ic.RegisterReadiness = func() func() { return func() {} }
		if err := set.Add(r.Init(ic)); err != nil {
			t.Fatal(err)
		}
	}
	client, err := containerd.New("",
		containerd.WithInMemoryServices(plugin.NewContext(ctx, set, n.properties("test"))),
		containerd.WithDefaultNamespace("k8s.io"))
	if err != nil {
		t.Fatal(err)
	}
	n.Client = client
	return n
}

func (n *Node) properties(id string) map[string]string {
	return map[string]string{
		plugins.PropertyRootDir:  filepath.Join(n.Dir, "root", id),
		plugins.PropertyStateDir: filepath.Join(n.Dir, "state", id),
	}
}

// close closes what can be closed; the metadata store ends with the process.
func (n *Node) close(set *plugin.Set) {
	for _, p := range slices.Backward(set.GetAll()) {
		if instance, err := p.Instance(); err == nil {
			if c, ok := instance.(io.Closer); ok {
				_ = c.Close()
			}
		}
	}
}

// Root is the directory of a snapshotter.
func (n *Node) Root(snapshotter string) string {
	return filepath.Join(n.Dir, "root", string(plugins.SnapshotPlugin)+"."+snapshotter)
}

// Databases are the files of the metadata store and of the overlay snapshotter.
func (n *Node) Databases(t testing.TB) map[string][]byte {
	t.Helper()
	contents := map[string][]byte{}
	for _, path := range []string{
		filepath.Join(n.Dir, "root", string(plugins.MetadataPlugin)+".bolt", "meta.db"),
		filepath.Join(n.Root("overlayfs"), "metadata.db"),
	} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		contents[path] = data
	}
	return contents
}

// Context is in containerd's namespace of Kubernetes.
func Context(t testing.TB) context.Context {
	return namespaces.WithNamespace(t.Context(), "k8s.io")
}
