// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/api"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/pelletier/go-toml/v2"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestAdjustEverything(t *testing.T) {
	w := &api.ContainerAdjustment{}
	w.SetArgs([]string{"/bin/sh"})
	w.RemoveEnv("GONE")
	w.AddEnv("KEPT", "new")
	w.RemoveAnnotation("gone")
	w.AddAnnotation("new", "1")
	w.RemoveMount("/gone")
	w.AddMount(&api.Mount{Destination: "/dev/shm/", Source: "/srv", Type: "bind", Options: []string{"rbind"}})
	w.RemoveDevice("/dev/gone")
	w.AddDevice(&api.LinuxDevice{Path: "/dev/null", Type: "c", Major: 1, Minor: 3})
	w.RemoveNamespace(&api.LinuxNamespace{Type: "ipc"})
	w.AddOrReplaceNamespace(&api.LinuxNamespace{Type: "network", Path: "/net"})
	w.AddOrReplaceNamespace(&api.LinuxNamespace{Type: "time"})
	w.AddHooks(&api.Hooks{
		Prestart: []*api.Hook{{Path: "/1"}}, Poststart: []*api.Hook{{Path: "/2"}}, Poststop: []*api.Hook{{Path: "/3"}}, CreateRuntime: []*api.Hook{{Path: "/4"}},
	})
	w.SetLinuxSysctl("net.ipv4.ip_forward", "1")
	w.SetLinuxCgroupsPath("/elsewhere")
	adj := -5
	w.SetLinuxOomScoreAdj(&adj)
	w.SetLinuxCPUQuota(5)
	w.SetLinuxCPUPeriod(6)
	w.SetLinuxCPURealtimeRuntime(7)
	w.SetLinuxCPURealtimePeriod(8)
	w.SetLinuxCPUSetCPUs("0")
	w.SetLinuxCPUSetMems("1")
	w.SetLinuxMemoryLimit(1 << 20)
	w.SetLinuxPidLimits(9)
	w.AddLinuxHugepageLimit("2MB", 10)
	w.AddLinuxUnified("memory.high", "11")

	s := testContainer("c").Spec
	s.Annotations = map[string]string{"gone": "1"}
	s.Process.Env = []string{"GONE=1", "KEPT=old"}
	s.Mounts = []specs.Mount{{Destination: "/gone"}, {Destination: "/dev/shm", Type: "tmpfs"}}
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/gone"}, {Path: "/dev/null", Type: "b"}}
	s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.IPCNamespace}, {Type: specs.NetworkNamespace}}
	s.Linux.Resources = nil
	if err := (&Adaptation{}).adjust(s, w); err != nil {
		t.Fatal(err)
	}
	one, three := int64(1), int64(3)
	quota, rtRuntime, limit, pids := int64(5), int64(7), int64(1<<20), int64(9)
	period, rtPeriod := uint64(6), uint64(8)
	want := &specs.Spec{
		Annotations: map[string]string{"new": "1"},
		Process: &specs.Process{
			Args: []string{"/bin/sh"}, Env: []string{"KEPT=new"}, OOMScoreAdj: &adj,
			Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
		},
		Mounts: []specs.Mount{{Destination: "/dev/shm/", Source: "/srv", Type: "bind", Options: []string{"rbind"}}},
		Hooks: &specs.Hooks{
			Prestart: []specs.Hook{{Path: "/1"}}, CreateRuntime: []specs.Hook{{Path: "/4"}}, //nolint:staticcheck // SA1019: NRI has it
			Poststart: []specs.Hook{{Path: "/2"}}, Poststop: []specs.Hook{{Path: "/3"}},
		},
		Linux: &specs.Linux{
			Devices:     []specs.LinuxDevice{{Path: "/dev/null", Type: "c", Major: 1, Minor: 3}},
			Namespaces:  []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: "/net"}, {Type: specs.TimeNamespace}},
			Sysctl:      map[string]string{"net.ipv4.ip_forward": "1"},
			CgroupsPath: "/elsewhere",
			Resources: &specs.LinuxResources{
				Devices: []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: &one, Minor: &three, Access: "rw"}},
				CPU:     &specs.LinuxCPU{Quota: &quota, Period: &period, RealtimeRuntime: &rtRuntime, RealtimePeriod: &rtPeriod, Cpus: "0", Mems: "1"},
				Memory:  &specs.LinuxMemory{Limit: &limit, Swap: &limit}, Pids: &specs.LinuxPids{Limit: &pids},
				HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 10}}, Unified: map[string]string{"memory.high": "11"},
			},
		},
	}
	// The generator leaves ways to say "nothing" that mean the same.
	s.Linux.Resources.Devices[0].Access = "rw"
	for _, hooks := range [][]specs.Hook{s.Hooks.Poststart, s.Hooks.Poststop, s.Hooks.CreateRuntime, s.Hooks.Prestart} { //nolint:staticcheck // SA1019: NRI has it
		hooks[0] = specs.Hook{Path: hooks[0].Path}
	}
	if got, want := marshal(t, s), marshal(t, want); string(got) != string(want) {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestAdjustRefuses(t *testing.T) {
	class := &api.ContainerAdjustment{}
	class.SetLinuxBlockIOClass("fast")
	device := &api.ContainerAdjustment{}
	device.AddCDIDevice(&api.CDIDevice{Name: "vendor.example/device=0"})
	namespace := &api.ContainerAdjustment{}
	namespace.AddOrReplaceNamespace(&api.LinuxNamespace{Type: "nonsense"})
	limit := &api.ContainerAdjustment{}
	limit.SetLinuxCPUShares(1)
	bad := errors.New("bad")
	for name, test := range map[string]struct {
		adjustment *api.ContainerAdjustment
		want       error
	}{
		"block I/O class": {class, errdefs.ErrFailedPrecondition},
		"CDI device":      {device, errdefs.ErrFailedPrecondition},
		"namespace":       {namespace, errdefs.ErrInvalidArgument},
		"resources":       {limit, bad},
	} {
		a := &Adaptation{}
		if name == "resources" {
			a.callbacks.CheckResources = func(*specs.LinuxResources) error { return bad }
		}
		if err := a.adjust(&specs.Spec{}, test.adjustment); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The adaptation changes the message while it collects adjustments; a spec must not change with it.
func TestMessageSharesNothingWithTheSpec(t *testing.T) {
	c := testContainer("c")
	c.Spec.Linux.Sysctl = map[string]string{"a": "1"}
	before := string(marshal(t, c))
	m := c.message()
	m.Annotations["x"], m.Linux.Sysctl["a"] = "1", "2"
	m.Env[0], m.Args[0] = "x", "x"
	m.Mounts[0].Destination = "/x"
	m.Linux.Resources.Cpu.Shares.Value = 1
	m.Rlimits[0].Soft = 0
	if after := string(marshal(t, c)); after != before {
		t.Errorf("%s became %s", before, after)
	}
	if m.CreatedAt != time.Unix(1, 2).UnixNano() || m.FinishedAt != 0 || m.GetLinux().GetOomScoreAdj().GetValue() != 100 || m.CDIDevices[0].Name != "vendor.example/device=0" {
		t.Errorf("%v", m)
	}
	if m := (&Container{ID: "bare"}).message(); m.Id != "bare" || m.Linux != nil {
		t.Errorf("%v", m)
	}
}

func TestResourcesThereAndBack(t *testing.T) {
	for _, r := range []*runtime.LinuxContainerResources{
		{CpuShares: 1, CpuQuota: -1, CpuPeriod: 3, CpusetCpus: "0", CpusetMems: "1", MemoryLimitInBytes: 5, MemorySwapLimitInBytes: -1,
			HugepageLimits: []*runtime.HugepageLimit{{PageSize: "2MB", Limit: 6}}, Unified: map[string]string{"memory.high": "7"}},
		{},
	} {
		if got := resourcesOf(resourcesMessage(r)); !reflect.DeepEqual(got, r) {
			t.Errorf("%v became %v", r, got)
		}
	}
	if resourcesMessage(nil) != nil {
		t.Error("nil became something")
	}
}

// The text is what containerd's documentation shows.
func TestConfig(t *testing.T) {
	cfg := DefaultConfig()
	err := toml.Unmarshal([]byte(`
disable = true
disable_connections = true
plugin_config_path = "/etc/nri/conf.d"
plugin_path = "/opt/nri/plugins"
plugin_registration_timeout = "5s"
plugin_request_timeout = "1m"
socket_path = "/var/run/nri/nri.sock"
[default_validator]
enable = true
required_plugins = ["a"]
`), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !cfg.Disable || !cfg.DisableConnections || time.Duration(cfg.PluginRequestTimeout) != time.Minute || !cfg.DefaultValidator.Enable || len(cfg.DefaultValidator.RequiredPlugins) != 1 {
		t.Errorf("%+v", cfg)
	}
	var d Duration
	if err := d.UnmarshalText([]byte("soon")); !errdefs.IsInvalidArgument(err) {
		t.Errorf("%v", err)
	}
	if text, err := toml.Marshal(cfg); err != nil || len(text) == 0 {
		t.Errorf("%s, %v", text, err)
	}
}
