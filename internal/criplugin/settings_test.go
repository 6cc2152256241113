// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	_ "github.com/containerd/containerd/v2/plugins/cri"
	_ "github.com/containerd/containerd/v2/plugins/cri/images"
	_ "github.com/containerd/containerd/v2/plugins/cri/runtime"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/pelletier/go-toml/v2"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/nri"
	"github.com/sardine-run/sardine/internal/task"
)

// stockConfig is the default configuration of one of containerd's plugins, of its own type.
func stockConfig(t *testing.T, uri string) any {
	t.Helper()
	for _, r := range registry.Graph(func(*plugin.Registration) bool { return false }) {
		if r.URI() == uri {
			return r.Config
		}
	}
	t.Fatalf("there is no plugin %s", uri)
	return nil
}

// keys are the TOML keys of a type, with dots between the levels.
func keys(t reflect.Type, prefix string, found map[string]reflect.Type) map[string]reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return found
	}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "" || strings.Contains(options, "inline"):
			keys(f.Type, prefix, found)
		default:
			if name == "" {
				name = f.Name
			}
			found[prefix+name] = f.Type
			keys(f.Type, prefix+name+".", found)
		}
	}
	return found
}

// TestKeysExist finds every key that is read in containerd's own types: one that is written otherwise there would silently
// keep its zero value.
func TestKeysExist(t *testing.T) {
	for _, c := range []struct {
		uri  string
		ours any
		more []string // keys that containerd does not have any more
	}{
		{runtimeURI, runtimeSettings{}, []string{"cni.bin_dir"}}, // its older name
		{serverURI, serverSettings{}, nil},
		{imagesURI, image.Config{}, nil},
		{nriURI, nri.Config{}, nil},
	} {
		if c.uri == nriURI && !registered(c.uri) {
			continue // package server brings it
		}
		stock := keys(reflect.TypeOf(stockConfig(t, c.uri)), "", map[string]reflect.Type{})
		for key := range keys(reflect.TypeOf(c.ours), "", map[string]reflect.Type{}) {
			if stock[key] == nil && !slices.Contains(c.more, key) {
				t.Errorf("%s: containerd has no key %s", c.uri, key)
			}
		}
	}
}

func registered(uri string) bool {
	return slices.ContainsFunc(registry.Graph(func(*plugin.Registration) bool { return false }), func(r plugin.Registration) bool { return r.URI() == uri })
}

