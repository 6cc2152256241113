// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

// pluginPath is test/nriplugin, built by TestMain.
var pluginPath string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "nri")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	pluginPath = filepath.Join(dir, "nriplugin")
	build := exec.Command("go", "build", "-o", pluginPath, "github.com/sardine-run/sardine/test/nriplugin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the plugin: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// behaviour and event are those of test/nriplugin.
type behaviour map[string]any

type event struct {
	Request, Pod, Container, State string
	Args, Env                      []string
	Pid                            uint32
	IPs                            []string
	Shares                         uint64
	Pods, Containers               []string
	Failed                         int
}

// node is an Adaptation with pods, and what plugins did to them.
type node struct {
	*Adaptation
	t      testing.TB
	dir    string
	config *Config

	mu         sync.Mutex
	pods       []*Pod
	containers []*Container
	updated    map[string]int64 // CPU shares by container
	injected   []string
	listed     chan struct{} // receives when a plugin is being synchronized
}

// newNode has no plugins. change may change its configuration.
func newNode(t testing.TB, change ...func(*Config)) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{t: t, dir: dir, updated: map[string]int64{}, listed: make(chan struct{}, 100)}
	n.config = DefaultConfig()
	n.config.PluginRegistrationTimeout, n.config.PluginRequestTimeout = Duration(testnode.Patience), Duration(testnode.Patience)
	n.config.SocketPath = filepath.Join(dir, "nri.sock")
	n.config.PluginPath = filepath.Join(dir, "plugins")
	n.config.PluginConfigPath = filepath.Join(dir, "conf.d")
	for _, dir := range []string{n.config.PluginPath, n.config.PluginConfigPath} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range change {
		f(n.config)
	}
	return n
}

func (n *node) start() {
	n.t.Helper()
	a, err := New(n.config, "1.0", Callbacks{List: n.list, Update: n.update, InjectCDI: n.inject})
	if err != nil {
		n.t.Fatal(err)
	}
	n.Adaptation = a
	n.t.Cleanup(a.Stop)
	if err := a.Start(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) list() ([]*Pod, []*Container) {
	n.listed <- struct{}{}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pods, n.containers
}

func (n *node) update(_ context.Context, id string, r *runtime.LinuxContainerResources) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch id {
	case "nobody":
		return errdefs.ErrNotFound
	case "stubborn":
		return errdefs.ErrFailedPrecondition
	}
	n.updated[id] = r.CpuShares
	return nil
}

func (n *node) shares(id string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.updated[id]
}

func (n *node) inject(s *specs.Spec, devices []string) error {
	n.injected = append(n.injected, devices...)
	s.Process.Env = append(s.Process.Env, "CDI=yes")
	return nil
}

// install puts a plugin into the node's directory before start, and returns its log.
func (n *node) install(name string, b behaviour) string {
	n.t.Helper()
	logfile := filepath.Join(n.dir, name+".log")
	b["Log"] = logfile
	data, err := os.ReadFile(pluginPath)
	if err == nil {
		err = os.WriteFile(filepath.Join(n.config.PluginPath, name), data, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(n.config.PluginConfigPath, name+".conf"), marshal(n.t, b), 0o644)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return logfile
}

// connect starts a plugin that connects to the socket.
func (n *node) connect(index, name string, b behaviour) (*exec.Cmd, string) {
	n.t.Helper()
	logfile := filepath.Join(n.dir, name+".log")
	b["Log"] = logfile
	cmd := exec.Command(pluginPath, n.config.SocketPath, index, name, string(marshal(n.t, b)))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, logfile
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// events a plugin has heard so far.
func events(t testing.TB, logfile string) []event {
	t.Helper()
	data, err := os.ReadFile(logfile)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1] // the plugin may be writing on
	var list []event
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		list = append(list, e)
	}
	return list
}

// requests are their names.
func requests(t testing.TB, logfile string) string {
	t.Helper()
	var names []string
	for _, e := range events(t, logfile) {
		names = append(names, e.Request)
	}
	return strings.Join(names, " ")
}

func find(t testing.TB, logfile, request string) event {
	t.Helper()
	all := events(t, logfile)
	i := slices.IndexFunc(all, func(e event) bool { return e.Request == request })
	if i < 0 {
		t.Fatalf("the plugin has not heard of %s: %+v", request, all)
	}
	return all[i]
}

func testPod(id string) *Pod {
	return &Pod{
		ID: id, Name: "name-" + id, UID: "uid-" + id, Namespace: "default", RuntimeHandler: "runc", IPs: []string{"10.0.0.1"},
		Labels: map[string]string{"app": "x"}, CgroupParent: "/kubepods/" + id,
		Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: "/proc/1/fd/3"}},
	}
}

func testContainer(id string) *Container {
	shares, adj := uint64(512), 100
	return &Container{
		ID: id, PodID: "pod", Name: "main", State: runtime.ContainerState_CONTAINER_RUNNING,
		CreatedAt: time.Unix(1, 2), CDIDevices: []string{"vendor.example/device=0"},
		Annotations: map[string]string{"cri": "yes"},
		Spec: &specs.Spec{
			Annotations: map[string]string{"oci": "yes"},
			Process: &specs.Process{
				Args: []string{"/bin/true"}, Env: []string{"PATH=/bin"}, OOMScoreAdj: &adj,
				Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
			},
			Mounts: []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
			Linux:  &specs.Linux{Resources: &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}}},
		},
	}
}
