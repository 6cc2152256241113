// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
)

// Config is containerd's section [plugins."io.containerd.cri.v1.images"]: the same keys with
// the same meaning and defaults, less what New warns about.
type Config struct {
	Snapshotter                string              `toml:"snapshotter"`
	DisableSnapshotAnnotations bool                `toml:"disable_snapshot_annotations"`
	DiscardUnpackedLayers      bool                `toml:"discard_unpacked_layers"`
	PinnedImages               map[string]string   `toml:"pinned_images"`
	RuntimePlatforms           map[string]Platform `toml:"runtime_platforms"`
	Registry                   Registry            `toml:"registry"`
	ImageDecryption            Decryption          `toml:"image_decryption"`
	MaxConcurrentDownloads     int                 `toml:"max_concurrent_downloads"`
	ConcurrentLayerFetchBuffer int                 `toml:"concurrent_layer_fetch_buffer"`
	ImagePullProgressTimeout   string              `toml:"image_pull_progress_timeout"`
	ImagePullWithSyncFs        bool                `toml:"image_pull_with_sync_fs"`
	StatsCollectPeriod         int                 `toml:"stats_collect_period"` // seconds; answers about the disk use of images may be as old
	UseLocalImagePull          bool                `toml:"use_local_image_pull"`
}

// Platform is what a runtime handler's images are pulled for. Empty fields are the node's
// platform and the default snapshotter.
type Platform struct {
	Platform    string `toml:"platform"` // OS/ARCH[/VARIANT]
	Snapshotter string `toml:"snapshotter"`
}

// Registry says how registries are reached. ConfigPath is a list of certs.d directories,
// separated by colons; Mirrors is the old way and excludes it.
type Registry struct {
	ConfigPath string                    `toml:"config_path"`
	Mirrors    map[string]Mirror         `toml:"mirrors"` // by host, or "*"
	Configs    map[string]RegistryConfig `toml:"configs"` // by host
	Auths      map[string]AuthConfig     `toml:"auths"`   // by host or URL
	Headers    map[string][]string       `toml:"headers"` // sent to every registry
}

// Mirror lists URLs that are tried before the registry itself.
type Mirror struct {
	Endpoints []string `toml:"endpoint"`
}

// RegistryConfig is what is configured for one registry.
type RegistryConfig struct {
	Auth *AuthConfig `toml:"auth"`
}

// AuthConfig is a login that is used when a pull brings none.
type AuthConfig struct {
	Username      string `toml:"username"`
	Password      string `toml:"password"`
	Auth          string `toml:"auth"` // base64 of USERNAME:PASSWORD
	IdentityToken string `toml:"identitytoken"`
}

// Decryption says where the keys of encrypted images are: "node" or, for no decryption, "".
type Decryption struct {
	KeyModel string `toml:"key_model"`
}

const (
	defaultConfigPath = "/etc/containerd/certs.d:/etc/docker/certs.d"
	keyModelNode      = "node"
	defaultPeriod     = 10 // seconds
)

// DefaultConfig returns containerd's defaults, but for the pause image, which is never
// needed and so not pinned.
func DefaultConfig() Config {
	return Config{
		Snapshotter:                "overlayfs",
		DisableSnapshotAnnotations: true,
		MaxConcurrentDownloads:     3,
		ImageDecryption:            Decryption{KeyModel: keyModelNode},
		ImagePullProgressTimeout:   "5m0s",
		StatsCollectPeriod:         defaultPeriod,
	}
}

// settings is a Config that was checked.
type settings struct {
	Config
	stall   time.Duration // without a byte from the registry until a pull ends; 0 is for ever
	targets []target      // the node's own first
	handler map[string]target
}

