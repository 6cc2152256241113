// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/runtime"
	v2 "github.com/containerd/containerd/v2/core/runtime/v2"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"golang.org/x/sync/errgroup"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/daemonlog"
	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/fdstore"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/seccomp"
)

// Config is the section plugins."io.containerd.runtime.v2.task" of the configuration file:
// containerd's own, and a table for ours.
type Config struct {
	Platforms []string `toml:"platforms"`
	Sardine   Settings `toml:"sardine"`
}

// Settings are those of the containers that the daemon runs itself.
type Settings struct {
	// Init is the path of sardine-init. Empty: beside the daemon.
	Init string `toml:"init"`
	// StockRunc says who runs containers of the runtime io.containerd.runc.v2: "shim",
	// "sardine", or "auto" for the shim if it is installed.
	StockRunc string `toml:"stock_runc"`
	// BPFDir is where the recorder of exits is pinned, on a bpffs; "none" does without.
	// Empty: a directory of /sys/fs/bpf, which is mounted when it is not.
	BPFDir string `toml:"bpf_dir"`
	// FDStore says who keeps descriptors while no daemon runs: "systemd", "holder", a process of
	// ours, "none", or "auto" for systemd if the daemon's unit has a store and the holder if not.
	FDStore string `toml:"fd_store"`
	// Probes has the daemon answer CRI's executions of the command sardine-probe itself.
	Probes bool `toml:"probes"`
	// Options apply to containers that bring none of their own.
	Options Options `toml:"options"`
}

// Registration makes the plugin that takes the place of stock, containerd's own task
// runtime. version is reported to clients that ask for the runtime's.
func Registration(stock plugin.Registration, version string) plugin.Registration {
	config := &Config{Sardine: Settings{StockRunc: stockAuto, FDStore: fdstore.Auto, Probes: true}}
	if c, ok := stock.Config.(*v2.TaskConfig); ok {
		config.Platforms = c.Platforms
	}
	ours := stock
	ours.Config = config
	ours.Requires = append(slices.Clone(stock.Requires), plugins.EventPlugin)
	ours.InitFn = func(ic *plugin.InitContext) (any, error) { return initialize(ic, stock, version) }
	return ours
}

func initialize(ic *plugin.InitContext, stock plugin.Registration, version string) (_ any, err error) {
	config := ic.Config.(*Config)
	r := &Runtime{version: version, defaults: config.Sardine.Options, metrics: newMetrics(version), probes: config.Sardine.Probes}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.names, err = newNames(config.Sardine.StockRunc); err != nil {
		return nil, err
	}
	if r.stock, err = initStock(ic, stock, config); err != nil {
		return nil, err
	}
	if r.mounts, err = mountManager(ic); err != nil {
		return nil, err
	}
	publisher, err := ic.GetByID(plugins.EventPlugin, "exchange")
	if err != nil {
		return nil, err
	}
	r.publisher = newPublisher(publisher.(events.Publisher))
	r.closers = append(r.closers, r.publisher.close)
	return r, r.open(ic, config.Sardine)
}

// initStock makes containerd's own runtime, which also loads the shims of an earlier
// daemon.
func initStock(ic *plugin.InitContext, stock plugin.Registration, config *Config) (runtime.PlatformRuntime, error) {
	inner := *ic
	inner.Config = &v2.TaskConfig{Platforms: config.Platforms}
	instance, err := stock.InitFn(&inner)
	if err != nil {
		return nil, err
	}
	return instance.(runtime.PlatformRuntime), nil
}

