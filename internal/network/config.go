// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containernetworking/cni/pkg/invoke"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// Values of Config.IPPref.
const (
	preferIPv4 = "ipv4"
	preferIPv6 = "ipv6"
	preferCNI  = "cni" // the order of the plugins
)

// Config has the keys of the table "cni" of containerd's CRI configuration, and what the
// daemon adds.
type Config struct {
	BinDirs             []string `toml:"bin_dirs"`
	BinDir              string   `toml:"bin_dir"` // older name, searched before BinDirs
	ConfDir             string   `toml:"conf_dir"`
	MaxConfNum          int      `toml:"max_conf_num"` // files that are used, 0 for all
	SetupSerially       bool     `toml:"setup_serially"`
	ConfTemplate        string   `toml:"conf_template"`         // text/template with PodCIDR, PodCIDRRanges, Routes; "" for none
	IPPref              string   `toml:"ip_pref"`               // ipv4 (also ""), ipv6 or cni
	UseInternalLoopback bool     `toml:"use_internal_loopback"` // always so, whatever it says: no plugin is run for lo

	// Plugins makes the plugins that run inside the daemon, with binaries for all others. Nil: all are executed.
	Plugins func(binaries invoke.Exec) *cniplugin.Set `toml:"-"`
	// DefaultNetwork gives pods a network of ours while ConfDir has no configuration file at all.
	DefaultNetwork bool `toml:"-"`

	// Handlers are runtime handlers with networks of their own, by name.
	Handlers map[string]Handler `toml:"-"`

	// StateDir holds what is attached and what must still be detached. On tmpfs.
	StateDir string `toml:"-"`
	// CacheDir holds libcni's results and belongs to this daemon alone. On a disk it lets
	// Keep detach after a reboot what was attached before it: plugins keep addresses on
	// disks too. It is written without fsync.
	CacheDir string `toml:"-"`
	// OtherCaches are libcni's caches of other runtimes. What they attached to our networks
	// is valid when plugins collect garbage. Nil is libcni's own default, /var/lib/cni.
	OtherCaches []string `toml:"-"`
	// Concurrency is how many pods are attached or detached at once, 0 for the default. All
	// plugins wait for the kernel's one lock for links.
	Concurrency int `toml:"-"`
	// Timeout ends the plugins of one operation that its context does not end sooner, 0 for the
	// default of three minutes.
	Timeout time.Duration `toml:"-"`
	// RetryAfter is how long after a failed DEL the next follows; it doubles each time up to
	// 300 times as much. 0 is one second.
	RetryAfter time.Duration `toml:"-"`
}

// Handler is what a runtime handler's table says of networks: cni_conf_dir and cni_max_conf_num.
type Handler struct {
	ConfDir    string
	MaxConfNum int // 0 for Config.MaxConfNum
}

const (
	defaultConcurrency = 8
	defaultTimeout     = 3 * time.Minute
	defaultRetryAfter  = time.Second
)

// DefaultConfig is containerd's.
func DefaultConfig() Config {
	return Config{BinDirs: []string{"/opt/cni/bin"}, ConfDir: "/etc/cni/net.d", MaxConfNum: 1}
}

// complete checks the configuration and fills in defaults. ErrInvalidArgument.
func (c Config) complete() (Config, error) {
	if c.BinDir != "" {
		c.BinDirs = append([]string{c.BinDir}, slices.DeleteFunc(slices.Clone(c.BinDirs),
			func(dir string) bool { return dir == c.BinDir })...)
	}
	switch c.IPPref {
	case "", preferIPv4, preferIPv6, preferCNI:
	default: // containerd starts with such a configuration, so this daemon must
		log.L.Warnf("cni: ip_pref: %q is none of ipv4, ipv6, cni: taken as ipv4", c.IPPref)
		c.IPPref = preferIPv4
	}
	if c.OtherCaches == nil {
		c.OtherCaches = []string{"/var/lib/cni"}
	}
	c.OtherCaches = slices.DeleteFunc(slices.Clone(c.OtherCaches), func(dir string) bool {
		return filepath.Clean(dir) == filepath.Clean(c.CacheDir)
	})
	if c.Concurrency <= 0 {
		c.Concurrency = defaultConcurrency
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.RetryAfter <= 0 {
		c.RetryAfter = defaultRetryAfter
	}
	return c, c.check()
}

func (c *Config) check() error {
	dirs := map[string]string{"conf_dir": c.ConfDir, "state directory": c.StateDir, "cache directory": c.CacheDir}
	for name, dir := range dirs {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("cni: %s: %q is not an absolute path: %w", name, dir, errdefs.ErrInvalidArgument)
		}
	}
	if len(c.BinDirs) == 0 {
		return fmt.Errorf("cni: bin_dirs: is empty: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}
