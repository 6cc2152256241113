// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

// do calls each step in an operation of its own, and stops at the first error.
func (n *node) do(steps ...func(*Operation) error) {
	n.t.Helper()
	for i, step := range steps {
		op := n.Begin()
		err := step(op)
		op.End()
		if err != nil {
			n.t.Fatalf("step %d: %v", i, err)
		}
	}
}

// life is what happens to a pod with one container.
func (n *node) life(p *Pod, c *Container) (updated *runtime.LinuxContainerResources) {
	n.t.Helper()
	ctx := context.Background()
	r := &runtime.LinuxContainerResources{CpuShares: 100, CpuPeriod: 1000, OomScoreAdj: 7}
	n.do(
		func(op *Operation) error { return op.RunPodSandbox(ctx, p) },
		func(op *Operation) error {
			return errors.Join(op.CreateContainer(ctx, p, c), op.PostCreateContainer(ctx, p, c))
		},
		func(op *Operation) error {
			return errors.Join(op.StartContainer(ctx, p, c), op.PostStartContainer(ctx, p, c))
		},
		func(op *Operation) (err error) {
			updated, err = op.UpdateContainer(ctx, p, c, r)
			return errors.Join(err, op.PostUpdateContainer(ctx, p, c))
		},
		func(op *Operation) error {
			return errors.Join(op.UpdatePodSandbox(ctx, p, nil, r), op.PostUpdatePodSandbox(ctx, p))
		},
		func(op *Operation) error { return op.StopContainer(ctx, p, c) },
		func(op *Operation) error { return op.StopContainer(ctx, p, c) }, // a second time, as a kubelet may
		func(op *Operation) error { return op.StopPodSandbox(ctx, p) },
		func(op *Operation) error { return op.RemoveContainer(ctx, p, c) },
		func(op *Operation) error { return op.RemovePodSandbox(ctx, p) },
	)
	return updated
}

const wholeLife = "RunPodSandbox CreateContainer PostCreateContainer StartContainer PostStartContainer " +
	"UpdateContainer PostUpdateContainer UpdatePodSandbox PostUpdatePodSandbox StopContainer StopPodSandbox RemoveContainer RemovePodSandbox"

func TestInstalledPlugin(t *testing.T) {
	n := newNode(t)
	exited := testContainer("old-exited")
	exited.State = runtime.ContainerState_CONTAINER_EXITED
	n.pods, n.containers = []*Pod{testPod("old")}, []*Container{testContainer("old-running"), exited}
	logfile := n.install("10-test", behaviour{
		"Env": map[string]string{"PATH": "/plugin", "NEW": "1"}, "Annotations": map[string]string{"plugin": "was here"},
		"Mounts": map[string]string{"/data": "/srv"}, "Shares": 999, "OpenFiles": 4096, "CDI": []string{"vendor.example/device=1"},
		"Others": map[string]uint64{"old-running": 77, "nobody": 5, "stubborn": 5}, "Update": 222, "Unasked": 333,
	})
	n.start()
	if !n.Active() {
		t.Fatal("the plugin is not active")
	}
	p, c := testPod("pod"), testContainer("container")
	c.Pid = 4711
	updated := n.life(p, c)
	checkAdjusted(t, c.Spec)
	if !slices.Equal(n.injected, []string{"vendor.example/device=1"}) {
		t.Errorf("CDI devices %v", n.injected)
	}
	if updated.CpuShares != 222 || updated.CpuPeriod != 1000 || updated.OomScoreAdj != 7 {
		t.Errorf("update became %v", updated)
	}
	if n.shares("old-running") != 77 {
		t.Errorf("the other container has %d shares", n.shares("old-running"))
	}
	testnode.Eventually(t, "the plugin's own update is done", func() bool { return strings.Contains(requests(t, logfile), "Unasked") })
	if e := find(t, logfile, "Unasked"); e.Failed != 0 || n.shares("container") != 333 {
		t.Errorf("%+v, %d shares", e, n.shares("container"))
	}
	if got, want := strings.Replace(requests(t, logfile), " Unasked", "", 1), "Configure Synchronize "+wholeLife; got != want {
		t.Errorf("heard\n%s, want\n%s", got, want)
	}
	if e := find(t, logfile, "Synchronize"); !slices.Equal(e.Pods, []string{"old"}) || !slices.Equal(e.Containers, []string{"old-running"}) {
		t.Errorf("%+v", e)
	}
	e := find(t, logfile, "CreateContainer")
	if e.Pod != "pod" || e.Container != "container" || e.Shares != 512 || !slices.Equal(e.Args, []string{"/bin/true"}) || !slices.Equal(e.Env, []string{"PATH=/bin"}) || e.Pid != 4711 {
		t.Errorf("%+v", e)
	}
	if e := find(t, logfile, "UpdateContainer"); e.Shares != 100 {
		t.Errorf("%+v", e)
	}
	if e := find(t, logfile, "RunPodSandbox"); !slices.Equal(e.IPs, []string{"10.0.0.1"}) {
		t.Errorf("%+v", e)
	}
}

