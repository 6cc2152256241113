// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/imageverifier"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	"github.com/moby/sys/mountinfo"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cri"
	"github.com/sardine-run/sardine/internal/criimage"
	"github.com/sardine-run/sardine/internal/crirouter"
	"github.com/sardine-run/sardine/internal/daemonlog"
	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/nri"
	"github.com/sardine-run/sardine/internal/pod"
	"github.com/sardine-run/sardine/internal/podlog"
	"github.com/sardine-run/sardine/internal/podspec"
	"github.com/sardine-run/sardine/internal/podstats"
	"github.com/sardine-run/sardine/internal/probe"
	"github.com/sardine-run/sardine/internal/stream"
	"github.com/sardine-run/sardine/internal/task"
)

// builder makes the parts of the CRI server, each from those before it.
type builder struct {
	*assembly
	ic *plugin.InitContext

	settings *runtimeSettings
	server   serverSettings
	network  *networkSettings
	engine   task.Engine
	features *kernel.Features
	shims    []string // runtime handlers of containerd's own CRI server

	images   *image.Images
	networks *network.Networks
	logs     *podlog.Hub
	specs    *podspec.Translator
	node     podspec.Node
	plugins  *nri.Adaptation
	pods     *pod.Manager
	probes   *probe.Prober // nil without
	sessions *stream.Server
	stockCRI stockServer // nil without shims

	closers []func() error // the last one first
}

func (b *builder) onClose(f func() error) { b.closers = append(b.closers, f) }

func (b *builder) close() error {
	var errs []error
	for _, f := range slices.Backward(b.closers) {
		errs = append(errs, f())
	}
	b.closers = nil
	return errors.Join(errs...)
}

func (b *builder) readSettings() (err error) {
	if b.settings, err = b.runtimeSettings(); err != nil {
		return err
	}
	b.features = kernel.NewFeatures(rootDir(b.ic))
	return convert(b.ic.Config, &b.server)
}

func taskEngine(ic *plugin.InitContext) (task.Engine, error) {
	instance, err := ic.GetByID(plugins.RuntimePluginV2, "task")
	if err != nil {
		return task.Engine{}, err
	}
	r, ok := instance.(*task.Runtime)
	if !ok {
		return task.Engine{}, fmt.Errorf("the task runtime is a %T", instance)
	}
	return r.Engine(), nil
}

func (b *builder) findEngine() (err error) {
	if b.engine, err = taskEngine(b.ic); err != nil {
		return err
	}
	b.shims = shimHandlers(b.settings, b.engine.StockRunc)
	return nil
}

// checkRecords refuses to start with records of a release that is not known, before anything on the node is changed.
func (b *builder) checkRecords() error {
	return errors.Join(pod.CheckRecords(stateDir(b.ic)), network.CheckRecords(networkDir(b.ic)), podlog.CheckJournal(logJournal(b.ic)))
}

func logJournal(ic *plugin.InitContext) string { return filepath.Join(stateDir(ic), "log.journal") }

// openImages reads the section plugins."io.containerd.cri.v1.images".
func (b *builder) openImages() error {
	cfg := image.DefaultConfig()
	if err := convert(b.stock[imagesURI].Config, &cfg); err != nil {
		return err
	}
	b.addSnapshotters(&cfg)
	client, err := containerd.New("",
		containerd.WithDefaultNamespace(pod.Namespace), containerd.WithDefaultPlatform(platforms.Default()), containerd.WithInMemoryServices(b.ic))
	if err != nil {
		return fmt.Errorf("CRI image service: %w", err)
	}
	verifiers, err := b.verifiers()
	if err != nil {
		return err
	}
	b.images, err = image.New(cfg, image.Deps{
		Client: client, Roots: b.snapshotterRoots(), Layers: []string{rootDir(b.ic)}, Features: b.features, Verifiers: verifiers,
	})
	if err != nil {
		return err
	}
	b.onClose(b.images.Close)
	return nil
}

// addSnapshotters has images for runtime handlers with a snapshotter of their own unpacked there.
func (b *builder) addSnapshotters(cfg *image.Config) {
	for name, h := range b.settings.Containerd.Runtimes {
		if _, set := cfg.RuntimePlatforms[name]; set || h.Snapshotter == "" {
			continue
		}
		if cfg.RuntimePlatforms == nil {
			cfg.RuntimePlatforms = map[string]image.Platform{}
		}
		cfg.RuntimePlatforms[name] = image.Platform{Snapshotter: h.Snapshotter}
	}
}

func (b *builder) verifiers() (map[string]imageverifier.ImageVerifier, error) {
	all, err := b.ic.GetByType(plugins.ImageVerifierPlugin)
	if errors.Is(err, plugin.ErrPluginNotFound) {
		return nil, nil
	}
	verifiers := map[string]imageverifier.ImageVerifier{}
	for name, instance := range all {
		if v, ok := instance.(imageverifier.ImageVerifier); ok {
			verifiers[name] = v
		}
	}
	return verifiers, err
}

