// SPDX-License-Identifier: Apache-2.0

package task

import (
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

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/daemonlog"
	"github.com/sardine-run/sardine/internal/exits"
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
	// Options apply to containers that bring none of their own.
	Options Options `toml:"options"`
}

// Registration makes the plugin that takes the place of stock, containerd's own task
// runtime. version is reported to clients that ask for the runtime's.
func Registration(stock plugin.Registration, version string) plugin.Registration {
	config := &Config{Sardine: Settings{StockRunc: stockAuto}}
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
	r := &Runtime{version: version, defaults: config.Sardine.Options}
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
		Seccomp: &seccomp.Compiler{}, Notify: r.notify,
	}
	for _, step := range []func(*container.Config) error{
		func(c *container.Config) (err error) { c.Host, err = oci.DetectHost(); return err },
		func(c *container.Config) error { return r.openLauncher(c, settings.Init) },
		r.openCgroups,
		func(c *container.Config) error { return r.openExits(c, bpfOptions(settings.BPFDir, state)) },
	} {
		if err := step(&cfg); err != nil {
			return err
		}
	}
	var err error
	if r.containers, err = container.New(cfg); err != nil {
		return err
	}
	return r.containers.Load(ic.Context)
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

func (r *Runtime) openCgroups(cfg *container.Config) error {
	host, err := cgroup.Detect()
	if err != nil {
		return err
	}
	cfg.Cgroups = host
	r.closers = append(r.closers, func() error { host.Close(); return nil })
	if cfg.OOM, err = host.NewOOMWatcher(); err != nil {
		return err
	}
	r.closers = append(r.closers, cfg.OOM.Close)
	return nil
}

func (r *Runtime) openExits(cfg *container.Config, opts exits.Options) error {
	watcher, err := exits.New(opts)
	if err != nil {
		return err
	}
	cfg.Exits = watcher
	r.closers = append(r.closers, watcher.Close)
	return nil
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