func checkAdjusted(t *testing.T, s *specs.Spec) {
	t.Helper()
	env := slices.Sorted(slices.Values(s.Process.Env))
	if !slices.Equal(env, []string{"CDI=yes", "NEW=1", "PATH=/plugin"}) {
		t.Errorf("environment %q", env)
	}
	if s.Annotations["plugin"] != "was here" || s.Annotations["oci"] != "yes" || s.Annotations["cri"] != "" {
		t.Errorf("annotations %v", s.Annotations)
	}
	if i := slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/data" && m.Source == "/srv" }); i < 0 || len(s.Mounts) != 2 {
		t.Errorf("mounts %+v", s.Mounts)
	}
	if *s.Linux.Resources.CPU.Shares != 999 {
		t.Errorf("%d shares", *s.Linux.Resources.CPU.Shares)
	}
	if l := s.Process.Rlimits; len(l) != 1 || l[0].Soft != 4096 {
		t.Errorf("rlimits %+v", l)
	}
}

func TestConnectedPluginWaitsForOperations(t *testing.T) {
	n := newNode(t)
	n.start()
	if n.Active() || len(n.listed) > 0 {
		t.Fatal("active, or pods are listed, without a plugin")
	}
	op := n.Begin()
	defer op.End()
	_, logfile := n.connect("20", "late", behaviour{})
	testnode.Eventually(t, "the plugin is configured", func() bool { return requests(t, logfile) == "Configure" })
	ctx, p := context.Background(), testPod("pod")
	if err := op.RunPodSandbox(ctx, p); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.listed:
		t.Fatal("it is synchronized in the middle of an operation")
	case <-time.After(300 * time.Millisecond):
	}
	n.mu.Lock()
	n.pods = append(n.pods, p)
	n.mu.Unlock()
	op.End()
	testnode.Eventually(t, "the plugin is active", n.Active)
	n.do(func(op *Operation) error { return op.StopPodSandbox(ctx, p) }, func(op *Operation) error { return op.RemovePodSandbox(ctx, p) })
	if got := requests(t, logfile); got != "Configure Synchronize StopPodSandbox RemovePodSandbox" {
		t.Errorf("heard %s", got)
	}
}

// What was there before a plugin, and what it was not told of, is not told to be gone.
func TestPluginHearsOnlyOfWhatItKnows(t *testing.T) {
	n := newNode(t)
	stopped := testPod("stopped")
	stopped.Stopped = true
	n.pods = []*Pod{stopped}
	logfile := n.install("10-test", behaviour{})
	n.start()
	ctx := context.Background()
	n.do(
		func(op *Operation) error { return op.StopPodSandbox(ctx, stopped) },
		func(op *Operation) error { return op.RemovePodSandbox(ctx, stopped) },
		func(op *Operation) error { return op.RemovePodSandbox(ctx, stopped) },
		func(op *Operation) error { return op.RemoveContainer(ctx, stopped, testContainer("unknown")) },
	)
	if got := requests(t, logfile); got != "Configure Synchronize RemovePodSandbox" {
		t.Errorf("heard %s", got)
	}
}

