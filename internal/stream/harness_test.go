// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/podlog"
	"github.com/sardine-run/sardine/internal/stdio"
	"github.com/sardine-run/sardine/internal/testnode"
)

// initPath is the sardine-init under test: SARDINE_INIT, or one built by TestMain.
var initPath = os.Getenv("SARDINE_INIT")

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if initPath != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "stream")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	initPath = filepath.Join(dir, "sardine-init")
	build := exec.Command("go", "build", "-ldflags", "-s -w -E sardine_entry", "-o", initPath,
		"github.com/sardine-run/sardine/cmd/sardine-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build sardine-init: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// node is a Server with containers and pods.
type node struct {
	*Server
	t         testing.TB
	manager   *container.Manager
	hub       *podlog.Hub
	dir       string
	namespace string

	mu         sync.Mutex
	containers map[string]Container
	pods       map[string]*os.File // nil for the host's network
}

var nodes atomic.Int64

// newNode makes a node and checks at the end of the test that nothing of it is left.
func newNode(t testing.TB, cfg Config) *node {
	t.Helper()
	testnode.NeedRoot(t)
	n := &node{
		t: t, dir: t.TempDir(), namespace: fmt.Sprintf("stream-%d-%d", os.Getpid(), nodes.Add(1)),
		containers: map[string]Container{}, pods: map[string]*os.File{},
	}
	makeImage(t, n.image())
	settleCgroups()
	testnode.CheckClean(t, testnode.Options{Dirs: []string{n.dir}, Cgroups: []string{"/" + n.namespace}})
	n.open()
	t.Cleanup(n.shut)
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1"
	}
	var err error
	if n.hub, err = podlog.New(podlog.Options{}); err != nil {
		t.Fatal(err)
	}
	if n.Server, err = New(cfg, n); err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(n.endServer)
	return n
}

func (n *node) image() string { return filepath.Join(n.dir, "image") }

// settleCgroups makes the cgroups library open the one descriptor that it keeps for good.
func settleCgroups() {
	if f, err := cgroups.OpenFile("/sys/fs/cgroup", "cgroup.procs", os.O_RDONLY); err == nil {
		f.Close()
	}
}

func (n *node) open() {
	cfg := container.Config{Dir: filepath.Join(n.dir, "state")}
	var errs [4]error
	cfg.Cgroups, errs[0] = cgroup.Detect()
	cfg.Launcher, errs[1] = launch.New(initPath)
	cfg.Host, errs[2] = oci.DetectHost()
	cfg.Exits, errs[3] = exits.New(exits.Options{})
	for _, err := range errs {
		if err != nil {
			n.t.Fatal(err)
		}
	}
	var err error
	if n.manager, err = container.New(cfg); err != nil {
		n.t.Fatal(err)
	}
}

// endServer closes the Server, after which none of its goroutines may run.
func (n *node) endServer() {
	if err := n.Close(); err != nil {
		n.t.Error(err)
	}
	n.noGoroutines()
	for _, c := range n.containers {
		if c.Log != nil {
			c.Log.Close()
		}
	}
	n.hub.Close()
}

// noGoroutines waits until no goroutine of this package or its library is left.
func (n *node) noGoroutines() {
	n.t.Helper()
	var left []string
	for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if left = sessionGoroutines(); len(left) == 0 {
			return
		}
	}
	n.t.Errorf("%d goroutines are left, such as\n%s", len(left), left[0])
}

func sessionGoroutines() (found []string) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:goruntime.Stack(stacks, true)]
	for _, g := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(g, "_test.go") || strings.Contains(g, "testing.") {
			continue
		}
		for _, mark := range []string{"internal/stream.", "cri-streaming/", "spdystream", "wsstream", "net/http."} {
			if strings.Contains(g, mark) {
				found = append(found, g)
				break
			}
		}
	}
	return found
}

// shut removes the containers and ends the Manager's parts.
func (n *node) shut() {
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	for _, c := range n.manager.List("") {
		_ = c.Kill(unix.SIGKILL, true)
		if _, err := c.Wait(ctx); err != nil {
			n.t.Errorf("container %s does not end: %v", c.ID(), err)
		}
		if _, err := c.Delete(ctx); err != nil {
			n.t.Errorf("delete container %s: %v", c.ID(), err)
		}
	}
	if err := n.manager.Cgroups.Prune("/" + n.namespace); err != nil {
		n.t.Error(err)
	}
	for _, err := range []error{n.manager.Close(), n.manager.Exits.Close(), n.manager.Launcher.Close()} {
		if err != nil {
			n.t.Error(err)
		}
	}
	n.manager.Cgroups.Close()
	for _, ns := range n.pods {
		if ns != nil {
			ns.Close()
		}
	}
}

// Running is of Containers.
func (n *node) Running(id string) (Container, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, ok := n.containers[id]
	if !ok {
		return Container{}, fmt.Errorf("container %q: %w", id, errdefs.ErrNotFound)
	}
	if s := c.Task.Status().State; s != container.Running {
		return Container{}, fmt.Errorf("container %q is %s: %w", id, s, errdefs.ErrFailedPrecondition)
	}
	return c, nil
}

// NetNS is of Containers.
func (n *node) NetNS(id string) (*os.File, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ns, ok := n.pods[id]
	if !ok {
		return nil, fmt.Errorf("pod sandbox %q: %w", id, errdefs.ErrNotFound)
	}
	if ns == nil {
		return nil, nil
	}
	return kernel.Dup(ns)
}

