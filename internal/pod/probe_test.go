// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/probe"
	"github.com/sardine-run/sardine/internal/stream"
	"github.com/sardine-run/sardine/internal/testnode"
)

// sessions serves ExecSync with probes on the node's pods, and is to be closed.
func (n *node) sessions() *stream.Server {
	n.t.Helper()
	s, err := stream.New(stream.Config{Address: "127.0.0.1", Probes: &probe.Prober{}}, n.Manager)
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

// probe runs the arguments, in one string, as a probe of c.
func (n *node) probe(s *stream.Server, c *Container, args string) (code int32, output string) {
	n.t.Helper()
	done, err := s.ExecSync(n.t.Context(), c.ID, strings.Fields(probe.Name+" "+args), testnode.Patience)
	if err != nil {
		n.t.Fatalf("%s: %v", args, err)
	}
	return done.ExitCode, string(done.Stdout) + string(done.Stderr)
}

func TestProbeFile(t *testing.T) {
	n := newNode(t)
	sessions := n.sessions()
	defer sessions.Close()
	cfg := containerConfig("c", "touch /tmp/ok; touch -d @1000000000 /tmp/old; ln -s /tmp/ok /link; touch /data/fresh; ln -s /tmp/ok /data/out; echo ready; sleep 1000")
	pods := filepath.Join(t.TempDir(), "pods/uid")
	for path, at := range map[string]string{"volumes/kubernetes.io~empty-dir/data": "/data", "volume-subpaths/part/c/0": "/part", "volumes/kubernetes.io~csi/disk/mount": "/disk"} {
		path = filepath.Join(pods, path)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(path, "there"), "", 0o600)
		cfg.Mounts = append(cfg.Mounts, &runtime.Mount{HostPath: path, ContainerPath: at})
	}
	c := n.create(n.run(podConfig(n)), cfg)
	if _, err := sessions.ExecSync(t.Context(), c.ID, []string{probe.Name, "alive"}, testnode.Patience); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a container that was not started: %v", err)
	}
	n.start(c)
	n.eventually("it is ready", func() bool { return n.log(c) == "ready\n" })
	for args, want := range map[string]struct {
		code int32
		text string
	}{
		"file /tmp/ok --validity 1h":                         {0, "file /tmp/ok: modified "},
		"file /link --validity=1h":                           {0, "file /link: modified "},
		"file --validity 1h /tmp/old":                        {1, "ago, valid for 1h0m0s\n"},
		"file /tmp/none --validity 1h":                       {1, "file /tmp/none: does not exist\n"},
		"file /tmp --validity 1h":                            {1, "is a directory"},
		"file /proc/1/root --validity 1h":                    {1, "symbolic links"},
		"file /data/fresh --validity 1h":                     {0, "file /data/fresh: modified"},
		"file volume:data/fresh --validity 1h":               {0, "file volume:data/fresh: modified"},
		"file volume:data/out --validity 1h":                 {1, "leads out of the volume"},
		"file volume:part/there --validity 1h":               {0, "modified"},
		"file volume:disk/there --validity 1h":               {0, "modified"},
		"file volume:none/there --validity 1h":               {1, "the container has no volume none"},
		"all alive -- file volume:data/fresh --validity 10m": {0, "all: "},
		"file /tmp/ok":                                       {2, "--validity is missing"},
		"":                                                   {2, "usage: "},
	} {
		if code, text := n.probe(sessions, c, args); code != want.code || !strings.Contains(text, want.text) {
			t.Errorf("%q: exit code %d, %q; want %d, %q", args, code, text, want.code, want.text)
		}
	}
	if err := os.RemoveAll(pods); err != nil {
		t.Fatal(err)
	}
	if code, text := n.probe(sessions, c, "file volume:data/fresh --validity 1h"); code != 1 || !strings.Contains(text, "the directory of volume data is gone") {
		t.Errorf("a volume that is unmounted: exit code %d, %q", code, text)
	}
}

// TestProbeNetwork: localhost is the pod's.
func TestProbeNetwork(t *testing.T) {
	n := newNode(t)
	sessions := n.sessions()
	defer sessions.Close()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	inside, outside := n.launch(n.run(fullPod("inside", n.cgroup, n.logs)), "c", "sleep 1000"), n.launch(n.run(podConfig(n)), "c", "sleep 1000")
	listener := n.listenIn(inside.Sandbox)
	defer listener.Close()
	_, podPort, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		c    *Container
		args string
		code int32
		text string
	}{
		{outside, "tcp " + port, 0, "connected with 127.0.0.1:" + port},
		{outside, "http :" + port + "/x --status 404", 0, "status 404"},
		{outside, "http :" + port + "/x", 1, "404 page not found"},
		{inside, "tcp " + port, 1, "refused"},
		{inside, "tcp " + podPort, 0, "connected with 127.0.0.1:" + podPort},
		{inside, "http :" + port + "/", 1, "refused"},
		{inside, "grpc " + port, 1, "refused"},
		{outside, "tcp " + podPort, 1, "refused"},
	} {
		if code, text := n.probe(sessions, test.c, test.args); code != test.code || !strings.Contains(text, test.text) {
			t.Errorf("%s: %s: exit code %d, %q; want %d, %q", test.c.Sandbox.Metadata.Name, test.args, code, text, test.code, test.text)
		}
	}
	begin := time.Now()
	done, err := sessions.ExecSync(t.Context(), inside.ID, []string{probe.Name, "http", "http://127.0.0.1:" + podPort}, 100*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "timed out after 100ms") || time.Since(begin) > testnode.Patience { // it never says anything
		t.Errorf("a server that says nothing: %+v, %v after %v", done, err, time.Since(begin))
	}
}