func TestExitIsToldOnce(t *testing.T) {
	n := newNode(t)
	logfile := n.install("10-test", behaviour{"Others": map[string]uint64{"other": 3}})
	n.start()
	ctx, p, c := context.Background(), testPod("pod"), testContainer("container")
	n.do(func(op *Operation) error { return op.CreateContainer(ctx, p, c) })
	c.State = runtime.ContainerState_CONTAINER_EXITED
	describe := func() (*Pod, *Container, error) { return p, c, nil }
	n.ContainerExited(c.ID, describe)
	testnode.Eventually(t, "the exit is told", func() bool { return strings.Contains(requests(t, logfile), "StopContainer") })
	n.ContainerExited(c.ID, describe)
	n.do(func(op *Operation) error { return op.StopContainer(ctx, p, c) }, func(op *Operation) error { return op.RemoveContainer(ctx, p, c) })
	n.Stop() // waits
	if got := requests(t, logfile); got != "Configure Synchronize CreateContainer StopContainer RemoveContainer" {
		t.Errorf("heard %s", got)
	}
	if e := find(t, logfile, "StopContainer"); e.State != "CONTAINER_STOPPED" || n.shares("other") != 3 {
		t.Errorf("%+v, other has %d shares", e, n.shares("other"))
	}
	n.ContainerExited(c.ID, nobodyAsks(t)) // after Stop: nothing
}

// nobodyAsks is for a container that need not be described.
func nobodyAsks(t *testing.T) func() (*Pod, *Container, error) {
	return func() (*Pod, *Container, error) {
		t.Error("a container is described although nobody wants to know")
		return nil, nil, errdefs.ErrNotFound
	}
}

// slowPlugin is a plugin in the test's process, whose synchronization takes as long as the test wants.
type slowPlugin struct {
	told    chan []*api.Container // receives what it is told in its synchronization
	goOn    chan struct{}         // closed when that may end
	stopped chan *api.Container   // receives each container that has ended
}

func (p *slowPlugin) Synchronize(_ context.Context, _ []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	p.told <- containers
	<-p.goOn
	return nil, nil
}

func (p *slowPlugin) StopContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) ([]*api.ContainerUpdate, error) {
	p.stopped <- c
	return nil, nil
}