// snapshotterRoots are the directories that snapshotters say are theirs.
func (b *builder) snapshotterRoots() map[string]string {
	roots := map[string]string{}
	for _, p := range b.ic.Plugins().GetAll() {
		if p.Registration.Type != plugins.SnapshotPlugin {
			continue
		}
		root := p.Meta.Exports[plugins.SnapshotterRootDir]
		if root == "" {
			root = filepath.Join(filepath.Dir(b.ic.Properties[plugins.PropertyRootDir]), p.Registration.URI())
		}
		roots[p.Registration.ID] = root
	}
	return roots
}

func (b *builder) openLogs() (err error) {
	if b.logs, err = podlog.New(podlog.Options{
		MaxLine: b.settings.MaxContainerLogLineSize, Journal: logJournal(b.ic), Store: b.engine.Store, Log: daemonlog.New(),
	}); err != nil {
		return err
	}
	b.onClose(b.logs.Close)
	return nil
}

func (b *builder) openSpecs() (err error) {
	if b.node, err = b.describeNode(); err != nil {
		return err
	}
	b.specs, err = podspec.New(&b.node)
	return err
}

func (b *builder) openPods() error {
	handlers, err := b.handlers()
	if err != nil {
		return err
	}
	if err := b.openPlugins(); err != nil {
		return err
	}
	b.pods, err = pod.New(pod.Config{
		State: stateDir(b.ic), Root: rootDir(b.ic), Init: b.engine.Init,
		Containers: b.engine.Containers, Launcher: b.engine.Containers.Launcher, Images: b.images, Networks: b.networks, Logs: b.logs, Specs: b.specs, Plugins: b.plugins,
		Handlers: handlers, DefaultHandler: b.defaultHandler(), NamespacePool: b.network.NamespacePool, Phase: b.engine.Phase,
	})
	if err != nil {
		return err
	}
	b.onClose(b.pods.Close)
	if err := b.pods.Load(b.ic.Context); err != nil {
		return err
	}
	b.engine.Store.Prune(podlog.StorePrefix)
	b.images.Reconcile(nil) // all containers have their views again
	return b.plugins.Start()
}

// openPlugins reads the section plugins."io.containerd.nri.v1.nri". Plugins are started once the pods are known.
func (b *builder) openPlugins() error {
	cfg := nri.DefaultConfig()
	if err := convert(b.stock[nriURI].Config, cfg); err != nil {
		return err
	}
	var err error
	b.plugins, err = nri.New(cfg, b.version, nri.Callbacks{
		List: func() ([]*nri.Pod, []*nri.Container) { return b.pods.ForPlugins() },
		Update: func(ctx context.Context, id string, r *runtime.LinuxContainerResources) error {
			return b.pods.UpdateForPlugin(ctx, id, r)
		},
		InjectCDI: b.specs.InjectCDI,
	})
	if err != nil {
		return err
	}
	b.onClose(func() error { b.plugins.Stop(); return nil })
	return nil
}

func (b *builder) openSessions() error {
	cfg := stream.Config{
		Address: b.server.StreamServerAddress, Port: b.server.StreamServerPort,
		TLS: b.server.EnableTLSStreaming, CertFile: b.server.X509KeyPair.CertFile, KeyFile: b.server.X509KeyPair.KeyFile,
		Probes: b.probes,
	}
	var err error
	if cfg.IdleTimeout, err = duration("stream_idle_timeout", b.server.StreamIdleTimeout); err != nil {
		return err
	}
	if cfg.DrainTimeout, err = duration("drain_exec_sync_io_timeout", b.settings.DrainExecSyncIOTimeout); err != nil {
		return err
	}
	if b.sessions, err = stream.New(cfg, b.pods); err != nil {
		return err
	}
	b.onClose(b.sessions.Close)
	b.sessions.Start()
	return nil
}

func duration(key, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	return d, nil
}

func (b *builder) runtimeService() runtime.RuntimeServiceServer {
	service := cri.New(cri.Config{
		Pods: b.pods, Sessions: b.sessions, Stats: &podstats.Reader{Cgroups: b.engine.Containers.Cgroups}, Version: b.version,
		LayerMount: mountPoint(rootDir(b.ic)), SystemdCgroup: b.node.SystemdCgroup,
		Features: cri.Features{RecursiveReadOnlyMounts: b.node.RecursiveReadOnly, UserNamespaces: b.userNamespaces()},
	})
	if b.stockCRI == nil {
		return service
	}
	return crirouter.New(service, b.stockCRI, b.shims)
}

func (b *builder) imageService() runtime.ImageServiceServer {
	return criimage.New(b.images, func(handler string) bool {
		return b.pods.Handlers[handler] != nil || slices.Contains(b.shims, handler)
	})
}

// mountPoint is that of the file system which dir is on.
func mountPoint(dir string) string {
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(dir))
	if err != nil {
		log.L.WithError(err).Warn("find the file system of writable layers")
	}
	best := "/"
	for _, m := range mounts {
		if len(m.Mountpoint) > len(best) {
			best = m.Mountpoint
		}
	}
	return best
}

// handlerNames are those of the configuration that are ours.
func (b *builder) handlerNames() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(b.settings.Containerd.Runtimes)), func(name string) bool {
		return slices.Contains(b.shims, name)
	})
}