// listenIn listens at localhost of a pod, at a port where nobody listens on the host until the test ends, and does not answer.
func (n *node) listenIn(s *Sandbox) net.Listener {
	n.t.Helper()
	port := n.reservePort()
	var l net.Listener
	var err error
	kernel.OnThread(func() {
		if err = kernel.Setns(int(s.NetNSFile().Fd()), unix.CLONE_NEWNET, "network namespace"); err == nil {
			l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		}
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return l
}

// reservePort binds a port of the host until the test ends, and does not listen: connections are refused.
func (n *node) reservePort() int {
	n.t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		n.t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		n.t.Fatal(err)
	}
	return bound.(*unix.SockaddrInet4).Port
}

// TestProbeAlive: frozen is frozen, by the container's cgroup or by one above it.
func TestProbeAlive(t *testing.T) {
	n := newNode(t)
	sessions := n.sessions()
	defer func() { sessions.Close() }()
	c := n.launch(n.run(podConfig(n)), "c", forever)
	task, err := c.Task()
	if err != nil {
		t.Fatal(err)
	}
	alive := func(what string, code int32, text string) {
		t.Helper()
		if got, output := n.probe(sessions, c, "alive"); got != code || !strings.Contains(output, text) {
			t.Errorf("%s: exit code %d, %q; want %d, %q", what, got, output, code, text)
		}
	}
	alive("running", 0, "exists and is not frozen")
	if err := task.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	alive("paused", 1, "the main process is frozen")
	if err := task.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	alive("resumed", 0, "")
	parent, err := n.Manager.Config.Containers.Cgroups.Open(cgroup.Record{Mode: n.Manager.Config.Containers.Cgroups.Mode(), Path: strings.TrimPrefix(n.cgroup, "/")})
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	alive("with its pod", 1, "the main process is frozen")
	if err := parent.Thaw(); err != nil {
		t.Fatal(err)
	}
	alive("thawed", 0, "")
	sessions.Close()
	n.restart()
	sessions, c = n.sessions(), n.againContainer(c)
	alive("of a later daemon", 0, "")
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := sessions.ExecSync(t.Context(), c.ID, []string{probe.Name, "alive"}, testnode.Patience); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a container that has ended: %v", err)
	}
}

// TestProbeEnd: a container that ends meanwhile is a failure that says so or no container any more, and nothing else.
func TestProbeEnd(t *testing.T) {
	n := newNode(t)
	sessions := n.sessions()
	defer sessions.Close()
	for i := range 5 {
		c := n.launch(n.run(podConfig(n)), "c", "touch /tmp/ok; sleep 0.05")
		for {
			done, err := sessions.ExecSync(t.Context(), c.ID, strings.Fields(probe.Name+" all alive -- file /tmp/ok --validity 1h"), testnode.Patience)
			if err != nil {
				if !errdefs.IsFailedPrecondition(err) {
					t.Errorf("round %d: %v", i, err)
				}
				break
			}
			if text := string(done.Stdout); done.ExitCode != 0 && !strings.Contains(text, "the main process has ended") && !strings.Contains(text, "does not exist") {
				t.Errorf("round %d: exit code %d, %q", i, done.ExitCode, text)
			}
		}
	}
}

// BenchmarkProbeFile is ExecSync without CRI's gRPC.
func BenchmarkProbeFile(b *testing.B) {
	n := newNode(b)
	sessions := n.sessions()
	defer sessions.Close()
	c := n.launch(n.run(podConfig(n)), "c", "touch /tmp/ok; echo ready; sleep 1000")
	n.eventually("it is ready", func() bool { return n.log(c) == "ready\n" })
	args := strings.Fields(probe.Name + " file /tmp/ok --validity 1h")
	b.ReportAllocs()
	for b.Loop() {
		if done, err := sessions.ExecSync(b.Context(), c.ID, args, time.Second); err != nil || done.ExitCode != 0 {
			b.Fatalf("%+v, %v", done, err)
		}
	}
}
