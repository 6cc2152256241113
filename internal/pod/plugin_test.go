// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/nri"
	"github.com/sardine-run/sardine/internal/testnode"
)

// slowPlugin is an NRI plugin whose synchronization takes as long as the test wants.
type slowPlugin struct {
	told    chan []*api.Container // receives what it is told in its synchronization
	goOn    func()                // lets that end
	wait    chan struct{}         // closed by goOn
	stopped chan *api.Container   // receives each container that has ended
}

func (p *slowPlugin) Synchronize(_ context.Context, _ []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	p.told <- containers
	<-p.wait
	return nil, nil
}

func (p *slowPlugin) StopContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) ([]*api.ContainerUpdate, error) {
	p.stopped <- c
	return nil, nil
}

// newPluginNode starts a daemon to which NRI plugins can connect by the socket.
func newPluginNode(t *testing.T) (n *node, socket string) {
	t.Helper()
	n = prepare(t)
	cfg := nri.DefaultConfig()
	cfg.PluginRegistrationTimeout, cfg.PluginRequestTimeout = nri.Duration(testnode.Patience), nri.Duration(testnode.Patience)
	cfg.SocketPath = filepath.Join(n.dir, "nri.sock")
	cfg.PluginPath, cfg.PluginConfigPath = filepath.Join(n.dir, "plugins"), filepath.Join(n.dir, "conf.d")
	plugins, err := nri.New(cfg, "1.0", nri.Callbacks{
		List: func() ([]*nri.Pod, []*nri.Container) { return n.ForPlugins() },
		Update: func(ctx context.Context, id string, r *runtime.LinuxContainerResources) error {
			return n.UpdateForPlugin(ctx, id, r)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plugins.Stop)
	n.open(func(cfg *Config) { cfg.Plugins = plugins })
	t.Cleanup(n.end)
	if err := plugins.Start(); err != nil {
		t.Fatal(err)
	}
	return n, cfg.SocketPath
}

// connectSlow connects a plugin.
func connectSlow(t *testing.T, socket string) *slowPlugin {
	t.Helper()
	wait := make(chan struct{})
	p := &slowPlugin{
		told: make(chan []*api.Container, 1), wait: wait, goOn: sync.OnceFunc(func() { close(wait) }), stopped: make(chan *api.Container, 2),
	}
	s, err := stub.New(p, stub.WithSocketPath(socket), stub.WithPluginIdx("20"), stub.WithPluginName("slow"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	t.Cleanup(p.goOn)
	return p
}

func receive[T any](t *testing.T, what string, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(testnode.Patience):
		t.Fatalf("not within %v: %s", testnode.Patience, what)
	}
	return got
}

// TestEndsWhilePluginConnects: a plugin that is just told that a container runs hears of its end, though nobody stops or removes it.
func TestEndsWhilePluginConnects(t *testing.T) {
	n, socket := newPluginNode(t)
	c := n.launch(n.run(podConfig(n)), "c", forever)
	p := connectSlow(t, socket)
	if told := receive(t, "the plugin is synchronized", p.told); len(told) != 1 || told[0].State != api.ContainerState_CONTAINER_RUNNING {
		t.Errorf("it is told of %v", told)
	}
	if err := unix.Kill(c.Status().Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n.exited(c)
	if err := c.op.take(t.Context()); err != nil { // until all is done that is done of an end
		t.Fatal(err)
	}
	c.op.release()
	p.goOn()
	ended := receive(t, "the plugin hears of the end", p.stopped)
	if ended.Id != c.ID || ended.State != api.ContainerState_CONTAINER_STOPPED || ended.ExitCode != 137 {
		t.Errorf("it hears of %v", ended)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if len(p.stopped) > 0 {
		t.Error("it hears of the end twice")
	}
}

// TestFailedStartIsToldPlugins: a plugin that agreed to the start of a program that cannot be run hears that it is over.
func TestFailedStartIsToldPlugins(t *testing.T) {
	n, socket := newPluginNode(t)
	s := n.run(podConfig(n))
	p := connectSlow(t, socket)
	p.goOn()
	receive(t, "the plugin is synchronized", p.told)
	cfg := containerConfig("c", "")
	cfg.Command = []string{"/missing"}
	c := n.create(s, cfg) // waits for the plugin
	if err := c.Start(t.Context()); err == nil {
		t.Error("a missing program is started")
	}
	if ended := receive(t, "the plugin hears of the end", p.stopped); ended.Id != c.ID || ended.State != api.ContainerState_CONTAINER_STOPPED {
		t.Errorf("it hears of %v", ended)
	}
}
