// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/pelletier/go-toml/v2"
)

// TestConfigKeys are those of containerd.
func TestConfigKeys(t *testing.T) {
	c := DefaultConfig()
	d := toml.NewDecoder(strings.NewReader(`
snapshotter = "native"
disable_snapshot_annotations = false
discard_unpacked_layers = true
max_concurrent_downloads = 7
concurrent_layer_fetch_buffer = 1048576
image_pull_progress_timeout = "1m"
image_pull_with_sync_fs = true
stats_collect_period = 20
use_local_image_pull = true
[pinned_images]
sandbox = "a/b:c"
[runtime_platforms.arm]
platform = "linux/arm64"
snapshotter = "overlayfs"
[registry]
config_path = "/a:/b"
[registry.headers]
X = ["y"]
[registry.configs."h".auth]
username = "u"
password = "p"
[registry.auths."https://other/v1"]
identitytoken = "t"
[image_decryption]
key_model = ""
`)).DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	s, warnings, err := c.check()
	if err != nil {
		t.Fatal(err)
	}
	if s.Snapshotter != "native" || s.stall != time.Minute || s.target("arm").snapshotter != "overlayfs" || s.target("x").snapshotter != "native" ||
		s.Registry.Configs["other"].Auth.IdentityToken != "t" || s.Registry.Configs["h"].Auth.Username != "u" || len(s.targets) != 2 {
		t.Errorf("%+v", s)
	}
	if len(warnings) != 2 {
		t.Errorf("warnings %q, want one for configs and one for auths", warnings)
	}
	if len(s.applyOptions()) != 1 {
		t.Error("layers are decrypted without a key model")
	}
}

func TestConfigDefaults(t *testing.T) {
	for _, c := range []Config{DefaultConfig(), {}} {
		s, warnings, err := c.check()
		if err != nil || len(warnings) != 0 {
			t.Fatalf("%v, %v", warnings, err)
		}
		if s.Snapshotter != "overlayfs" || s.stall != 5*time.Minute || s.Registry.ConfigPath != defaultConfigPath {
			t.Errorf("%+v", s)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"timeout":            func(c *Config) { c.ImagePullProgressTimeout = "soon" },
		"mirrors and path":   func(c *Config) { c.Registry = Registry{ConfigPath: "/x", Mirrors: map[string]Mirror{"h": {}}} },
		"platform":           func(c *Config) { c.RuntimePlatforms = map[string]Platform{"x": {Platform: "a/b/c/d/e"}} },
		"key model":          func(c *Config) { c.ImageDecryption.KeyModel = "moon" },
		"login":              func(c *Config) { c.Registry.Auths = map[string]AuthConfig{"h": {Auth: "?"}} },
		"URL":                func(c *Config) { c.Registry.Auths = map[string]AuthConfig{"http://%zz": {}} },
		"negative downloads": func(c *Config) { c.MaxConcurrentDownloads = -1 },
	} {
		c := DefaultConfig()
		change(&c)
		if _, _, err := c.check(); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDecryption hands each layer's descriptor to the processors.
func TestDecryption(t *testing.T) {
	s, _, err := DefaultConfig().check()
	if err != nil {
		t.Fatal(err)
	}
	var c diff.ApplyConfig
	for _, o := range s.applyOptions() {
		if err := o(context.Background(), ocispec.Descriptor{Digest: "sha256:x"}, &c); err != nil {
			t.Fatal(err)
		}
	}
	payload := c.ProcessorPayloads["io.containerd.ocicrypt.decoder.v1.tar.gzip"]
	if payload == nil || !strings.Contains(string(payload.GetValue()), "sha256:x") {
		t.Errorf("payload %v", payload)
	}
}

func TestShape(t *testing.T) {
	dir := t.TempDir()
	for name, mounts := range map[string][]mount.Mount{
		"device":           {{Type: "ext4", Source: "/dev/x"}},
		"erofs":            {{Type: "erofs", Source: "/x"}, {Type: "overlay", Options: []string{"lowerdir=/a:/b"}}},
		"below the root":   {{Type: "bind", Source: dir, Target: "/x"}},
		"writable overlay": {{Type: "overlay", Options: []string{"lowerdir=/a", "upperdir=/b", "workdir=/c"}}},
		"no layers":        {{Type: "overlay"}},
		"file":             {{Type: "bind", Source: "/proc/self/status"}},
		"idmapped bind":    {{Type: "bind", Source: dir, Options: []string{"uidmap=0:1:1"}}},
		"none":             nil,
	} {
		if _, err := shapeOf(mounts, "test"); !errdefs.IsNotImplemented(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := shapeOf([]mount.Mount{{Type: "overlay", Options: []string{"index=off", "ro", "lowerdir=/a:/b"}}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(s.mounts("/u:1", "/w", true)[0].Options, " ")
	if want := `lowerdir=/a:/b upperdir=/u\:1 workdir=/w volatile index=off`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"busybox", "a/b:c@sha256:" + strings.Repeat("a", 64), "sha256:abcdef", "ABC", "[::1]:5000/x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		named, err := parseReference(s)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		again, err := parseReference(named.String())
		if err != nil || again.String() != named.String() {
			t.Errorf("%q is normalized to %q, and that to %v, %v", s, named, again, err)
		}
		if prefix, ok := idPrefix(s); ok && len(prefix) > len("sha256:")+64 {
			t.Errorf("%q: an id of %q", s, prefix)
		}
	})
}

func FuzzAuth(f *testing.F) {
	f.Add("dXNlcjpwYXNz", "https://index.docker.io/v1/", "host")
	f.Fuzz(func(t *testing.T, encoded, server, host string) {
		a := Auth{Auth: encoded, ServerAddress: server}
		if err := a.check(); err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%+v: %v", a, err)
			}
			return
		}
		_ = a.isFor(host)
	})
}
