// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/cap"
	copier "github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/fdstore"
	"github.com/sardine-run/sardine/internal/fdstore/holder"
	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/podlog"
	"github.com/sardine-run/sardine/internal/podspec"
	"github.com/sardine-run/sardine/internal/rootfs"
	"github.com/sardine-run/sardine/internal/testnode"
)

const (
	initVariable     = "SARDINE_INIT"
	scenarioVariable = "SARDINE_POD_SCENARIO" // what a daemon of a test does before it is killed
)

// TestMain builds sardine-init unless SARDINE_INIT names one, and is the daemon that tests of crashes kill.
func TestMain(m *testing.M) {
	if os.Getenv(scenarioVariable) != "" {
		os.Exit(playScenario())
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv(initVariable) != "" || os.Getuid() != 0 {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "pod")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sardine-init")
	build := exec.Command("go", "build", "-ldflags", "-s -w -E sardine_entry", "-o", path, "github.com/sardine-run/sardine/cmd/sardine-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build sardine-init: %v\n%s", err, out)
		return 1
	}
	os.Setenv(initVariable, path)
	return m.Run()
}

// daemon is a Manager with all it needs, on the directories below dir.
type daemon struct {
	*Manager
	dir    string
	images *images
	hub    *podlog.Hub
	nets   *network.Networks
	store  *fdstore.Store
}

// openDaemon takes over what an earlier daemon has left in dir. parent is the cgroup of its pods.
func openDaemon(dir string, change ...func(*Config)) (*daemon, error) {
	d := &daemon{dir: dir, images: &images{dir: filepath.Join(dir, "image")}}
	var err error
	d.store, err = fdstore.Open(context.Background(), fdstore.Options{Kind: fdstore.Holder, Dir: filepath.Join(dir, "fdstore"), Init: os.Getenv(initVariable)})
	if err != nil {
		return nil, err
	}
	containers, err := openContainers(dir, d.store)
	if err != nil {
		return nil, err
	}
	logs := podlog.Options{MaxLine: podlog.DefaultMaxLine, Journal: filepath.Join(dir, "journal"), Store: d.store}
	if d.hub, err = podlog.New(logs); err != nil {
		return nil, err
	}
	d.nets, err = network.New(network.Config{
		BinDirs: []string{filepath.Join(dir, "cni-bin")}, ConfDir: filepath.Join(dir, "cni"),
		StateDir: filepath.Join(dir, "network"), CacheDir: filepath.Join(dir, "cni-cache"), OtherCaches: []string{},
		RetryAfter: 10 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	specs, err := podspec.New(&podspec.Node{
		Unified: cgroups.IsCgroup2UnifiedMode(), RecursiveReadOnly: true, BoundingCaps: capabilities(), RestrictOOMScoreAdj: true,
	})
	if err != nil {
		return nil, err
	}
	cfg := Config{
		State: filepath.Join(dir, "state"), Root: filepath.Join(dir, "root"), Init: os.Getenv(initVariable),
		Containers: containers, Launcher: containers.Launcher, Images: d.images, Networks: d.nets, Logs: d.hub, Specs: specs,
		Handlers: map[string]*Handler{"sardine": {}, "other": {Snapshotter: "other"}}, DefaultHandler: "sardine",
	}
	for _, f := range change {
		f(&cfg)
	}
	if d.Manager, err = New(cfg); err != nil {
		return nil, err
	}
	if err := d.Load(context.Background()); err != nil {
		return d, err
	}
	d.store.Prune(podlog.StorePrefix)
	return d, nil
}

func capabilities() []string {
	all, err := cap.Current()
	if err != nil {
		return nil
	}
	return all
}

func openContainers(dir string, store *fdstore.Store) (*container.Manager, error) {
	cfg := container.Config{Dir: filepath.Join(dir, "state", "containers"), Store: store}
	var errs [5]error
	cfg.Cgroups, errs[0] = cgroup.Detect()
	cfg.Launcher, errs[1] = launch.New(os.Getenv(initVariable))
	cfg.Host, errs[2] = oci.DetectHost()
	cfg.Exits, errs[3] = exits.New(exits.Options{})
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if cfg.OOM, errs[4] = cfg.Cgroups.NewOOMWatcher(); errs[4] != nil {
		return nil, errs[4]
	}
	m, err := container.New(cfg)
	if err != nil {
		return nil, err
	}
	return m, m.Load(context.Background())
}

// close ends the daemon; pods run on.
func (d *daemon) close() error {
	c := d.Manager.Config.Containers
	errs := []error{d.Manager.Close(), d.nets.Close(), d.hub.Close(), c.Close(), c.Exits.Close(), c.OOM.Close(), c.Launcher.Close(), d.store.Close()}
	c.Cgroups.Close()
	return errors.Join(errs...)
}

// images has one image, a directory, under the names busybox and its id.
type images struct {
	dir     string
	config  ocispec.Image
	missing bool // it was removed
	uses    atomic.Int64
}

const imageID = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func (i *images) Resolve(_ context.Context, ref string) (*image.Image, error) {
	if i.missing || ref != "busybox" && ref != imageID {
		return nil, fmt.Errorf("image %q: %w", ref, errdefs.ErrNotFound)
	}
	return &image.Image{ID: imageID, Tags: []string{"docker.io/library/busybox:latest"}, Config: i.config}, nil
}

func (i *images) Use(ctx context.Context, ref, _ string) (image.View, error) {
	img, err := i.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	i.uses.Add(1)
	return &view{images: i, image: img}, nil
}

type view struct {
	*images
	image *image.Image
	once  sync.Once
}

func (v *view) Image() *image.Image { return v.image }

func (v *view) Mounts(upper, work string) ([]rootfs.Mount, error) {
	if upper == "" {
		return []rootfs.Mount{{Type: "bind", Source: v.dir, Options: []string{"bind", "ro"}}}, nil
	}
	return []rootfs.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + v.dir, "upperdir=" + upper, "workdir=" + work}}}, nil
}