func mountManager(ic *plugin.InitContext) (mount.Manager, error) {
	instance, err := ic.GetSingle(plugins.MountManagerPlugin)
	if errors.Is(err, plugin.ErrPluginNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return instance.(mount.Manager), nil
}

// open makes what runs containers and takes over those that run.
func (r *Runtime) open(ic *plugin.InitContext, settings Settings) error {
	state := ic.Properties[plugins.PropertyStateDir]
	cfg := container.Config{
		// Hidden from the shim manager, which removes what it does not know from the
		// directory that clients know; there only links are, which it leaves alone.
		Dir: filepath.Join(state, ".sardine"), Links: state,
		Seccomp: &seccomp.Compiler{}, Notify: r.notify, Phase: r.metrics.phase,
	}
	var err error
	if cfg.Host, err = oci.DetectHost(); err != nil {
		return err
	}
	// The launcher reserves low numbers of descriptors, before the store may bring thousands.
	if err := r.openLauncher(&cfg, settings.Init); err != nil {
		return err
	}
	if err := r.openParts(
		func() (func() error, error) { return r.openStore(ic.Context, &cfg, settings.FDStore, state) },
		func() (func() error, error) { return openCgroups(&cfg) },
		func() (func() error, error) { return openExits(&cfg, bpfOptions(settings.BPFDir, state)) },
	); err != nil {
		return err
	}
	if r.containers, err = container.New(cfg); err != nil {
		return err
	}
	r.closers = append(r.closers, r.containers.Close)
	if err := r.containers.Load(ic.Context); err != nil {
		return err
	}
	r.serveMetrics()
	return nil
}

// openParts opens parts of which none needs another, at the same time: each waits for processes or the kernel. What
// they return closes them; the last one is closed first.
func (r *Runtime) openParts(parts ...func() (func() error, error)) error {
	closers := make([]func() error, len(parts))
	var group errgroup.Group
	for i, open := range parts {
		group.Go(func() (err error) { closers[i], err = open(); return err })
	}
	err := group.Wait()
	for _, closer := range closers {
		if closer != nil {
			r.closers = append(r.closers, closer)
		}
	}
	return err
}

func (r *Runtime) openLauncher(cfg *container.Config, path string) error {
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		path = filepath.Join(filepath.Dir(self), "sardine-init")
	}
	r.init = path
	launcher, err := launch.New(path)
	if err != nil {
		return fmt.Errorf(`%w (install sardine-init beside the daemon or set plugins."io.containerd.runtime.v2.task".sardine.init)`, err)
	}
	cfg.Launcher = launcher
	r.closers = append(r.closers, launcher.Close)
	return nil
}

// openStore opens the descriptor store. It is closed after all who put something into it.
func (r *Runtime) openStore(ctx context.Context, cfg *container.Config, kind, state string) (closer func() error, err error) {
	r.store, err = fdstore.Open(ctx, fdstore.Options{
		Kind: kind, Dir: filepath.Join(state, ".fdstore"), Init: r.init, Log: daemonlog.New(),
	})
	if err != nil {
		return nil, fmt.Errorf(`plugins."io.containerd.runtime.v2.task".sardine.fd_store: %w`, err)
	}
	cfg.Store = r.store
	return r.store.Close, nil
}

func openCgroups(cfg *container.Config) (closer func() error, err error) {
	if cfg.Cgroups, err = cgroup.Detect(); err != nil {
		return nil, err
	}
	if cfg.OOM, err = cfg.Cgroups.NewOOMWatcher(); err != nil {
		cfg.Cgroups.Close()
		return nil, err
	}
	return func() error {
		err := cfg.OOM.Close()
		cfg.Cgroups.Close()
		return err
	}, nil
}

func openExits(cfg *container.Config, opts exits.Options) (closer func() error, err error) {
	if cfg.Exits, err = exits.New(opts); err != nil {
		return nil, err
	}
	return cfg.Exits.Close, nil
}

// bpfOptions names the recorder's directory: one per daemon, told apart by its state
// directory.
func bpfOptions(dir, state string) exits.Options {
	const bpffs = "/sys/fs/bpf"
	opts := exits.Options{Log: daemonlog.New()}
	switch dir {
	case "none":
	case "":
		h := fnv.New32a()
		h.Write([]byte(state))
		opts.MountBPFFS = bpffs
		opts.BPFDir = filepath.Join(bpffs, fmt.Sprintf("sardine-%08x", h.Sum32()))
	default:
		opts.BPFDir = dir
	}
	return opts
}
