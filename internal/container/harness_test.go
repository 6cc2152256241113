// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/fdstore"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/seccomp"
	"github.com/sardine-run/sardine/internal/stdio"
	"github.com/sardine-run/sardine/internal/testnode"
)

// initPath is the sardine-init under test: SARDINE_INIT, or one built by TestMain.
var initPath = os.Getenv("SARDINE_INIT")

func TestMain(m *testing.M) {
	if text := os.Getenv(playVariable); text != "" {
		play(text)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if initPath != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "container")
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

// node is a Manager with everything it needs, and what it has told.
type node struct {
	*Manager
	t         testing.TB
	namespace string
	image     string
	state     string // directory of the Manager's records
	keeps     bool   // the Manager has a descriptor store, as a daemon has

	mu     sync.Mutex
	events []string
}

var nodes atomic.Int64

// newNode makes a node and checks at the end of the test that nothing of it is left.
func newNode(t testing.TB) *node {
	t.Helper()
	n := prepareNode(t)
	n.open()
	t.Cleanup(n.close)
	return n
}

// prepareNode is newNode without a Manager.
func prepareNode(t testing.TB) *node {
	t.Helper()
	testnode.NeedRoot(t)
	n := &node{t: t, namespace: fmt.Sprintf("container-%d-%d", os.Getpid(), nodes.Add(1))}
	dir := t.TempDir()
	n.image = makeImage(t, filepath.Join(dir, "image"))
	openCgroupRoot()
	n.state = filepath.Join(dir, "state")
	testnode.CheckClean(t, testnode.Options{Dirs: []string{dir}, Cgroups: []string{"/" + n.namespace}})
	return n
}

// open makes the Manager, as a daemon does that starts.
func (n *node) open() {
	n.t.Helper()
	cfg := Config{Dir: filepath.Join(n.state, ".containers"), Links: n.state, Notify: n.note, Seccomp: &seccomp.Compiler{}}
	var errs [6]error
	cfg.Cgroups, errs[0] = cgroup.Detect()
	cfg.Launcher, errs[1] = launch.New(initPath)
	cfg.Host, errs[2] = oci.DetectHost()
	cfg.Exits, errs[3] = exits.New(exits.Options{})
	if n.keeps {
		cfg.Store, errs[5] = fdstore.Open(n.t.Context(), fdstore.Options{
			Kind: fdstore.Holder, Dir: filepath.Join(n.state, ".fdstore"), Init: initPath,
		})
	}
	for _, err := range errs {
		if err != nil {
			n.t.Fatal(err)
		}
	}
	if cfg.OOM, errs[4] = cfg.Cgroups.NewOOMWatcher(); errs[4] != nil {
		n.t.Fatal(errs[4])
	}
	var err error
	if n.Manager, err = New(cfg); err != nil {
		n.t.Fatal(err)
	}
}

// close removes what the test has left and ends the Manager's parts.
func (n *node) close() {
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	for _, c := range n.List("") {
		_ = c.Kill(unix.SIGKILL, true)
		if _, err := c.Wait(ctx); err != nil {
			n.t.Errorf("container %s does not end: %v", c.ID(), err)
		}
		if _, err := c.Delete(ctx); err != nil {
			n.t.Errorf("delete container %s: %v", c.ID(), err)
		}
	}
	if err := n.Cgroups.Prune("/" + n.namespace); err != nil {
		n.t.Error(err)
	}
	if kept := n.Store.Len(); kept != 0 {
		n.t.Errorf("%d descriptors are kept of nothing", kept)
	}
	n.shut()
}

// shut ends the Manager's parts and leaves the containers alone.
func (n *node) shut() {
	for _, err := range []error{n.Exits.Close(), n.Manager.Close(), n.OOM.Close(), n.Launcher.Close(), n.Store.Close()} {
		if err != nil {
			n.t.Error(err)
		}
	}
	n.Cgroups.Close()
}

var kindNames = map[Kind]string{
	ContainerCreated: "created", ContainerStarted: "started", ContainerPaused: "paused", ContainerResumed: "resumed",
	ContainerDeleted: "deleted", ExecAdded: "exec-added", ExecStarted: "exec-started", ProcessExited: "exited", OOMKilled: "oom",
}

// note writes an event down as "id[/exec] kind[ status]".
func (n *node) note(e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := e.Container.ID()
	if e.ExecID != "" {
		text += "/" + e.ExecID
	}
	text += " " + kindNames[e.Kind]
	if e.Kind == ProcessExited || e.Kind == ContainerDeleted {
		text += fmt.Sprint(" ", e.Exit.Status)
	}
	n.events = append(n.events, text)
}

func (n *node) told() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.events)
}

func (n *node) wantEvents(want ...string) {
	n.t.Helper()
	if got := n.told(); !slices.Equal(got, want) {
		n.t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// makeImage makes a root file system with a static busybox.
func makeImage(t testing.TB, dir string) string {
	t.Helper()
	const busybox = "/bin/busybox"
	content, err := os.ReadFile(busybox)
	if err != nil {
		testnode.Unavailable(t, "install busybox-static")
	}
	for _, d := range []string{"bin", "proc", "dev", "sys", "tmp", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, busybox), content, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range strings.Fields("sh cat echo true false sleep setsid id stty dd kill") {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// spec is a container like containerd's default one that runs a shell script.
func (n *node) spec(script string) *specs.Spec {
	all := []string{"CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN"}
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: n.image},
		Process: &specs.Process{
			Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/bin"}, Cwd: "/",
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

func (n *node) request(id string, spec *specs.Spec) *Request {
	n.t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		n.t.Fatal(err)
	}
	return &Request{Namespace: n.namespace, ID: id, Spec: text}
}

func (n *node) create(id, script string) *Container {
	n.t.Helper()
	return n.createSpec(id, n.spec(script))
}

func (n *node) createSpec(id string, spec *specs.Spec) *Container {
	n.t.Helper()
	c, err := n.Create(n.t.Context(), n.request(id, spec))
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (n *node) start(c *Container) {
	n.t.Helper()
	if err := c.Start(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

// run creates and starts a container.
func (n *node) run(id, script string) *Container {
	n.t.Helper()
	c := n.create(id, script)
	n.start(c)
	return c
}

// wait waits for the end of a container or an executed process.
func (n *node) wait(p interface {
	Wait(context.Context) (Exit, error)
}) uint32 {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), testnode.Patience)
	defer cancel()
	exit, err := p.Wait(ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	if exit.At.IsZero() || time.Since(exit.At) > 2*testnode.Patience {
		n.t.Errorf("ended at %v", exit.At)
	}
	return exit.Status
}

func (n *node) delete(c *Container) {
	n.t.Helper()
	if _, err := c.Delete(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) exec(c *Container, id, script string) *Exec {
	n.t.Helper()
	e, err := c.Exec(id, &specs.Process{Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/bin"}, Cwd: "/"}, stdio.Config{})
	if err != nil {
		n.t.Fatal(err)
	}
	return e
}

func (n *node) runExec(c *Container, id, script string) *Exec {
	n.t.Helper()
	e := n.exec(c, id, script)
	if err := e.Start(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	return e
}