func (v *view) ReadFile(path string) ([]byte, error) {
	f, err := os.OpenInRoot(v.dir, strings.TrimPrefix(path, "/"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return os.ReadFile(filepath.Join(v.dir, path))
}

func (v *view) CopyDirectory(path, to string) error {
	from := filepath.Join(v.dir, path)
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return copier.CopyDir(to, from)
}

func (v *view) Release() { v.once.Do(func() { v.uses.Add(-1) }) }

// plugin is a CNI plugin that leaves a file per pod in a directory. It fails while there is a file fail-COMMAND there, and
// waits while there is a file slow.
const plugin = `#!/bin/sh
dir=$(sed -n 's/.*"leases":"\([^"]*\)".*/\1/p')
while [ -e "$dir/slow" ] && [ "$CNI_COMMAND" != VERSION ]; do sleep 0.02; done
if [ -e "$dir/fail-$CNI_COMMAND" ]; then
	echo '{"cniVersion":"1.0.0","code":999,"msg":"told to fail"}'
	exit 1
fi
case "$CNI_COMMAND" in
ADD)
	: >"$dir/$CNI_CONTAINERID"
	echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"'"$CNI_NETNS"'"}],"ips":[{"address":"10.88.0.7/16","interface":0}]}' ;;
DEL) rm -f "$dir/$CNI_CONTAINERID" ;;
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' ;;
esac
`

// node is a daemon of a test.
type node struct {
	*daemon
	t      testing.TB
	cgroup string
	logs   string
	count  atomic.Int64 // of pods
}

var nodes atomic.Int64

// prepare makes the directories of a daemon, and checks at the end of the test that nothing else is left.
func prepare(t testing.TB) *node {
	t.Helper()
	testnode.NeedRoot(t)
	n := &node{t: t, cgroup: fmt.Sprintf("/pod-%d-%d", os.Getpid(), nodes.Add(1))}
	dir := t.TempDir()
	n.logs = filepath.Join(dir, "logs")
	if err := os.Chmod(dir, 0o711); err != nil { // users of a user namespace pass
		t.Fatal(err)
	}
	makeImage(t, filepath.Join(dir, "image"))
	for _, d := range []string{"cni", "cni-bin", "leases", "logs", "state", "root"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, "cni-bin", "leaser"), plugin, 0o755)
	writeFile(t, filepath.Join(dir, "cni", "10-test.conflist"),
		fmt.Sprintf(`{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"leaser","leases":%q}]}`, filepath.Join(dir, "leases")), 0o644)
	if f, err := cgroups.OpenFile("/sys/fs/cgroup", "cgroup.procs", os.O_RDONLY); err == nil {
		f.Close() // the library keeps one descriptor for good from now on
	}
	testnode.CheckClean(t, testnode.Options{Dirs: []string{dir}, Cgroups: []string{n.cgroup}})
	t.Cleanup(func() { os.Remove(filepath.Join(dir, "fdstore", holder.SocketName)) }) // it ends when nobody can find it
	n.daemon = &daemon{dir: dir}
	return n
}

// newNode starts a daemon, and checks at the end of the test that nothing of it is left.
func newNode(t testing.TB) *node {
	t.Helper()
	n := prepare(t)
	n.open()
	t.Cleanup(n.end)
	return n
}

func (n *node) open(change ...func(*Config)) {
	n.t.Helper()
	var err error
	if n.daemon, err = openDaemon(n.dir, change...); err != nil {
		n.t.Fatal(err)
	}
}

// restart ends the daemon in order and starts another.
func (n *node) restart() {
	n.t.Helper()
	if err := n.close(); err != nil {
		n.t.Fatal(err)
	}
	n.open()
}

// end removes all pods and ends the daemon.
func (n *node) end() {
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	for _, s := range n.Sandboxes() {
		if err := s.Remove(ctx); err != nil {
			n.t.Error(err)
		}
	}
	n.wantNothing()
	if err := n.Manager.Config.Containers.Cgroups.Prune(n.cgroup); err != nil {
		n.t.Error(err)
	}
	if err := n.close(); err != nil {
		n.t.Error(err)
	}
}

// wantNothing checks that there is no trace of a pod.
func (n *node) wantNothing() {
	n.t.Helper()
	if s, c := n.Sandboxes(), n.AllContainers(); len(s)+len(c) > 0 {
		n.t.Errorf("%d pods and %d containers are known", len(s), len(c))
	}
	if len(n.sandboxes.names)+len(n.containers.names) > 0 {
		n.t.Errorf("names are taken: %v, %v", n.sandboxes.names, n.containers.names)
	}
	if list := n.Manager.Config.Containers.List(""); len(list) > 0 {
		n.t.Errorf("%d tasks are left", len(list))
	}
	if keys, err := n.spaces.List(); err != nil || len(keys) > 0 {
		n.t.Errorf("namespaces are left: %q, %v", keys, err)
	}
	if uses := n.images.uses.Load(); uses != 0 {
		n.t.Errorf("the image has %d uses", uses)
	}
	n.eventually("nothing is in the descriptor store", func() bool { return n.store.Len() == 0 })
	n.eventually("directories are empty", func() bool { return n.remains() == "" })
}

// remains names a file that is left.
func (n *node) remains() string {
	for _, dir := range []string{"state/" + sandboxesDir, "state/" + containersDir, "root/" + layersDir, "root/" + trashDir, "leases", "state/containers/" + Namespace} {
		entries, err := os.ReadDir(filepath.Join(n.dir, dir))
		if err == nil && len(entries) > 0 {
			return filepath.Join(dir, entries[0].Name())
		}
	}
	return ""
}

// eventually waits until condition holds.
func (n *node) eventually(what string, condition func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	n.t.Fatalf("did not come: %s (left: %q)", what, n.remains())
}

func writeFile(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// makeImage makes a root file system with a static busybox.
func makeImage(t testing.TB, dir string) {
	t.Helper()
	const busybox = "/bin/busybox"
	content, err := os.ReadFile(busybox)
	if err != nil {
		testnode.Unavailable(t, "install busybox-static")
	}
	for _, d := range []string{"bin", "proc", "dev", "sys", "tmp", "etc", "data/sub"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, busybox), content, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "data/sub/file"), "content\n", 0o600)
	for _, applet := range strings.Fields("sh cat echo true false sleep setsid id stat kill ls hostname readlink mount head dd touch") {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
}

// podConfig is a pod in the host's network.
func podConfig(n *node) *runtime.PodSandboxConfig {
	return hostPod(fmt.Sprintf("pod%d", n.count.Add(1)), n.cgroup, n.logs)
}

func hostPod(name, cgroup, logs string) *runtime.PodSandboxConfig {
	return &runtime.PodSandboxConfig{
		Metadata:     &runtime.PodSandboxMetadata{Name: name, Namespace: "ns", Uid: name + "-uid"},
		LogDirectory: logs,
		Linux: &runtime.LinuxPodSandboxConfig{CgroupParent: cgroup, SecurityContext: &runtime.LinuxSandboxSecurityContext{
			NamespaceOptions: &runtime.NamespaceOption{Network: runtime.NamespaceMode_NODE, Pid: runtime.NamespaceMode_CONTAINER},
		}},
	}
}

// fullPod has a network of its own and one pid namespace for all its containers.
func fullPod(name, cgroup, logs string) *runtime.PodSandboxConfig {
	cfg := hostPod(name, cgroup, logs)
	cfg.Hostname = name
	cfg.Linux.SecurityContext.NamespaceOptions = &runtime.NamespaceOption{Pid: runtime.NamespaceMode_POD}
	return cfg
}

func containerConfig(name, script string) *runtime.ContainerConfig {
	return &runtime.ContainerConfig{
		Metadata: &runtime.ContainerMetadata{Name: name}, Image: &runtime.ImageSpec{Image: "busybox"},
		Command: []string{"/bin/sh", "-c", script}, LogPath: name + ".log",
		Linux: &runtime.LinuxContainerConfig{SecurityContext: &runtime.LinuxContainerSecurityContext{
			NamespaceOptions:   &runtime.NamespaceOption{Pid: runtime.NamespaceMode_CONTAINER},
			SeccompProfilePath: "unconfined", //nolint:staticcheck // tests need none
		}},
	}
}

const forever = "trap 'exit 0' TERM; while :; do sleep 0.05; done"

func (n *node) run(cfg *runtime.PodSandboxConfig) *Sandbox {
	n.t.Helper()
	s, err := n.RunSandbox(n.t.Context(), cfg, "")
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

func (n *node) create(s *Sandbox, cfg *runtime.ContainerConfig) *Container {
	n.t.Helper()
	c, err := s.CreateContainer(n.t.Context(), cfg)
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

// launch creates and starts a container that runs script.
func (n *node) launch(s *Sandbox, name, script string) *Container {
	n.t.Helper()
	cfg := containerConfig(name, script)
	cfg.Linux.SecurityContext.NamespaceOptions.Pid = s.Config().Linux.SecurityContext.NamespaceOptions.Pid
	c := n.create(s, cfg)
	n.start(c)
	return c
}

// exited waits until c is.
func (n *node) exited(c *Container) ContainerStatus {
	n.t.Helper()
	n.eventually("container "+c.Metadata.Name+" is exited", func() bool { return c.Status().State == Exited })
	return c.Status()
}

func (n *node) log(c *Container) string {
	n.t.Helper()
	text, err := os.ReadFile(c.logPath())
	if err != nil {
		n.t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if parts := strings.SplitN(line, " ", 4); len(parts) == 4 {
			b.WriteString(parts[3])
		}
	}
	return b.String()
}

// again finds what the last daemon knew by its id.
func (n *node) again(s *Sandbox) *Sandbox {
	n.t.Helper()
	found, err := n.Sandbox(s.ID)
	if err != nil {
		n.t.Fatal(err)
	}
	return found
}

func (n *node) againContainer(c *Container) *Container {
	n.t.Helper()
	found, err := n.Container(c.ID)
	if err != nil {
		n.t.Fatal(err)
	}
	return found
}

func wantClass(t testing.TB, what string, err, class error) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Errorf("%s: error %v, want class %v", what, err, class)
	}
}