// TestConvert passes settings through containerd's own type, as they are read from a file.
func TestConvert(t *testing.T) {
	const text = `
enable_selinux = true
selinux_category_range = 77
max_container_log_line_size = 99
disable_apparmor = true
restrict_oom_score_adj = true
unset_seccomp_profile = "RuntimeDefault"
device_ownership_from_security_context = true
enable_unprivileged_ports = false
cdi_spec_dirs = ["/a", "/b"]
drain_exec_sync_io_timeout = "3s"
[cni]
bin_dirs = ["/opt/x"]
conf_dir = "/etc/x"
max_conf_num = 3
ip_pref = "ipv6"
[containerd]
default_runtime_name = "gold"
ignore_rdt_not_enabled_errors = true
[containerd.runtimes.gold]
runtime_type = "io.containerd.runc.v2"
pod_annotations = ["a.*"]
container_annotations = ["b.*"]
privileged_without_host_devices = true
cni_conf_dir = "/etc/gold"
snapshotter = "gold"
[containerd.runtimes.gold.options]
SystemdCgroup = true
NoPivotRoot = true
BinaryName = "/usr/bin/x"
[containerd.runtimes.kata]
runtime_type = "io.containerd.kata.v2"
`
	stock := stockConfig(t, runtimeURI)
	if err := toml.Unmarshal([]byte(text), stock); err != nil {
		t.Fatal(err)
	}
	s := runtimeSettings{CNI: network.Config{}}
	if err := convert(stock, &s); err != nil {
		t.Fatal(err)
	}
	gold := s.Containerd.Runtimes["gold"]
	for what, ok := range map[string]bool{
		"selinux": s.EnableSelinux && s.SelinuxCategoryRange == 77, "line": s.MaxContainerLogLineSize == 99, "apparmor": s.DisableApparmor,
		"oom": s.RestrictOOMScoreAdj, "seccomp": s.UnsetSeccompProfile == "RuntimeDefault", "devices": s.DeviceOwnershipFromSecurityContext,
		"ports": !s.EnableUnprivilegedPorts, "icmp, a default": s.EnableUnprivilegedICMP, "cdi": slices.Equal(s.CDISpecDirs, []string{"/a", "/b"}),
		"drain": s.DrainExecSyncIOTimeout == "3s",
		"cni":   slices.Equal(s.CNI.BinDirs, []string{"/opt/x"}) && s.CNI.ConfDir == "/etc/x" && s.CNI.MaxConfNum == 3 && s.CNI.IPPref == "ipv6",
		"rdt":   s.Containerd.IgnoreRdtNotEnabledErrors, "default": s.Containerd.DefaultRuntimeName == "gold",
		"type": gold.Type == runcType, "annotations": slices.Equal(gold.PodAnnotations, []string{"a.*"}) && slices.Equal(gold.ContainerAnnotations, []string{"b.*"}),
		"privileged": gold.PrivilegedWithoutHostDevices, "network": gold.NetworkPluginConfDir == "/etc/gold", "snapshotter": gold.Snapshotter == "gold",
		"systemd": gold.driver() == cgroup.Systemd, "pivot": gold.option("NoPivotRoot"), "keyring": !gold.option("NoNewKeyring"),
		"binary": gold.Options["BinaryName"] == "/usr/bin/x",
	} {
		if !ok {
			t.Errorf("%s got lost: %+v", what, s)
		}
	}
	b := &builder{assembly: &assembly{}, settings: &s, shims: shimHandlers(&s, false)}
	if !slices.Equal(b.shims, []string{"kata"}) || b.defaultHandler() != "gold" || !b.systemdCgroup() {
		t.Errorf("shims %q, default handler %s", b.shims, b.defaultHandler())
	}
	handlers, err := b.handlers()
	if err != nil || len(handlers) != 3 || handlers["gold"].CgroupDriver != cgroup.Systemd || handlers[ourHandler].CgroupDriver != cgroup.Systemd ||
		!handlers["gold"].NoPivotRoot || handlers["gold"].Snapshotter != "gold" || handlers["kata"] != nil {
		t.Errorf("handlers %v, %v", handlers, err)
	}
}

func TestDefaults(t *testing.T) {
	var server serverSettings
	if err := convert(stockConfig(t, serverURI), &server); err != nil {
		t.Fatal(err)
	}
	if server.StreamServerAddress != "127.0.0.1" || server.StreamIdleTimeout == "" || server.EnableTLSStreaming {
		t.Errorf("server %+v", server)
	}
	images := image.DefaultConfig()
	if err := convert(stockConfig(t, imagesURI), &images); err != nil {
		t.Fatal(err)
	}
	if images.Snapshotter != "overlayfs" || images.MaxConcurrentDownloads == 0 || images.ImagePullProgressTimeout == "" {
		t.Errorf("images %+v", images)
	}
}

// TestShimHandlers says whose the handlers are.
func TestShimHandlers(t *testing.T) {
	s := &runtimeSettings{}
	s.Containerd.DefaultRuntimeName = "runc"
	s.Containerd.Runtimes = map[string]handlerSettings{
		"runc": {Type: runcType}, "ours": {Type: task.Name}, "unnamed": {}, "gvisor": {Type: "io.containerd.runsc.v1"},
	}
	for stockRunc, want := range map[bool]struct {
		shims    []string
		standard string
	}{false: {[]string{"gvisor"}, "runc"}, true: {[]string{"gvisor", "runc"}, ourHandler}} {
		shims := shimHandlers(s, stockRunc)
		b := &builder{assembly: &assembly{}, settings: s, shims: shims}
		if !slices.Equal(shims, want.shims) || b.defaultHandler() != want.standard {
			t.Errorf("stock runc %v: shims %q, default %s", stockRunc, shims, b.defaultHandler())
		}
	}
}

func TestBaseSpec(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spec.json")
	h := &handlerSettings{BaseRuntimeSpec: path}
	if _, err := h.handler(); err == nil {
		t.Error("a specification that is missing was taken")
	}
	for text, good := range map[string]bool{`{"hostname":"x"}`: true, `{`: false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := h.handler()
		if (err == nil) != good || good && got.BaseSpec.Hostname != "x" {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestDuration(t *testing.T) {
	if d, err := duration("k", ""); d != 0 || err != nil {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := duration("stream_idle_timeout", "soon"); err == nil || !strings.Contains(err.Error(), "stream_idle_timeout") {
		t.Errorf("error %v", err)
	}
}