// A container that ends while a plugin is told that it runs: the plugin hears of its end next.
func TestExitDuringSynchronization(t *testing.T) {
	n := newNode(t)
	p, c := testPod("pod"), testContainer("container")
	n.pods, n.containers = []*Pod{p}, []*Container{c}
	n.start()
	plugin := &slowPlugin{make(chan []*api.Container, 1), make(chan struct{}), make(chan *api.Container, 2)}
	s, err := stub.New(plugin, stub.WithSocketPath(n.config.SocketPath), stub.WithPluginIdx("20"), stub.WithPluginName("slow"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	goOn := sync.OnceFunc(func() { close(plugin.goOn) })
	t.Cleanup(goOn)
	if told := await(t, "it is synchronized", plugin.told); len(told) != 1 || told[0].State != api.ContainerState_CONTAINER_RUNNING {
		t.Errorf("it is told of %v", told)
	}
	exited := *c
	exited.State = runtime.ContainerState_CONTAINER_EXITED
	n.ContainerExited(c.ID, func() (*Pod, *Container, error) { return p, &exited, nil })
	goOn()
	if ended := await(t, "it hears of the end", plugin.stopped); ended.Id != c.ID || ended.State != api.ContainerState_CONTAINER_STOPPED {
		t.Errorf("it hears of %v", ended)
	}
	n.ContainerExited(c.ID, func() (*Pod, *Container, error) { return p, &exited, nil })
	n.Adaptation.Stop() // waits
	if len(plugin.stopped) > 0 {
		t.Error("it hears of the end twice")
	}
}

func await[T any](t *testing.T, what string, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(testnode.Patience):
		t.Fatalf("not within %v: %s", testnode.Patience, what)
	}
	return got
}

// An exit that interests nobody costs no description.
func TestExitWithoutPlugins(t *testing.T) {
	n := newNode(t)
	n.start()
	n.ContainerExited("container", nobodyAsks(t))
	n.Stop() // waits
}

// What was removed before its end could be told is no trouble: its removal was told.
func TestExitOfWhatIsRemoved(t *testing.T) {
	n := newNode(t)
	logfile := n.install("10-test", behaviour{})
	n.start()
	asked := make(chan struct{})
	n.ContainerExited("container", func() (*Pod, *Container, error) {
		close(asked)
		return nil, nil, errdefs.ErrNotFound
	})
	await(t, "it is asked", asked)
	n.Stop() // waits
	if got := requests(t, logfile); got != "Configure Synchronize" {
		t.Errorf("heard %s", got)
	}
}

func TestPluginThatRefuses(t *testing.T) {
	n := newNode(t)
	logfile := n.install("10-test", behaviour{"Fail": []string{"CreateContainer", "RunPodSandbox", "UpdateContainer", "StartContainer", "UpdatePodSandbox"}})
	n.start()
	ctx, p, c := context.Background(), testPod("pod"), testContainer("container")
	op := n.Begin()
	defer op.End()
	_, updateErr := op.UpdateContainer(ctx, p, c, &runtime.LinuxContainerResources{})
	for name, err := range map[string]error{
		"run": op.RunPodSandbox(ctx, p), "create": op.CreateContainer(ctx, p, c), "start": op.StartContainer(ctx, p, c),
		"update": updateErr, "update pod": op.UpdatePodSandbox(ctx, p, nil, nil),
	} {
		if !errdefs.IsUnknown(err) || !strings.Contains(err.Error(), "as the test wants it") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := requests(t, logfile); strings.Count(got, "RemoveContainer") != 1 || strings.Count(got, "RemovePodSandbox") != 1 || !n.Active() {
		t.Errorf("heard %s", got)
	}
}

// A plugin that hangs is dropped after the request timeout, and the request goes on without it.
func TestPluginThatHangs(t *testing.T) {
	const timeout = 10 * time.Second // also for the plugin that works, on a machine that stands still for a while
	n := newNode(t, func(c *Config) { c.PluginRequestTimeout = Duration(timeout) })
	t.Cleanup(DefaultConfig().setTimeouts)
	n.install("10-hangs", behaviour{"Hang": []string{"CreateContainer"}})
	works := n.install("20-works", behaviour{"Env": map[string]string{"NEW": "1"}})
	n.start()
	p, c := testPod("pod"), testContainer("container")
	start := time.Now()
	n.life(p, c)
	if took := time.Since(start); took < timeout || took > 45*time.Second { // it would answer after a minute
		t.Errorf("it took %v", took)
	}
	if !slices.Contains(c.Spec.Process.Env, "NEW=1") || !strings.HasSuffix(requests(t, works), wholeLife) {
		t.Errorf("the other plugin heard %s, environment %q", requests(t, works), c.Spec.Process.Env)
	}
	if count := n.plugins.Load(); count != 1 {
		t.Errorf("%d plugins", count)
	}
}

func TestPluginThatDies(t *testing.T) {
	n := newNode(t)
	n.install("10-dies", behaviour{"Die": []string{"StartContainer"}})
	n.start()
	n.life(testPod("pod"), testContainer("container"))
	if n.Active() {
		t.Error("it is still active")
	}
}

func TestPluginThatIsKilledAndComesBack(t *testing.T) {
	n := newNode(t)
	n.start()
	cmd, _ := n.connect("20", "first", behaviour{})
	testnode.Eventually(t, "the plugin is active", n.Active)
	ctx, p, c := context.Background(), testPod("pod"), testContainer("container")
	n.do(func(op *Operation) error { return op.RunPodSandbox(ctx, p) }, func(op *Operation) error { return op.CreateContainer(ctx, p, c) })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	testnode.Eventually(t, "the next operations go on without it", func() bool {
		n.do(func(op *Operation) error { return op.PostStartContainer(ctx, p, c) })
		return !n.Active()
	})
	n.do(func(op *Operation) error { return op.RemoveContainer(ctx, p, c) }) // is not noted
	n.mu.Lock()
	n.pods = []*Pod{p}
	n.mu.Unlock()
	_, logfile := n.connect("20", "second", behaviour{})
	testnode.Eventually(t, "the next plugin is active", n.Active)
	n.do(func(op *Operation) error { return op.RemoveContainer(ctx, p, c) }, func(op *Operation) error { return op.StopPodSandbox(ctx, p) })
	if got := requests(t, logfile); got != "Configure Synchronize StopPodSandbox" {
		t.Errorf("heard %s", got)
	}
}

func TestPluginThatFailsToSynchronizeIsNotActive(t *testing.T) {
	n := newNode(t)
	n.install("10-fails", behaviour{"Fail": []string{"Synchronize"}})
	n.install("20-fails", behaviour{"Fail": []string{"Configure"}})
	n.start()
	if n.Active() {
		t.Error("active")
	}
}

func TestTwoPluginsThatDisagree(t *testing.T) {
	n := newNode(t)
	n.install("10-one", behaviour{"Env": map[string]string{"A": "1"}})
	n.install("20-two", behaviour{"Env": map[string]string{"A": "2"}})
	n.start()
	op := n.Begin()
	defer op.End()
	err := op.CreateContainer(context.Background(), testPod("pod"), testContainer("container"))
	if !errdefs.IsUnknown(err) || !strings.Contains(err.Error(), "20-two") {
		t.Errorf("%v", err)
	}
}

func TestDefaultValidatorWantsAPlugin(t *testing.T) {
	n := newNode(t, func(c *Config) {
		c.DefaultValidator.Enable, c.DefaultValidator.RequiredPlugins = true, []string{"missing"}
	})
	n.start()
	op := n.Begin()
	defer op.End()
	err := op.CreateContainer(context.Background(), testPod("pod"), testContainer("container"))
	if err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("%v", err)
	}
}

func TestCallerThatGivesUp(t *testing.T) {
	n := newNode(t)
	n.install("10-hangs", behaviour{"Hang": []string{"StartContainer"}})
	n.start()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	op := n.Begin()
	defer op.End()
	if err := op.StartContainer(ctx, testPod("pod"), testContainer("container")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestDisabled(t *testing.T) {
	for name, n := range map[string]*node{"disabled": newNode(t, func(c *Config) { c.Disable = true }), "nil": newNode(t)} {
		t.Run(name, func(t *testing.T) {
			n.t = t
			if name == "disabled" {
				n.install("10-test", behaviour{})
				n.start()
			}
			c := testContainer("container")
			if r := n.life(testPod("pod"), c); r.CpuShares != 100 {
				t.Errorf("%v", r)
			}
			n.ContainerExited(c.ID, nobodyAsks(t))
			if n.Active() || !slices.Equal(c.Spec.Process.Env, []string{"PATH=/bin"}) {
				t.Errorf("active %v, %q", n.Active(), c.Spec.Process.Env)
			}
			if err := n.Start(); err != nil {
				t.Error(err)
			}
			n.Stop()
		})
	}
}

func TestStartRefusesABadName(t *testing.T) {
	n := newNode(t)
	n.install("nonumber", behaviour{})
	a, err := New(n.config, "1.0", Callbacks{List: n.list, Update: n.update})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	if err := a.Start(); err == nil || !strings.Contains(err.Error(), "nonumber") {
		t.Errorf("%v", err)
	}
}

// BenchmarkNoPlugin is what an operation pays when nobody is connected.
func BenchmarkNoPlugin(b *testing.B) {
	n := newNode(b)
	n.start()
	b.ReportAllocs()
	for range b.N {
		op := n.Begin()
		if op.Active() {
			b.Fatal("active")
		}
		op.End()
	}
}

// BenchmarkOnePlugin is the way of one container through a plugin: create, start, stop, remove.
func BenchmarkOnePlugin(b *testing.B) {
	n := newNode(b)
	n.install("10-test", behaviour{"Env": map[string]string{"NEW": "1"}})
	n.start()
	b.ResetTimer()
	ctx, p := context.Background(), testPod("pod")
	for range b.N {
		c := testContainer("container")
		n.do(
			func(op *Operation) error { return op.CreateContainer(ctx, p, c) },
			func(op *Operation) error { return op.StartContainer(ctx, p, c) },
			func(op *Operation) error { return op.StopContainer(ctx, p, c) },
			func(op *Operation) error { return op.RemoveContainer(ctx, p, c) },
		)
	}
}