// check completes c and says in warnings what of it is not honoured. ErrInvalidArgument.
func (c Config) check() (s settings, warnings []string, err error) {
	s.Config = c
	if s.Snapshotter == "" {
		s.Snapshotter = DefaultConfig().Snapshotter
	}
	if s.stall, err = time.ParseDuration(orDefault(c.ImagePullProgressTimeout, "5m")); err != nil {
		return s, nil, fmt.Errorf("image_pull_progress_timeout %q: %w: %w", c.ImagePullProgressTimeout, err, errdefs.ErrInvalidArgument)
	}
	if warnings, err = s.checkRegistry(); err != nil {
		return s, nil, err
	}
	if err = s.checkTargets(); err != nil {
		return s, nil, err
	}
	switch s.ImageDecryption.KeyModel {
	case "", keyModelNode:
	default:
		return s, nil, fmt.Errorf("image_decryption.key_model %q: only %q and none exist: %w",
			s.ImageDecryption.KeyModel, keyModelNode, errdefs.ErrInvalidArgument)
	}
	if c.StatsCollectPeriod < 0 || c.MaxConcurrentDownloads < 0 || c.ConcurrentLayerFetchBuffer < 0 {
		return s, nil, fmt.Errorf("stats_collect_period, max_concurrent_downloads and concurrent_layer_fetch_buffer cannot be negative: %w",
			errdefs.ErrInvalidArgument)
	}
	return s, warnings, nil
}

func orDefault(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// checkRegistry moves Auths, older still, into Configs.
func (s *settings) checkRegistry() (warnings []string, err error) {
	r := &s.Registry
	switch {
	case r.ConfigPath != "" && len(r.Mirrors) > 0:
		return nil, fmt.Errorf("registry.mirrors cannot be set together with registry.config_path: %w", errdefs.ErrInvalidArgument)
	case r.ConfigPath == "" && len(r.Mirrors) == 0:
		r.ConfigPath = defaultConfigPath
	}
	configs := make(map[string]RegistryConfig, len(r.Configs)+len(r.Auths))
	for host, c := range r.Configs {
		configs[host] = c
	}
	for endpoint, auth := range r.Auths {
		u, err := url.Parse(endpoint)
		if err != nil {
			return nil, fmt.Errorf("registry.auths %q: %w: %w", endpoint, err, errdefs.ErrInvalidArgument)
		}
		if u.Host != "" {
			endpoint = u.Host
		}
		configs[endpoint] = RegistryConfig{Auth: &auth}
	}
	for host, c := range configs {
		if _, _, err := c.Auth.login().secret(); err != nil {
			return nil, fmt.Errorf("registry login for %q: %w", host, err)
		}
	}
	r.Configs = configs
	for key, set := range map[string]bool{"mirrors": len(r.Mirrors) > 0, "configs": len(s.Config.Registry.Configs) > 0, "auths": len(r.Auths) > 0} {
		if set {
			warnings = append(warnings, "registry."+key+" is deprecated by containerd: use registry.config_path and image pull secrets")
		}
	}
	return warnings, nil
}

// target is a platform with the snapshotter its images are unpacked into.
type target struct {
	name        string // as configured, "" for the node's own platform
	handler     string // the first runtime handler with this platform
	matcher     platforms.MatchComparer
	snapshotter string
}

func (s *settings) checkTargets() error {
	own := target{matcher: platforms.Default(), snapshotter: s.Snapshotter}
	s.targets, s.handler = []target{own}, map[string]target{}
	for _, handler := range slices.Sorted(maps.Keys(s.RuntimePlatforms)) {
		p := s.RuntimePlatforms[handler]
		t := own
		t.snapshotter = orDefault(p.Snapshotter, s.Snapshotter)
		if p.Platform != "" && p.Platform != platforms.DefaultString() {
			spec, err := platforms.Parse(p.Platform)
			if err != nil {
				return fmt.Errorf("runtime_platforms.%s: platform %q: %w: %w", handler, p.Platform, err, errdefs.ErrInvalidArgument)
			}
			t.name, t.handler, t.matcher = platforms.FormatAll(spec), handler, platforms.Only(spec)
			s.addPlatform(t)
		}
		s.handler[handler] = t
	}
	return nil
}

func (s *settings) addPlatform(t target) {
	for _, known := range s.targets {
		if known.name == t.name {
			return
		}
	}
	s.targets = append(s.targets, t)
}

// target returns what images for a runtime handler are pulled for.
func (s *settings) target(handler string) target {
	if t, ok := s.handler[handler]; ok {
		return t
	}
	return s.targets[0]
}
