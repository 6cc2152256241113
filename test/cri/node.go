// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// Node is a daemon that serves CRI, with its network and images.
type Node struct {
	*e2e.Daemon
	Place   *e2e.Place
	Runtime runtime.RuntimeServiceClient
	Images  runtime.ImageServiceClient
	// Logs is a directory for the logs of pods.
	Logs string
	// Cgroup is the parent of the cgroups of pods that the tests make, theirs
	// alone.
	Cgroup string

	conn      *grpc.ClientConn
	addresses string // directory with a file per address in use
	t         testing.TB
	pods      *atomic.Int64 // made so far, to name them
}

// program is the daemon under test.
func program() string {
	if name := os.Getenv("SARDINE_CRI_PROGRAM"); name != "" {
		return name
	}
	return "sardined"
}

// sardineOnly skips a test of what other runtimes do not promise.
func sardineOnly(t testing.TB) {
	t.Helper()
	if program() != "sardined" {
		t.Skipf("%s does not promise this", program())
	}
}

// StartNode starts a node for one test. It is compared before and after like a
// daemon's, see e2e.StartDaemon.
func StartNode(t testing.TB, options ...e2e.Option) *Node {
	t.Helper()
	testnode.NeedRoot(t)
	for _, plugin := range plugins {
		e2e.Program(t, plugin)
	}
	dir, err := os.MkdirTemp("/tmp", "cri-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &Node{Place: e2e.NewPlace(t), Logs: filepath.Join(dir, "logs"), t: t, pods: &atomic.Int64{}}
	n.makeDirectories(dir)
	n.writeNetwork(dir)
	n.serveImages(dir)
	options = append([]e2e.Option{
		e2e.In(n.Place), e2e.WithCRI(), e2e.WithProgram(program()), e2e.WithConfig(config(t, dir)), e2e.WithLeaksIgnored(harmless),
	}, options...)
	n.Daemon = e2e.StartDaemon(t, options...)
	n.Cgroup = "/" + n.Namespace
	// runc in a user namespace looks paths up as a stranger.
	if err := os.Chmod(n.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	n.connect()
	t.Cleanup(n.sweep)
	n.waitReady()
	return n
}

func (n *Node) makeDirectories(dir string) {
	for _, name := range []string{"logs", "cni", "certs.d", "cdi"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			n.t.Fatal(err)
		}
	}
}

// config points the daemon's CRI server to the directories of the test. Scores
// for the OOM killer are restricted to what machines without CAP_SYS_RESOURCE allow.
func config(t testing.TB, dir string) string {
	return fmt.Sprintf(`
[plugins."io.containerd.cri.v1.images".registry]
config_path = %[1]q
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "registry.k8s.io/pause:3.10.2"
[plugins."io.containerd.cri.v1.runtime"]
cdi_spec_dirs = [%[2]q]
netns_mounts_under_state_dir = true
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%[3]q]
conf_dir = %[4]q
[plugins."io.containerd.grpc.v1.cri"]
stream_server_address = "127.0.0.1"
stream_server_port = "0"
`, dir+"/certs.d", dir+"/cdi", filepath.Dir(e2e.Program(t, "bridge")), dir+"/cni")
}

// harmless exempts what stays on a node that had a pod and belongs to none: the
// cgroup that pods without a parent are in, and directories of the daemon's.
func harmless(l testnode.Leak) bool {
	name := filepath.Base(l.Name)
	switch l.Kind {
	case "cgroup":
		return name == "k8s.io"
	case "file":
		return name == "k8s.io" || filepath.Base(filepath.Dir(l.Name)) == "io.containerd.grpc.v1.cri"
	}
	return false
}

// connect makes the clients. They reconnect when the daemon was restarted.
func (n *Node) connect() {
	n.t.Helper()
	conn, err := grpc.NewClient(n.Endpoint(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32<<20)))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	n.conn = conn
	n.Runtime, n.Images = runtime.NewRuntimeServiceClient(conn), runtime.NewImageServiceClient(conn)
}

// Endpoint is the CRI socket as clients want it.
func (n *Node) Endpoint() string { return "unix://" + n.Address }

// callPatience bounds every call of these tests.
const callPatience = 2 * time.Minute

// waitReady waits until the runtime and its network are ready, and CRI answers
// at all after a start.
func (n *Node) waitReady() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), testnode.Patience)
	defer cancel()
	var missing string
	for ctx.Err() == nil {
		status, err := n.Runtime.Status(ctx, &runtime.StatusRequest{}, grpc.WaitForReady(true))
		if missing = notReady(status, err); missing == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	n.t.Fatalf("not ready within %v: %s", testnode.Patience, missing)
}

func notReady(status *runtime.StatusResponse, err error) string {
	if err != nil {
		return err.Error()
	}
	if len(status.Status.GetConditions()) < 2 {
		return "conditions missing"
	}
	for _, c := range status.Status.Conditions {
		if (c.Type == runtime.RuntimeReady || c.Type == runtime.NetworkReady) && !c.Status {
			return c.Type + ": " + c.Message
		}
	}
	return ""
}

// In is the node for a subtest: what fails through it fails the subtest.
func (n *Node) In(t testing.TB) *Node {
	sub := *n
	sub.t = t
	return &sub
}

// Restarted waits for the CRI server of a daemon that was started again.
func (n *Node) Restarted() { n.waitReady() }

// sweep removes the pods that a test left, before the node is compared.
func (n *Node) sweep() {
	if !n.Running() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	list, err := n.Runtime.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{}, grpc.WaitForReady(true))
	if err != nil {
		n.t.Logf("list the pods left over: %v", err)
		return
	}
	for _, pod := range list.Items {
		n.sweepPod(pod.Id)
	}
}

// sweepPod removes one, in a time of its own: there may be a hundred.
func (n *Node) sweepPod(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	_, errStop := n.Runtime.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: id})
	_, errRemove := n.Runtime.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: id})
	if errStop != nil || errRemove != nil {
		n.t.Errorf("remove pod %s: %v, %v", id, errStop, errRemove)
	}
}