// makeImage makes a root file system with a static busybox.
func makeImage(t testing.TB, dir string) {
	t.Helper()
	const busybox = "/bin/busybox"
	content, err := os.ReadFile(busybox)
	if err != nil {
		testnode.Unavailable(t, "install busybox-static")
	}
	for _, d := range []string{"bin", "proc", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, busybox), content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/notexecutable"), []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, applet := range strings.Fields("sh cat echo true false sleep setsid id stty dd kill head yes wc nohup tty env") {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
}

// box is what a test wants of a container.
type box struct {
	script           string
	terminal         bool
	stdin, stdinOnce bool
	user             uint32
}

// run starts a container whose streams are FIFOs that the hub reads, as a pod's are.
func (n *node) run(id string, b box) Container {
	n.t.Helper()
	streams := n.makeFIFOs(id, b)
	log, err := n.hub.Open(podlog.Config{ID: id, Stdout: streams.Stdout, Stderr: streams.Stderr})
	if err != nil {
		n.t.Fatal(err)
	}
	text, err := json.Marshal(n.spec(b))
	if err != nil {
		n.t.Fatal(err)
	}
	task, err := n.manager.Create(n.t.Context(), &container.Request{Namespace: n.namespace, ID: id, Spec: text, Stdio: streams})
	if err == nil {
		err = task.Start(n.t.Context())
	}
	if err != nil {
		log.Close()
		n.t.Fatal(err)
	}
	c := Container{Task: task, Log: log, StdinOnce: b.stdinOnce}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.containers[id] = c
	return c
}

func (n *node) makeFIFOs(id string, b box) stdio.Config {
	n.t.Helper()
	dir := filepath.Join(n.dir, "fifo-"+id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		n.t.Fatal(err)
	}
	make := func(name string, wanted bool) string {
		if !wanted {
			return ""
		}
		path := filepath.Join(dir, name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			n.t.Fatal(err)
		}
		return path
	}
	return stdio.Config{
		Terminal: b.terminal, Stdin: make("stdin", b.stdin), Stdout: make("stdout", true), Stderr: make("stderr", !b.terminal),
	}
}

func (n *node) spec(b box) *specs.Spec {
	all := []string{"CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN"}
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: n.image()},
		Process: &specs.Process{
			Args: []string{"/bin/sh", "-c", b.script}, Env: []string{"PATH=/bin", "TERM=dumb", "A=b"}, Cwd: "/tmp",
			User:         specs.User{UID: b.user, GID: b.user},
			Capabilities: &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755", "size=64k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666", "mode=0620"}},
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
		}},
	}
}

// idle starts a container that does nothing.
func (n *node) idle(id string) Container {
	n.t.Helper()
	return n.run(id, box{script: "exec sleep 1000"})
}

// commands lists the command lines that run in c, sorted.
func (n *node) commands(c Container) []string {
	n.t.Helper()
	pids, err := c.Task.Pids()
	if err != nil {
		n.t.Fatal(err)
	}
	var lines []string
	for _, p := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Pid))
		if s, serr := kernel.ReadProcStat(p.Pid); err == nil && serr == nil && !s.Zombie() {
			lines = append(lines, strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " ")))
		}
	}
	slices.Sort(lines)
	return lines
}

// onlyIdle waits until nothing but the first process runs in a container of idle.
func (n *node) onlyIdle(c Container) {
	n.t.Helper()
	n.eventually("nothing but sleep 1000 runs", func() bool { return slices.Equal(n.commands(c), []string{"sleep 1000"}) })
}

// stillRuns wants a command, started in the background a moment ago, not to have been killed.
func (n *node) stillRuns(c Container, command string) {
	n.t.Helper()
	n.eventually(command+" runs", func() bool { return slices.Contains(n.commands(c), command) })
}

// descriptors counts the open ones that processes and their streams have: what a session leaves.
func (n *node) descriptors() map[string]int {
	n.t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		n.t.Fatal(err)
	}
	count := map[string]int{}
	for _, e := range entries {
		link, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue
		}
		for _, kind := range []string{"pidfd", "pipe:", "ptmx", "socket:"} {
			if strings.Contains(link, kind) {
				count[kind]++
			}
		}
	}
	return count
}

// sameDescriptors waits until there are as many descriptors again as before.
func (n *node) sameDescriptors(before map[string]int) {
	n.t.Helper()
	deadline := time.Now().Add(testnode.Patience)
	for !maps.Equal(before, n.descriptors()) {
		if time.Now().After(deadline) {
			n.t.Fatalf("descriptors: %v, before %v", n.descriptors(), before)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// eventually waits until condition holds.
func (n *node) eventually(what string, condition func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	n.t.Fatalf("did not come: %s", what)
}

// pod makes a pod with a network namespace of its own, in which listen is called.
func (n *node) pod(id string, listen func()) {
	n.t.Helper()
	var ns *os.File
	var err error
	kernel.OnThread(func() {
		if err = kernel.Unshare(unix.CLONE_NEWNET, "network"); err != nil {
			return
		}
		if ns, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())); err == nil {
			err = kernel.SetLinkUp("lo")
			listen()
		}
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pods[id] = ns
}

// listen serves address until the test's end, in the network namespace of the calling thread, and
// returns the port.
func (n *node) listen(address string, serve func(*net.TCPConn)) int32 {
	n.t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		n.t.Error(err)
		return 0
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			})
		}
	})
	n.t.Cleanup(func() { l.Close(); serving.Wait() })
	return int32(l.Addr().(*net.TCPAddr).Port)
}
